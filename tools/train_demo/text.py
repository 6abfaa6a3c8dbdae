"""A two-layer text encoder with CLIP's parameter names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tokenizer import LENGTH, VOCABULARY

WIDTH = 96
LAYERS = 2
HEADS = 4


class SelfAttention(nn.Module):
    """Causal self-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(WIDTH, WIDTH)
        self.k_proj = nn.Linear(WIDTH, WIDTH)
        self.v_proj = nn.Linear(WIDTH, WIDTH)
        self.out_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Each token sees itself and the tokens before it."""
        b, n, _ = x.shape
        q, k, v = (f(x).view(b, n, HEADS, -1).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(b, n, WIDTH))
        return out


class Mlp(nn.Module):
    """The layer's feed-forward part, with CLIP's quick GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Two linear maps."""
        h = self.fc1(x)
        out: Tensor = self.fc2(h * torch.sigmoid(1.702 * h))
        return out


class Layer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = SelfAttention()
        self.layer_norm1 = nn.LayerNorm(WIDTH)
        self.mlp = Mlp()
        self.layer_norm2 = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then feed-forward, each with a shortcut."""
        x = x + self.self_attn(self.layer_norm1(x))
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class TextEncoder(nn.Module):
    """Token ids (n, at most 32) to hidden states (n, same, 96) after the last layer norm."""

    def __init__(self) -> None:
        super().__init__()
        body = nn.Module()
        body.embeddings = nn.Module()
        body.embeddings.token_embedding = nn.Embedding(VOCABULARY, WIDTH)
        body.embeddings.position_embedding = nn.Embedding(LENGTH, WIDTH)
        body.encoder = nn.Module()
        body.encoder.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        body.final_layer_norm = nn.LayerNorm(WIDTH)
        self.text_model = body
        for table in (body.embeddings.token_embedding, body.embeddings.position_embedding):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """The context of the U-Net's cross-attention."""
        body = self.text_model
        x = body.embeddings.token_embedding(ids) + body.embeddings.position_embedding.weight[: ids.shape[1]]
        for layer in body.encoder.layers:
            x = layer(x)
        out: Tensor = body.final_layer_norm(x)
        return out
