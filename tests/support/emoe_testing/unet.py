"""Keys and shapes of Stable Diffusion's U-Nets, of any size: ComfyUI recognises a model by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MODEL_CHANNELS, TIME = 320, 1280
Shapes = Iterator[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class UNet:
    """A U-Net's plan.

    Attributes:
        channel_mult: width of each level, in units of 320 channels.
        num_res_blocks: residual blocks of each level on the way down; one more on the way up.
        depth_in: transformer blocks behind each residual block on the way down, first to last.
        depth_out: the same on the way up, first (the deepest level) to last.
        depth_middle: the same in the middle.
        context: width of the text encoding.
        linear: whether transformers project with a linear map (SD2, SDXL) or a convolution (SD1).
        adm: width of the vector condition (SDXL: pooled text and image sizes), or None.
        in_channels: 4, or 9 of an inpainting model (latent, mask and masked image).
    """

    channel_mult: tuple[int, ...] = (1,)
    num_res_blocks: tuple[int, ...] = (1,)
    depth_in: tuple[int, ...] = (1,)
    depth_out: tuple[int, ...] = (1, 1)
    depth_middle: int = 1
    context: int = 768
    linear: bool = False
    adm: int | None = None
    in_channels: int = 4

    def shapes(self) -> Shapes:
        """Every weight's name and shape, in the network's order."""
        yield from linear("time_embed.0", TIME, MODEL_CHANNELS)
        yield from linear("time_embed.2", TIME, TIME)
        if self.adm is not None:
            yield from linear("label_emb.0.0", TIME, self.adm)
            yield from linear("label_emb.0.2", TIME, TIME)
        yield from conv("input_blocks.0.0", MODEL_CHANNELS, self.in_channels, 3)
        number, width, skips = 1, MODEL_CHANNELS, [MODEL_CHANNELS]
        depths = iter(self.depth_in)
        for level, (mult, count) in enumerate(zip(self.channel_mult, self.num_res_blocks, strict=True)):
            for _ in range(count):
                yield from _residual(f"input_blocks.{number}.0", width, mult * MODEL_CHANNELS)
                width = mult * MODEL_CHANNELS
                yield from self._transformer(f"input_blocks.{number}.1", width, next(depths))
                skips.append(width)
                number += 1
            if level < len(self.channel_mult) - 1:
                yield from conv(f"input_blocks.{number}.0.op", width, width, 3)
                skips.append(width)
                number += 1
        yield from _residual("middle_block.0", width, width)
        yield from self._transformer("middle_block.1", width, self.depth_middle)
        yield from _residual("middle_block.2", width, width)
        number, depths = 0, iter(self.depth_out)
        for level in reversed(range(len(self.channel_mult))):
            for index in range(self.num_res_blocks[level] + 1):
                out = self.channel_mult[level] * MODEL_CHANNELS
                yield from _residual(f"output_blocks.{number}.0", width + skips.pop(), out)
                width, depth = out, next(depths)
                yield from self._transformer(f"output_blocks.{number}.1", width, depth)
                if level > 0 and index == self.num_res_blocks[level]:
                    yield from conv(f"output_blocks.{number}.{2 if depth else 1}.conv", width, width, 3)
                number += 1
        yield from norm("out.0", width)
        yield from conv("out.2", 4, width, 3)

    def _transformer(self, name: str, width: int, depth: int) -> Shapes:
        if depth == 0:
            return
        yield from norm(f"{name}.norm", width)
        yield from linear(f"{name}.proj_in", width, width) if self.linear else conv(f"{name}.proj_in", width, width, 1)
        for number in range(depth):
            block = f"{name}.transformer_blocks.{number}"
            for attention, context in (("attn1", width), ("attn2", self.context)):
                yield from linear(f"{block}.{attention}.to_q", width, width, bias=False)
                yield from linear(f"{block}.{attention}.to_k", width, context, bias=False)
                yield from linear(f"{block}.{attention}.to_v", width, context, bias=False)
                yield from linear(f"{block}.{attention}.to_out.0", width, width)
            yield from linear(f"{block}.ff.net.0.proj", width * 8, width)
            yield from linear(f"{block}.ff.net.2", width, width * 4)
            for place in (1, 2, 3):
                yield from norm(f"{block}.norm{place}", width)
        yield from (
            linear(f"{name}.proj_out", width, width) if self.linear else conv(f"{name}.proj_out", width, width, 1)
        )


def sd15(channel_mult: tuple[int, ...] = (1,), num_res_blocks: int = 1, in_channels: int = 4) -> UNet:
    """SD1.5's kind, a transformer after every residual block: one level and one block make 24 M weights."""
    levels = len(channel_mult)
    return UNet(
        channel_mult=channel_mult,
        num_res_blocks=(num_res_blocks,) * levels,
        depth_in=(1,) * (levels * num_res_blocks),
        depth_out=(1,) * (levels * (num_res_blocks + 1)),
        in_channels=in_channels,
    )


#: SD2's kind; eps where ComfyUI's detection finds nothing that speaks for v-prediction.
SD2_TINY = UNet(context=1024, linear=True)
#: ComfyUI tells a v-predicting SD2 by a bias of output block 11, so there must be twelve of them.
SD2_V_TINY = UNet(
    num_res_blocks=(11,), depth_in=(1,) + (0,) * 10, depth_out=(0,) * 11 + (1,), context=1024, linear=True
)
#: The smallest U-Net that ComfyUI takes for SDXL's kind: transformer depths 0, 2, 5 (KOALA's), three levels. 81 M weights;
#: diffusers can build it too, since the middle is as deep as the deepest level.
SDXL_TINY = UNet(
    channel_mult=(1, 1, 1),
    num_res_blocks=(1, 1, 1),
    depth_in=(0, 2, 5),
    depth_out=(0,) * 6,
    depth_middle=5,
    context=2048,
    linear=True,
    adm=2816,
)
SD15_FULL = UNet(
    channel_mult=(1, 2, 4, 4),
    num_res_blocks=(2,) * 4,
    depth_in=(1,) * 6 + (0,) * 2,
    depth_out=(0,) * 3 + (1,) * 9,
)
SDXL_FULL = UNet(
    channel_mult=(1, 2, 4),
    num_res_blocks=(2,) * 3,
    depth_in=(0, 0, 2, 2, 10, 10),
    depth_out=(10, 10, 10, 2, 2, 2, 0, 0, 0),
    depth_middle=10,
    context=2048,
    linear=True,
    adm=2816,
)


def linear(name: str, out: int, into: int, bias: bool = True) -> Shapes:
    """A linear map."""
    yield f"{name}.weight", (out, into)
    if bias:
        yield f"{name}.bias", (out,)


def conv(name: str, out: int, into: int, size: int) -> Shapes:
    """A square convolution."""
    yield f"{name}.weight", (out, into, size, size)
    yield f"{name}.bias", (out,)


def norm(name: str, width: int) -> Shapes:
    """A normalisation's scale and bias."""
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _residual(name: str, into: int, out: int) -> Shapes:
    yield from norm(f"{name}.in_layers.0", into)
    yield from conv(f"{name}.in_layers.2", out, into, 3)
    yield from linear(f"{name}.emb_layers.1", out, TIME)
    yield from norm(f"{name}.out_layers.0", out)
    yield from conv(f"{name}.out_layers.3", out, out, 3)
    if into != out:
        yield from conv(f"{name}.skip_connection", out, into, 1)
