"""Weights as other people's node packs keep them: classes of our own with the same behaviour, as far as it is met here."""

from __future__ import annotations

from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn


class BlockType(Enum):
    """Formats of GGUF files, by name; the last is one that nobody here can read."""

    F16 = 1
    Q4_0 = 2
    Q8_0 = 8
    UNHEARD_OF = 99


class BlockTensor(Tensor):
    """Bytes of blocks that says it has the weight's shape, and gives itself when asked for a copy (as GGUF's does)."""

    tensor_type: BlockType
    tensor_shape: tuple[int, ...]

    @staticmethod
    def of(stored: Tensor, kind: BlockType, shape: tuple[int, ...]) -> BlockTensor:
        made = stored.as_subclass(BlockTensor)
        made.tensor_type, made.tensor_shape = kind, torch.Size(shape)
        return made

    def to(self, *args: Any, **kwargs: Any) -> BlockTensor:
        return BlockTensor.of(super().to(*args, **kwargs).as_subclass(Tensor), self.tensor_type, self.tensor_shape)

    def detach(self) -> BlockTensor:
        return self

    def clone(self, *args: Any, **kwargs: Any) -> BlockTensor:
        return self

    @property
    def shape(self) -> Any:
        return getattr(self, "tensor_shape", self.size())


def q8_0(weight: Tensor) -> Tensor:
    """Blocks of 32: a 16-bit scale and 32 signed bytes, [blocks, 34] flat per row as files have it."""
    parts = weight.float().reshape(-1, 32)
    scale = parts.abs().amax(1, keepdim=True) / 127
    codes = (parts / scale.clamp(min=1e-12)).round().to(torch.int8)
    stored = torch.cat([scale.half().view(torch.uint8), codes.view(torch.uint8)], 1)
    return stored.reshape(weight.shape[0], -1)


def q4_0(weight: Tensor) -> Tensor:
    """Blocks of 32: a 16-bit scale and 32 codes of four bits, the first half in the low bits."""
    parts = weight.float().reshape(-1, 32)
    scale = parts.abs().amax(1, keepdim=True) / 7
    codes = ((parts / scale.clamp(min=1e-12)).round() + 8).to(torch.uint8)
    stored = torch.cat([scale.half().view(torch.uint8), codes[:, :16] | codes[:, 16:] << 4], 1)
    return stored.reshape(weight.shape[0], -1)


def unpacked(weight: Tensor) -> Tensor:
    """A weight of `q8_0` or `q4_0` (or a plain one) as float32."""
    kind = getattr(weight, "tensor_type", BlockType.F16)
    plain = weight.as_subclass(Tensor)
    if kind is BlockType.F16:
        return plain.float()
    blocks = plain.reshape(-1, 34 if kind is not BlockType.Q4_0 else 18)
    scale, codes = blocks[:, :2].contiguous().view(torch.float16).float(), blocks[:, 2:]
    if kind is BlockType.Q4_0:
        numbers = torch.cat([codes & 15, codes >> 4], 1).float() - 8
    else:
        numbers = codes.contiguous().view(torch.int8).float()
    return (scale * numbers).reshape(tuple(weight.shape))


def block_operations() -> Any:
    """Operations for ComfyUI's `custom_operations` whose linear layers keep blocks and unpack them at every call.

    As GGUF's: the state dict shows shells, and one name that is no attribute.
    """
    import comfy.lora
    import comfy.ops

    class Linear(comfy.ops.manual_cast.Linear):
        def __init__(self, into: int, out: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
            nn.Module.__init__(self)
            self.in_features, self.out_features = into, out
            self.weight = self.bias = None

        def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
            for name in ("weight", "bias"):
                found = state.get(prefix + name)
                if found is not None:
                    setattr(self, name, nn.Parameter(found, requires_grad=False))

        def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
            for name in ("weight", "bias", "temp.weight"):
                shown = self.weight if name == "temp.weight" else getattr(self, name)
                if shown is not None:
                    destination[prefix + name] = torch.empty(tuple(shown.shape), device="meta")

        def forward(self, x: Tensor) -> Tensor:
            weight = unpacked(self.weight)
            for patches, key in getattr(self.weight, "patches", ()):
                weight = comfy.lora.calculate_weight(patches, weight, key)
            bias = None if self.bias is None else self.bias.as_subclass(Tensor).to(x.dtype)
            return nn.functional.linear(x, weight.to(x.dtype), bias)

    class Operations(comfy.ops.manual_cast):
        pass

    Operations.Linear = Linear  # type: ignore[misc]
    return Operations


def block_patcher(model: Any) -> Any:
    """The model's patcher as one that leaves packed weights as they are and hangs their patches beside them (as GGUF's)."""
    import comfy.model_patcher
    import comfy.utils

    class BlockPatcher(comfy.model_patcher.ModelPatcher):  # type: ignore[misc]
        def patch_weight_to_device(
            self, key: str, device_to: Any = None, inplace_update: bool = False, **how: Any
        ) -> Any:
            weight = comfy.utils.get_attr(self.model, key)
            if key not in self.patches or not isinstance(weight, BlockTensor):
                return super().patch_weight_to_device(key, device_to, inplace_update, **how)
            patched = weight.to(device_to)
            patched.patches = [(self.patches[key], key)]
            comfy.utils.set_attr_param(self.model, key, patched)
            return None

        def unpatch_model(self, device_to: Any = None, unpatch_weights: bool = True) -> Any:
            for weight in self.model.parameters() if unpatch_weights else ():
                if isinstance(weight, BlockTensor):
                    weight.patches = []
            return super().unpatch_model(device_to, unpatch_weights)

    model.__class__ = BlockPatcher
    return model


class FourBitLinear(nn.Module):
    """A linear layer whose packed weight only its own kernel can read (as Nunchaku's)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rank: int = 8) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.precision = "int4"
        generator = torch.Generator().manual_seed(int(weight.float().abs().sum() * 1000) % 2**31)
        codes = torch.randint(-128, 128, (self.out_features, self.in_features // 2), generator=generator)
        made = {
            "qweight": codes.to(torch.int8),
            "wscales": weight.reshape(self.out_features, -1, 64).abs().amax(2).t().contiguous(),
            "smooth_factor": torch.ones(self.in_features),
            "proj_down": torch.randn(self.in_features, rank, generator=generator),
            "proj_up": torch.randn(self.out_features, rank, generator=generator),
        }
        for name, tensor in made.items():
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self._weight = (weight,)  # what the kernel would compute with

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return nn.functional.linear(x, self._weight[0].to(x.dtype), bias)
