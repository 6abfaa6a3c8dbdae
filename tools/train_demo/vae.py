"""A small picture autoencoder with the latent-diffusion key names: 128x128 RGB to 4x16x16.

Written with plain torch modules; the parameter names are those of Stable Diffusion's `first_stage_model`, so that any
host that reads that layout can load the weights.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 64
MULT = (1, 1, 1, 1)
BLOCKS = 0
"""Encoder blocks per level (the decoder has one more): none, so that the encoder is linear down to its middle."""
LATENT = 4
SCALE = 0.18215
"""Stable Diffusion 1's latent scale factor, which gives these latents unit variance."""


def norm(channels: int) -> nn.GroupNorm:
    """The layout's normalisation: 32 groups."""
    return nn.GroupNorm(32, channels, eps=1e-6)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return F.silu(x)


class ResBlock(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.norm1 = norm(inner)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.norm2 = norm(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)
        self.nin_shortcut: nn.Module = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)
        nn.init.zeros_(self.conv2.weight)
        if self.conv2.bias is not None:
            nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Residual step."""
        h = self.conv1(silu(self.norm1(x)))
        h = self.conv2(silu(self.norm2(h)))
        out: Tensor = self.nin_shortcut(x) + h
        return out


class Attention(nn.Module):
    """Single-head self-attention over all positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Residual attention."""
        b, c, height, width = x.shape
        h = self.norm(x)
        q, k, v = (f(h).reshape(b, c, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, c, height, width)
        out: Tensor = x + self.proj_out(mixed)
        return out


class Resample(nn.Module):
    """Halves or doubles the size, then (or with) a convolution."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=1 if up else 0)

    def forward(self, x: Tensor) -> Tensor:
        """Nearest neighbour up, strided convolution down."""
        x = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else F.pad(x, (0, 1, 0, 1))
        out: Tensor = self.conv(x)
        return out


class Middle(nn.Module):
    """Block, attention, block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResBlock(channels, channels)
        self.attn_1 = Attention(channels)
        self.block_2 = ResBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """All three in turn."""
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class Level(nn.Module):
    """One resolution of the encoder or decoder."""

    def __init__(self, inner: int, outer: int, blocks: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResBlock(inner if i == 0 else outer, outer) for i in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """The blocks, then the change of size if there is one."""
        for block in self.block:
            x = block(x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class Encoder(nn.Module):
    """Picture to the moments of the latent."""

    def __init__(self) -> None:
        super().__init__()
        widths = [CHANNELS * m for m in MULT]
        self.conv_in = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.down = nn.ModuleList()
        inner = CHANNELS
        for i, outer in enumerate(widths):
            level = Level(inner, outer, BLOCKS)
            if i < len(widths) - 1:
                level.downsample = Resample(outer, up=False)
            self.down.append(level)
            inner = outer
        self.mid = Middle(inner)
        self.norm_out = norm(inner)
        self.conv_out = nn.Conv2d(inner, 2 * LATENT, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Eight channels: means and log variances."""
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        out: Tensor = self.conv_out(silu(self.norm_out(self.mid(x))))
        return out


class Decoder(nn.Module):
    """Latent to picture. `up.0` is the finest level, as in that layout."""

    def __init__(self) -> None:
        super().__init__()
        widths = [CHANNELS * m for m in MULT]
        inner = widths[-1]
        self.conv_in = nn.Conv2d(LATENT, inner, 3, padding=1)
        self.mid = Middle(inner)
        levels: list[nn.Module] = []
        for i in reversed(range(len(widths))):
            level = Level(inner, widths[i], BLOCKS + 1)
            if i > 0:
                level.upsample = Resample(widths[i], up=True)
            levels.insert(0, level)
            inner = widths[i]
        self.up = nn.ModuleList(levels)
        self.norm_out = norm(inner)
        self.conv_out = nn.Conv2d(inner, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Picture in -1..1."""
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        out: Tensor = self.conv_out(silu(self.norm_out(x)))
        return out


class Autoencoder(nn.Module):
    """Encoder and decoder with the two 1x1 maps between them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.quant_conv = nn.Conv2d(2 * LATENT, 2 * LATENT, 1)
        self.post_quant_conv = nn.Conv2d(LATENT, LATENT, 1)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent of pictures in -1..1."""
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(self, z: Tensor) -> Tensor:
        """Pictures in -1..1 from (unscaled) latents."""
        out: Tensor = self.decoder(self.post_quant_conv(z))
        return out
