"""A model's own weights as numbers, however they are stored and whatever is merged into them right now.

Weights may be plain, quantised by the host (a tensor class of its own, or 8-bit numbers beside a scale), or packed by node
packs (GGUF, Nunchaku). Identity and kinship depend on the values that the weights stand for, so weights are read unpacked.
The host's names for scales and remarks are no weights. A weight in an unknown packing counts in the identity as it is
stored, and its kinship is unknown.

The host's own list of untouched weights, `get_key_patches`, is not used: it looks for an attribute under every name of the
state dict, and quantised layers have names there that are no attributes.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from numpy.typing import NDArray
from torch import Tensor

from ....errors import EMoEError
from ....experts import ggml, packed
from ....experts.packed import Packed
from ....experts.signature import DIGEST_VALUES, LINEAGE_VALUES, Sampled, Signature, Unread, sample_values, signature
from ....io.files import file_sha256
from .partial import BOOKKEEPING, NETWORK, unread_weights

_PLAIN = (Tensor, torch.nn.Parameter)
#: Types of plain numbers with more than eight bits.
_WIDE = ("float64", "float32", "bfloat16", "float16", "int64", "int32", "int16")
#: Norms whose weight is called scale on older hosts.
_RENAMED = re.compile(r"((?:query|key)_norm|distilled_guidance_layer\.norms\.\d+)\.weight$")
#: Weights that a network has and does not use, by the host's class of model: newer hosts do not load them.
_IDLE = {"Lumina2": ("diffusion_model.norm_final.weight",)}
#: Kinds of GGUF tensors that are plain.
_PLAIN_BLOCKS = ("F64", "F32", "F16", "None")


def weights_signature(patcher: ModelPatcher, prefix: str, where: str, unused: tuple[str, ...] = ()) -> Signature:
    """Signature of a ModelPatcher's own weights, patches not applied, whether or not they are merged in right now.

    A network without its decoder has the signature of the whole one: the decoder's values are sampled from the file.

    Args:
        prefix: only weights whose key starts with it, e.g. "diffusion_model.".
        where: the model's name in an error.
        unused: names of weights that do not count.

    Raises:
        EMoEError: the weights are not in memory, as in a model that was unloaded for good.
    """
    try:
        idle = (*unused, *_IDLE.get(type(patcher.model).__name__, ()))
        stored = {_lasting(key): one for key, one in stored_weights(patcher, prefix).items() if key not in idle}
        here = [(key, readable(*one)) for key, one in stored.items()]
        if prefix != NETWORK:
            return signature(here)
        with unread_weights(patcher) as in_file:
            found = signature(chain(here, in_file))
    except (RuntimeError, NotImplementedError) as error:
        raise EMoEError(f"The weights of {where} cannot be read ({error}); load it with a core loader node.") from error
    return _with_own_loras(patcher, found)


def _lasting(key: str) -> str:
    """A weight's name on the oldest supported host: newer ones renamed the norms of Flux and related models."""
    return _RENAMED.sub(r"\1.scale", key)


def weight_type(patcher: ModelPatcher, prefix: str) -> str:
    """The stored type of a model's matrices, e.g. "float16", "float8_e4m3fn", "nvfp4" or "Q4_K".

    It is the commonest type among numbers of eight bits or less, since those are rounded most; without any, among all.
    """
    counts: Counter[tuple[bool, str]] = Counter()
    for tensor, owner, name in stored_weights(patcher, prefix).values():
        shape = _shape(tensor, owner, name)
        if len(shape) >= 2:
            kind = _kind(tensor, owner)
            is_coarse = tensor.element_size() == 1 or kind not in _WIDE
            counts[is_coarse, kind] += math.prod(shape)
    return max(counts, key=lambda found: (found[0], counts[found]), default=(False, ""))[1]


def is_quantised(patcher: ModelPatcher, prefix: str) -> bool:
    """Whether some of a model's matrices are read through scales, tables or blocks."""
    found = (readable(*stored) for stored in stored_weights(patcher, prefix).values())
    return any(not isinstance(one, Tensor) for one in found)


# --- where the weights are --------------------------------------------------------------------------------------------

#: A tensor as it is stored, the layer that holds it, and its name there.
Stored = tuple[Any, Any, str]


def stored_weights(patcher: ModelPatcher, prefix: str) -> dict[str, Stored]:
    """The stored form of the model's own weights, by key. Where patches are merged in, it comes from the host's backup."""

    def untouched(key: str) -> Any:
        if key in patcher.hook_backup:
            return patcher.hook_backup[key][0]
        if key in patcher.backup:
            return patcher.backup[key].weight
        return getattr(patcher, "backup_buffers", {}).get(key)  # newer hosts cast buffers as they load

    with patcher.use_ejected():
        found = dict(_listed(patcher.model, prefix, untouched))
    # While a clone with other modules in the network is loaded, the model's own are in the host's backup.
    for name, original in patcher.object_patches_backup.items():
        if isinstance(original, torch.nn.Module) and name.startswith(prefix):
            found = {key: stored for key, stored in found.items() if not key.startswith(f"{name}.")}
            found |= {f"{name}.{key}": stored for key, stored in _listed(original, "", lambda key: None)}
    return found


def _listed(model: Any, prefix: str, untouched: Callable[[str], Any]) -> Iterator[tuple[str, Stored]]:
    for key, value in model.state_dict().items():
        if not key.startswith(prefix):
            continue
        path, _, name = key.rpartition(".")
        owner = _part(model, path)
        if name == "scaled_fp8" or (name in BOOKKEEPING and _is_quantised(owner)):
            continue
        own = getattr(owner, "qweight", None)
        if isinstance(own, Tensor) and name != "bias":
            if name == "qweight":  # the layer's other tensors belong to this one
                yield f"{path}.weight", (own, owner, name)
            continue
        weight = untouched(key)
        weight = getattr(owner, name, None) if weight is None else weight
        if weight is None and (name in BOOKKEEPING or value.is_meta):
            continue  # exists only for the state dict
        yield key, (value if weight is None else weight, owner, name)


def _part(model: Any, path: str) -> Any:
    part = model
    for name in path.split(".") if path else ():
        part = getattr(part, name, None)
    return part


def _is_quantised(owner: Any) -> bool:
    weight = getattr(owner, "weight", None)
    return isinstance(weight, Tensor) and (type(weight) not in _PLAIN or weight.element_size() == 1)


# --- their values -----------------------------------------------------------------------------------------------------


def readable(tensor: Any, owner: Any, name: str) -> Tensor | Sampled | Unread:
    """A stored weight in a form whose values can be read, or marked as unreadable."""
    if name == "qweight":
        parts = (part for key, part in owner.named_parameters(recurse=False) if key != "bias")
        return Unread(_shape(tensor, owner, name), b"".join(map(_raw, parts)))
    found: Tensor | Sampled | None
    if hasattr(tensor, "_qdata"):
        found = _of_host(tensor) or _whole(tensor)
    elif _block_type(tensor) is not None:
        found = _in_blocks(tensor)
    elif type(tensor) in _PLAIN:
        found = _beside_scale(tensor, owner) if name == "weight" else tensor
    elif _unpacks_itself(tensor):
        found = _whole(tensor)
    else:
        found = tensor if tensor.is_floating_point() and tensor.element_size() > 1 else None
    if found is None:
        return Unread(tuple(tensor.shape), _raw(tensor))
    columns = getattr(owner, "pre_quant_scale", None) if name == "weight" else None
    if isinstance(columns, Tensor) and isinstance(found, Packed) and columns.numel() == found.shape[-1]:
        return found.by_columns(columns)  # the layer multiplies its input by it before the weight
    return found


def _of_host(tensor: Any) -> Packed | None:
    """A weight in one of the host's packings, value by value; None for an unknown one."""
    params: Any = getattr(tensor, "_params", None)
    found = {f.name: getattr(params, f.name) for f in fields(params)} if is_dataclass(params) else {}
    found |= getattr(tensor, "_layout_params", {})  # hosts before there was comfy-kitchen
    layout = getattr(tensor, "_layout_cls", None) or getattr(tensor, "_layout_type", None)
    q, scale, shape = tensor._qdata, found.get("scale"), tuple(found.get("orig_shape", tensor.shape))
    if found.get("transposed") or not isinstance(scale, (Tensor, type(None))):
        return None
    if layout in ("TensorCoreFP8Layout", "TensorCoreFP8E4M3Layout", "TensorCoreFP8E5M2Layout"):
        return packed.scaled(q, scale) if tuple(q.shape) == shape else None
    if len(shape) != 2 or scale is None:
        return None
    unpacked: Packed | None = None
    if layout == "TensorWiseINT8Layout" and tuple(q.shape) == shape:
        unpacked = packed.scaled(q, scale)
    elif layout == "TensorCoreNVFP4Layout":
        return packed.nvfp4(q, scale, found["block_scale"], shape)
    elif layout == "TensorCoreMXFP8Layout":
        return packed.mxfp8(q, scale, shape)
    elif layout == "TensorCoreConvRotW4A4Layout":
        unpacked = packed.int4_rows(q, scale, shape)
    elif layout == "AsymW4A8Int8Layout":
        unpacked = packed.int4_groups(q, scale, found["s_channel"], shape, found["codebook"], found["correction"])
    is_turned = found.get("convrot", layout != "TensorWiseINT8Layout")
    if unpacked is None or not is_turned:
        return unpacked
    return packed.turned_back(unpacked, found["convrot_groupsize"])


def _beside_scale(tensor: Tensor, owner: Any) -> Tensor | Packed | None:
    """A plain weight; 8-bit numbers with the scale beside them, or None without one."""
    if tensor.element_size() > 1:
        return tensor
    scale = next(
        (s for s in (getattr(owner, n, None) for n in ("weight_scale", "scale_weight")) if s is not None), None
    )
    if not isinstance(scale, Tensor):
        return tensor if tensor.is_floating_point() or tensor.dim() < 2 else None
    return packed.scaled(tensor, scale)


def _block_type(tensor: Any) -> str | None:
    """The name of a GGUF tensor's format, "None" for a plain one, or None for any other tensor."""
    if not hasattr(tensor, "tensor_type"):
        return None
    return str(getattr(tensor.tensor_type, "name", tensor.tensor_type))


def _in_blocks(tensor: Any) -> Tensor | Packed | None:
    kind = _block_type(tensor)
    plain: Tensor = tensor.as_subclass(Tensor)
    if kind in _PLAIN_BLOCKS:
        return plain
    return ggml.blocks(plain, str(kind), tuple(getattr(tensor, "tensor_shape", plain.shape)))


def _unpacks_itself(tensor: Any) -> bool:
    return callable(getattr(tensor, "dequantize", None)) and type(tensor).dequantize is not Tensor.dequantize


class _Samples:
    """Samples of a weight that can only be unpacked as a whole (see `signature.Sampled`)."""

    def __init__(self, values: Tensor) -> None:
        self.shape = tuple(values.shape)
        self._samples = {count: sample_values(values, count).copy() for count in (DIGEST_VALUES, LINEAGE_VALUES)}

    def sample(self, count: int) -> NDArray[np.float32]:
        """Like `signature.sample_values` of the unpacked weight."""
        return self._samples[count]


def _whole(tensor: Any) -> _Samples | None:
    """A weight unpacked by its own class; None where that fails here, e.g. without a graphics card."""
    params: Any = getattr(tensor, "_params", None)
    try:
        if is_dataclass(params) and hasattr(params, "orig_dtype"):  # to float32, whatever the network computes in
            exact = replace(params, orig_dtype=torch.float32)  # type: ignore[type-var]
            tensor = type(tensor)(tensor._qdata, tensor._layout_cls, exact)
        return _Samples(tensor.dequantize())
    except Exception:  # foreign classes raise what they like
        return None


def _raw(tensor: Any) -> bytes:
    """A sample of the stored bytes of a tensor of an unknown class, or nothing if even they cannot be read."""
    try:
        names = tensor.__tensor_flatten__()[0] if hasattr(tensor, "__tensor_flatten__") else ()
        parts = [getattr(tensor, name) for name in names] or [tensor.as_subclass(Tensor)]
        return b"".join(sample_values(part, DIGEST_VALUES).astype("<f4").tobytes() for part in parts)
    except (RuntimeError, NotImplementedError, TypeError, AttributeError):
        return b""


# --- in words ---------------------------------------------------------------------------------------------------------


def _kind(tensor: Any, owner: Any) -> str:
    if getattr(owner, "qweight", None) is tensor:
        return str(getattr(owner, "precision", None) or f"packed {type(owner).__name__}")
    if hasattr(tensor, "_qdata"):
        return str(getattr(owner, "quant_format", None) or tensor._qdata.dtype).removeprefix("torch.")
    block = _block_type(tensor)
    if block is not None and block not in _PLAIN_BLOCKS:
        return block
    if type(tensor) not in _PLAIN and block is None and tensor.element_size() == 1:
        return f"packed {type(tensor).__name__}"
    return str(tensor.dtype).removeprefix("torch.")


def _shape(tensor: Any, owner: Any, name: str) -> tuple[int, ...]:
    if name == "qweight" and hasattr(owner, "in_features") and hasattr(owner, "out_features"):
        return int(owner.out_features), int(owner.in_features)
    return tuple(tensor.shape)


def _with_own_loras(patcher: ModelPatcher, found: Signature) -> Signature:
    """Includes the LoRAs that packs keep in the network itself, as (file, strength), if they cannot merge them."""
    loras = getattr(getattr(patcher.model, "diffusion_model", None), "loras", None)
    if not isinstance(loras, list) or not loras:
        return found
    listed = [[file_sha256(one[0]), one[1]] for one in loras]
    return replace(found, digest=hashlib.sha256((found.digest + json.dumps(listed)).encode()).hexdigest())
