"""Slim experts: one expert's weights, and of every other one only its difference from them, in two bits per number.

The differences are patches on clones of the first expert's model, as LoRAs are. The host merges them when it loads a clone,
pages them, and takes them out again by its own rules.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import comfy.model_detection
import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor

from ....errors import EMoEError
from ....experts.differences import pack, unpack, unpack_at
from ....experts.sets import Expert
from ....experts.signature import LINEAGE_VALUES, RELATED, relatedness, signature
from ....experts.weights_file import FileTensor, WeightsFile
from ....io.log import log
from .identity import UNUSED
from .partial import NETWORK, SAFETENSORS, has_text_encoder, quantised_in_file, shells_of
from .weights import readable, stored_weights, weights_signature

#: Per number of a difference. `benchmarks/slim.py` measures what other choices cost: see docs/models.md.
BITS = 2
_INSTEAD = "choose fine-tunes of one base model, or set 'load' of Load Experts to 'whole'"


class DifferenceAdapter(WeightAdapterBase):
    """A patch that adds a packed difference; the host makes it again with `weights` on another device."""

    name = "emoe_difference"

    def __init__(self, loaded_keys: set[str], weights: tuple[Tensor, Tensor, int]) -> None:
        self.loaded_keys, self.weights = loaded_keys, weights

    def calculate_weight(
        self,
        weight: Tensor,
        key: str,
        strength: float,
        strength_model: float,
        offset: Any,
        function: Callable[[Tensor], Tensor],
        intermediate_dtype: torch.dtype = torch.float32,
        original_weight: Any = None,
    ) -> Tensor:
        """The weight with the difference added, in place."""
        codes, steps, bits = self.weights
        difference = unpack(codes.to(weight.device), steps.to(weight.device), bits, weight.shape)
        weight += function(difference.mul_(strength).to(weight.dtype))
        return weight


def slim_model(base: ModelPatcher, path: Path) -> tuple[ModelPatcher, bool]:
    """The model in a file as a clone of `base` with its difference as a patch, and whether the file has a text encoder.

    The file is read weight by weight, so this needs memory for one weight and the differences.

    Raises:
        EMoEError: the file's network is not a descendant of the same model as `base`, or one of them is quantised.
        SafetensorError, OSError: the file is damaged, cut short or missing.
    """
    where = f"'{path.name}' cannot be held as a difference from the first expert"
    if path.suffix.lower() not in SAFETENSORS:
        raise EMoEError(f"{where}, since it is no safetensors file; set 'load' of Load Experts to 'whole'.")
    own = _plain(base, NETWORK)
    if quantised_in_file(path) or len(own) < len(stored_weights(base, NETWORK)):
        raise EMoEError(f"{where}, since one of them is quantised; set 'load' of Load Experts to 'whole'.")
    with WeightsFile(path) as file:
        names, has_text = _fitting(base, own, file, where)
        patches = differences(own, lambda key: file.read(names[key]), where)
        _say(path.name, patches)
    model = base.clone()
    model.add_patches(patches)
    return model, has_text


def with_difference(expert: Expert) -> Expert:
    """The expert with a signature that has its difference from the first one in it; any other expert as it is.

    Scores know a slim expert by the first one's weights and the difference as a patch. Kinship reads the values.
    """
    own = expert.signature
    rows, is_slim = own.rows.copy(), False
    for place, name in enumerate(own.names):
        for strength, adapter, *_ in expert.model.patches.get(name, ()):
            if isinstance(adapter, DifferenceAdapter):
                codes, steps, bits = adapter.weights
                shape = expert.model.model.get_parameter(name).shape
                places = torch.arange(LINEAGE_VALUES) * (math.prod(shape) // LINEAGE_VALUES)
                found = unpack_at(codes, steps, bits, math.prod(shape[1:]), places)
                rows[place] += (strength * found).numpy()
                is_slim = True
    if not is_slim:
        return expert
    return replace(expert, signature=replace(own, digest=expert.identity, rows=rows))


def slim_clip(base: Any, own: Any, where: str) -> Any:
    """A text encoder as a clone of `base` with the difference as a patch; itself where it is built in another way."""
    weights, theirs = (_plain(one.patcher, "") for one in (base, own))
    shapes = [{key: tuple(weight.shape) for key, weight in one.items()} for one in (weights, theirs)]
    if type(base.cond_stage_model) is not type(own.cond_stage_model) or shapes[0] != shapes[1]:
        return own
    slim = base.clone()
    used = {key: weight for key, weight in weights.items() if key not in UNUSED}
    slim.patcher.add_patches(differences(used, theirs.__getitem__, where))
    return slim


def _plain(patcher: ModelPatcher, prefix: str) -> dict[str, Tensor]:
    """A model's own weights, those without scales and tables."""
    found = ((key, readable(*one)) for key, one in stored_weights(patcher, prefix).items())
    return {key: weight for key, weight in found if isinstance(weight, Tensor)}


def _fitting(
    base: ModelPatcher, own: Mapping[str, Tensor], file: WeightsFile, where: str
) -> tuple[dict[str, str], bool]:
    """Name in the file of each of the network's weights, and whether the file has a text encoder."""
    shells = shells_of(file) or {}
    for prefix in (comfy.model_detection.unet_prefix_from_state_dict(shells), ""):
        names = {key: prefix + key.removeprefix(NETWORK) for key in own}
        if all(name in file and file.shape(name) == tuple(own[key].shape) for key, name in names.items()):
            break
    else:
        raise EMoEError(f"{where}, since it holds another network, or names its weights in another way; {_INSTEAD}.")
    config = comfy.model_detection.model_config_from_unet(shells, prefix, metadata=dict(file.metadata))
    first: Any = base.model
    if (
        config is None
        or type(config) is not type(first.model_config)
        or config.model_type(shells, prefix) != first.model_type
        or config.sampling_settings != first.model_config.sampling_settings
    ):
        raise EMoEError(f"{where}, since it predicts something else or at other levels of noise; {_INSTEAD}.")
    theirs = signature((key, FileTensor(file, name, own[key].dtype)) for key, name in names.items())
    related = relatedness(weights_signature(base, NETWORK, "the first expert"), theirs)
    if related is not None and related < RELATED:
        raise EMoEError(f"{where}, since they do not descend from one model; {_INSTEAD}.")
    return names, has_text_encoder(config, file, shells)


def differences(
    own: Mapping[str, Tensor], read: Callable[[str], Tensor], where: str, bits: int = BITS
) -> dict[str, Any]:
    """Patches that make the weights `own` into those that `read` gives, without the weights that are equal.

    Matrices and kernels are packed. Norms and biases are few, and stay exact.
    """
    device = comfy.model_management.get_torch_device()
    return dict(_differences(own, read, where, bits, device))


def _differences(
    own: Mapping[str, Tensor], read: Callable[[str], Tensor], where: str, bits: int, device: torch.device
) -> Iterator[tuple[str, Any]]:
    for key, weight in own.items():
        comfy.model_management.throw_exception_if_processing_interrupted()
        if not weight.is_floating_point():
            continue  # positions and the like, the same in every model of one architecture
        difference = read(key).detach().to(device, torch.float32) - weight.detach().to(device, torch.float32)
        size = float(torch.linalg.vector_norm(difference))
        if size == 0:
            continue
        if not math.isfinite(size):
            raise EMoEError(f"{where}, since some of its weights are no finite numbers; use another copy of the model.")
        if difference.dim() < 2:
            yield key, (difference.cpu(),)
            continue
        packed = pack(difference, bits)
        yield key, DifferenceAdapter({key}, (packed.codes.cpu(), packed.steps.cpu(), packed.bits))


def held(patches: Mapping[str, Any]) -> int:
    """Bytes of the differences in memory."""
    tensors = (getattr(patch, "weights", patch) for patch in patches.values())
    return sum(part.nbytes for parts in tensors for part in parts if isinstance(part, Tensor))


def _say(name: str, patches: Mapping[str, Any]) -> None:
    log.info("EMoE: the expert '%s' is held as a difference of %.2f GB", name, held(patches) / 1e9)
