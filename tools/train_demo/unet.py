"""A small denoising U-Net with Stable Diffusion 1's topology and parameter names.

32 channels times (1, 2, 3), one residual block per level, cross-attention on the two coarser levels and in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 32
MULT = (1, 2, 3)
ATTENTION = (False, True, True)
HEADS = 4
CONTEXT = 96
LATENT = 4
TIME = 4 * CHANNELS


class ResBlock(nn.Module):
    """Two convolutions; the time embedding is added between them."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, inner), nn.SiLU(), nn.Conv2d(inner, outer, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(TIME, outer))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, outer), nn.SiLU(), nn.Identity(), nn.Conv2d(outer, outer, 3, padding=1)
        )
        self.skip_connection: nn.Module = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)
        nn.init.zeros_(self.out_layers[3].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.out_layers[3].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Residual step."""
        h = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        out: Tensor = self.skip_connection(x) + self.out_layers(h)
        return out


class Attention(nn.Module):
    """Multi-head attention from a sequence to a context."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Identity())

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """No mask: padding is part of the context, as in Stable Diffusion 1."""
        b, n, width = x.shape
        q, k, v = (
            f(y).view(b, y.shape[1], HEADS, width // HEADS).transpose(1, 2)
            for f, y in ((self.to_q, x), (self.to_k, context), (self.to_v, context))
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, width)
        out: Tensor = self.to_out(mixed)
        return out


class Gate(nn.Module):
    """Linear map to twice the width, one half gating the other."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """value * gelu(gate)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Gated feed-forward part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(Gate(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Gate, then linear."""
        out: Tensor = self.net(x)
        return out


class TransformerBlock(nn.Module):
    """Self-attention, attention to the text, feed-forward."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn1 = Attention(width, width)
        self.ff = FeedForward(width)
        self.attn2 = Attention(width, CONTEXT)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Each part with a shortcut."""
        h = self.norm1(x)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x), context)
        out: Tensor = x + self.ff(self.norm3(x))
        return out


class SpatialTransformer(nn.Module):
    """A transformer block over the positions of a feature map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width)])
        self.proj_out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.proj_out.weight)
        if self.proj_out.bias is not None:
            nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Residual."""
        b, c, height, width = x.shape
        h = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            h = block(h, context)
        out: Tensor = x + self.proj_out(h.transpose(1, 2).reshape(b, c, height, width))
        return out


class Down(nn.Module):
    """Half the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Strided convolution."""
        out: Tensor = self.op(x)
        return out


class Up(nn.Module):
    """Twice the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Nearest neighbour, then a convolution."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Stage(nn.Sequential):
    """A list of layers, each given what it needs."""

    def run(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """In order."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, time)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x)
        return x


def time_features(t: Tensor) -> Tensor:
    """Cosines and sines of the timestep."""
    half = CHANNELS // 2
    rates = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32) / half)
    angles = t.float()[:, None] * rates[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class UNet(nn.Module):
    """Noise prediction from a noisy latent, a timestep and a context."""

    def __init__(self, mult: Sequence[int] = MULT, attention: Sequence[bool] = ATTENTION) -> None:
        super().__init__()
        widths = [CHANNELS * m for m in mult]
        self.time_embed = nn.Sequential(nn.Linear(CHANNELS, TIME), nn.SiLU(), nn.Linear(TIME, TIME))
        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(LATENT, CHANNELS, 3, padding=1))])
        skips, inner = [CHANNELS], CHANNELS
        for level, outer in enumerate(widths):
            self.input_blocks.append(self._stage(inner, outer, attention[level]))
            inner = outer
            skips.append(inner)
            if level < len(widths) - 1:
                self.input_blocks.append(Stage(Down(inner)))
                skips.append(inner)
        self.middle_block = Stage(ResBlock(inner, inner), SpatialTransformer(inner), ResBlock(inner, inner))
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for i in range(2):
                stage = self._stage(inner + skips.pop(), widths[level], attention[level])
                inner = widths[level]
                if i == 1 and level > 0:
                    stage.append(Up(inner))
                self.output_blocks.append(stage)
        self.out = nn.Sequential(nn.GroupNorm(32, inner), nn.SiLU(), nn.Conv2d(inner, LATENT, 3, padding=1))

    @staticmethod
    def _stage(inner: int, outer: int, attention: bool) -> Stage:
        layers: list[nn.Module] = [ResBlock(inner, outer)]
        if attention:
            layers.append(SpatialTransformer(outer))
        return Stage(*layers)

    def middle(self, x: Tensor, t: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """The middle block's output, the skips, and the time embedding."""
        time = self.time_embed(time_features(t))
        skips = []
        for stage in self.input_blocks:
            x = stage.run(x, time, context)  # type: ignore[operator]
            skips.append(x)
        return self.middle_block.run(x, time, context), skips, time

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """The whole net."""
        x, skips, time = self.middle(x, t, context)
        for stage in self.output_blocks:
            x = stage.run(torch.cat([x, skips.pop()], dim=1), time, context)  # type: ignore[operator]
        out: Tensor = self.out(x)
        return out
