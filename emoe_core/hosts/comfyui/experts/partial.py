"""U-Nets without their decoder: only the encoder, the middle block and the embeddings are read and kept in memory.

The result is ComfyUI's own model class in the host's own ModelPatcher, so loading, offloading, paging, low VRAM, casting and
memory accounting stay the host's. A stub replaces the decoder; probes leave the network before it. Whatever needs the
decoder (the tap `noise_pred`) calls `complete`, which reads it from the file.

The identity is that of the whole model: the decoder's sampled values are read one by one.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import comfy.model_detection
import comfy.model_management
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import TimestepEmbedSequential, UNetModel
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....errors import EMoEError
from ....experts.weights_file import FileTensor, WeightsFile
from ....io.log import timed
from .patchers import give_weights, keeps_the_files_types, loads_again_by, new_patcher

NETWORK = "diffusion_model."
#: The network's attribute that holds its `Decoder`. Not on the patcher: clones share the network, and a
#: second network that the host makes for a clone has its own.
_DECODER_OF = "emoe_decoder"
_DECODER = ("output_blocks", "out")
_DECODER_NAMES = ("output_blocks.", "out.")
_META = torch.device("meta")
SAFETENSORS = (".safetensors", ".sft")
#: How the names of text encoders begin in checkpoints.
_TEXT = ("cond_stage_model.", "conditioner.", "text_encoders.")
_NOT_NETWORK = (*_TEXT, "first_stage_model.", "vae.")
#: What may stand beside a quantised weight: scales, remarks and tables, by their name in the layer.
BOOKKEEPING = frozenset(
    {
        "comfy_quant",
        "input_scale",
        "pre_quant_scale",
        "scale_input",
        "scale_weight",
        "scaled_fp8",
        "weight_codebook",
        "weight_s_channel",
        "weight_s_rel",
        "weight_scale",
        "weight_scale_2",
    }
)
#: Tensors up to this size (bytes) are read for ComfyUI's detection, which reads some values, e.g. for v-prediction.
_LOOKED_AT = 4096


class _NoDecoder(torch.nn.Module):
    """Replaces the decoder."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        raise EMoEError(
            "An expert that was loaded encoder only was run to its end, which it does not have; set 'load' of Load Experts "
            "to 'whole'."
        )


@dataclass(eq=False)
class Decoder:
    """The part of a network that stayed in its file.

    Attributes:
        names: the decoder's weights: name in the network -> name in the file.
        modules: the decoder's modules without memory for weights, by attribute name; None once they are in the network.
        keep_types: whether weights keep the file's types (see `patchers.keeps_the_files_types`).
    """

    path: Path
    version: tuple[int, int]
    names: dict[str, str]
    modules: dict[str, torch.nn.Module] | None
    keep_types: bool


def load_encoder_only(path: Path, disable_dynamic: bool = False) -> tuple[ModelPatcher, bool] | None:
    """A MODEL without decoder from a file, and whether the file has a text encoder.

    None where this is impossible and the file must be loaded whole: another format than safetensors, a network that is no
    U-Net, names in another layout (diffusers'), quantised layers with scales of their own.

    Args:
        disable_dynamic: load the old way, where the host has another.

    Raises:
        SafetensorError, OSError: the file is damaged, cut short or missing.
    """
    if path.suffix.lower() not in SAFETENSORS:
        return None
    with WeightsFile(path) as file:
        shells = shells_of(file)
        prefix = None if shells is None else _prefix(shells)
        if shells is None or prefix is None or _is_quantised(file):
            return None
        config = comfy.model_detection.model_config_from_unet(shells, prefix, metadata=dict(file.metadata))
        base = comfy.supported_models_base.BASE.process_unet_state_dict
        if config is None or type(config).process_unet_state_dict is not base:
            return None
        model = _empty_model(config, shells, prefix)
        network = model.diffusion_model
        names = _names(network, prefix, file)
        if names is None:
            return None
        modules = {attribute: getattr(network, attribute) for attribute in _DECODER}
        network.output_blocks = torch.nn.ModuleList([TimestepEmbedSequential(_NoDecoder())])
        network.out = _NoDecoder()
        offload = comfy.model_management.unet_offload_device()
        model.device = offload
        patcher = new_patcher(model, comfy.model_management.get_torch_device(), offload, disable_dynamic)
        keep_types = keeps_the_files_types(patcher)
        _read_into(network, names, file, keep_types)
        left = {n: f for n, f in names.items() if n.startswith(_DECODER_NAMES)}
        decoder = Decoder(path, file.version, left, modules, keep_types)
        has_text = has_text_encoder(config, file, shells)
    model.to(offload)
    setattr(network, _DECODER_OF, decoder)
    loads_again_by(patcher, _again, decoder)
    return patcher, has_text


def _again(decoder: Decoder, disable_dynamic: bool = False) -> ModelPatcher:
    """The model of this decoder, loaded again from its file, with as much of it as is in memory now."""
    with _reopened(decoder):
        loaded = load_encoder_only(decoder.path, disable_dynamic)
    assert loaded is not None
    if decoder.modules is None:
        complete(loaded[0])
    return loaded[0]


def decoder_of(model: ModelPatcher) -> Decoder | None:
    """The part of this MODEL's network that is still in its file; None for a whole model."""
    decoder: Decoder | None = getattr(getattr(model.model, "diffusion_model", None), _DECODER_OF, None)
    return None if decoder is None or decoder.modules is None else decoder


@contextmanager
def unread_weights(model: ModelPatcher) -> Iterator[list[tuple[str, FileTensor]]]:
    """The weights that are still in the file, by their name in the model, for its signature. None for a whole model."""
    decoder = decoder_of(model)
    if decoder is None:
        yield []
        return
    assert decoder.modules is not None
    types = {f"{a}.{n}": w.dtype for a, module in decoder.modules.items() for n, w in module.named_parameters()}
    with _reopened(decoder) as file:
        if decoder.keep_types:
            types = {n: file.dtype(decoder.names[n]) or dtype for n, dtype in types.items()}
        yield [(NETWORK + n, FileTensor(file, decoder.names[n], dtype)) for n, dtype in types.items()]


def complete(model: ModelPatcher) -> None:
    """Reads the decoder from the file into the network; does nothing for a whole model.

    The model is unloaded first and loaded again with its true size, so that the host's memory accounting stays right.

    Raises:
        EMoEError: the file is gone, or has changed since the encoder was read.
    """
    decoder = decoder_of(model)
    if decoder is None:
        return
    modules = decoder.modules
    assert modules is not None
    with timed("read the decoder of '%s', which this score needs", decoder.path.name), _reopened(decoder) as file:
        for attribute, module in modules.items():
            start = f"{attribute}."
            own = {name.removeprefix(start): f for name, f in decoder.names.items() if name.startswith(start)}
            _read_into(module, own, file, decoder.keep_types)
    _unload(model)
    for attribute, module in modules.items():
        setattr(model.model.diffusion_model, attribute, module.to(model.offload_device))
    model.size = 0  # the host counts it again
    decoder.modules = None


def _is_quantised(file: WeightsFile, text_too: bool = True) -> bool:
    """Whether a file has layers with scales of their own. Different hosts recognise it by different marks."""
    remarks = json.loads(file.metadata.get("_quantization_metadata", "{}")).get("layers", {})
    beside = (name for name in file.names() if name.rpartition(".")[2] in BOOKKEEPING)
    return any(text_too or not name.startswith(_TEXT) for name in chain(remarks, beside))


def quantised_in_file(path: Path) -> bool:
    """Whether a file's network has layers with scales of their own. False for other formats than safetensors."""
    if path.suffix.lower() not in SAFETENSORS:
        return False
    with WeightsFile(path) as file:
        return _is_quantised(file, text_too=False)


def eight_bits_in_file(path: Path) -> str:
    """The type of the 8-bit floats that most matrices of a file's network are made of, else "".

    Hosts may load such a file as 16 or 32 bits, but its weights stay as coarse as they were written.
    """
    if path.suffix.lower() not in SAFETENSORS:
        return ""
    counts: Counter[torch.dtype | None] = Counter()
    with WeightsFile(path) as file:
        for name in file.names():
            if len(file.shape(name)) >= 2 and not name.startswith(_NOT_NETWORK):
                counts[file.dtype(name)] += math.prod(file.shape(name))
    dtype = max(counts, key=lambda found: counts[found], default=None)
    return "" if dtype is None or dtype.itemsize > 1 else str(dtype).removeprefix("torch.")


def shells_of(file: WeightsFile) -> dict[str, Tensor] | None:
    """The file as a state dict for ComfyUI's detection: shapes and types, and the values of small tensors only."""
    if any(file.dtype(name) is None for name in file.names()):
        return None
    shells = {name: file.shell(name) for name in file.names()}
    prefix = _prefix(shells)
    for name, shell in shells.items():
        about_network = "." not in name or name.startswith("edm_") or (prefix is not None and name.startswith(prefix))
        if about_network and shell.numel() * shell.element_size() <= _LOOKED_AT:
            shells[name] = file.read(name)
    return shells


def _prefix(names: dict[str, Tensor]) -> str | None:
    """The prefix of the names of a U-Net's weights: "" in files of the diffusion_models folder."""
    found = comfy.model_detection.unet_prefix_from_state_dict(names)
    return next((prefix for prefix in (found, "") if f"{prefix}input_blocks.0.0.weight" in names), None)


def _empty_model(config: comfy.supported_models_base.BASE, shells: dict[str, Tensor], prefix: str) -> BaseModel:
    """ComfyUI's model as its checkpoint loader builds it, with no memory for weights.

    The type of the weights is chosen as for the whole model, so that encoder only computes the same numbers.
    """
    management = comfy.model_management
    dtype = management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(shells, prefix),
        supported_dtypes=list(config.supported_inference_dtypes),
        weight_dtype=comfy.utils.weight_dtype(shells, prefix),
    )
    device = management.get_torch_device()
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, config.supported_inference_dtypes))
    model = config.get_model(shells, prefix, device=_META)
    give_weights(model.diffusion_model)
    return model


def _names(network: torch.nn.Module, prefix: str, file: WeightsFile) -> dict[str, str] | None:
    """Name in the file of each of the network's weights, or None if the file does not have exactly these."""
    if type(network) is not UNetModel or network.middle_block is None:
        return None
    weights = dict(network.named_parameters())
    names = {name: prefix + name for name in network.state_dict()}
    fits = names.keys() == weights.keys() and all(n in file for n in names.values())
    return names if fits and all(file.shape(names[n]) == tuple(w.shape) for n, w in weights.items()) else None


def _read_into(module: torch.nn.Module, names: dict[str, str], file: WeightsFile, keep_types: bool) -> None:
    """Reads every weight of a module without memory from the file, in the type it was built for or in the file's."""
    for owner_name, owner in module.named_modules():
        for name, weight in list(owner.named_parameters(recurse=False)):
            comfy.model_management.throw_exception_if_processing_interrupted()
            read = file.read(names[f"{owner_name}.{name}" if owner_name else name])
            dtype = read.dtype if keep_types else weight.dtype
            differs = read.dtype != dtype or read.stride() != weight.stride()
            filled = torch.empty_like(weight, dtype=dtype, device="cpu").copy_(read) if differs else read
            setattr(owner, name, torch.nn.Parameter(filled, requires_grad=weight.requires_grad))


def has_text_encoder(config: comfy.supported_models_base.BASE, file: WeightsFile, shells: dict[str, Tensor]) -> bool:
    """Whether a file has a text encoder that the host would load; `shells` are the file's, from `shells_of`."""
    text = config.process_clip_state_dict(dict(shells))
    return len(text) > 0 and config.clip_target(state_dict=shells) is not None


def _reopened(decoder: Decoder) -> WeightsFile:
    advice = "run Load Experts again"
    try:
        file = WeightsFile(decoder.path)
    except Exception as error:  # anything may have happened to the file
        raise EMoEError(
            f"The decoder of '{decoder.path.name}' cannot be read, since the file is gone or damaged; {advice}."
        ) from error
    if file.version != decoder.version:
        raise EMoEError(f"The file '{decoder.path.name}' was changed since its encoder was read; {advice}.")
    return file


def _unload(model: ModelPatcher) -> None:
    """Asks the host to unload this model and no other: its size is about to change."""
    management = comfy.model_management
    others = [one for one in management.current_loaded_models if one.model is None or not one.model.is_clone(model)]
    management.free_memory(1e30, model.load_device, keep_loaded=others)
