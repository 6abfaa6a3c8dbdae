"""What a ComfyUI model is: its weights, its patches and its family, read without moving or changing anything."""

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ....experts.contents import Contents
from ....experts.signature import DIGEST_VALUES, Signature, sample_values
from ....mixture.sparse import SparseMoE
from .content import content
from .demo import DemoTextModels
from .partial import NETWORK
from .weights import weights_signature

#: The projection of the pooled text in the CLIPs of SD1, SDXL and SD2. Those models do not use it and most files do not
#: contain it, so ComfyUI leaves uninitialised memory in it. (The embedded experts define it.)
UNUSED = ("clip_l.transformer.text_projection.weight", "clip_h.transformer.text_projection.weight")

_PLAIN = (bool, int, float, str, torch.dtype, type(None))

#: How the keys of object patches in the network begin.
_OBJECT = "object:"
#: Wrappers and options that only change how the same numbers are computed.
ROUNDING_ONLY = frozenset({"torch.compile", "torch_compile_kwargs"})


def model_identity(patcher: ModelPatcher, weights: Signature) -> str:
    """Digest of what a user chose: the weights, the patches on them, and the parameters of everything else in the model.

    Equal for equal choices, however the model was loaded, before and after a run. A patch's code does not count, so an
    update of its node pack may change its effect: see `emoe_core.gating.proof`.
    """
    digest = _weights_and_patches(patcher, weights)
    objects = _object_patches(patcher)
    for key in sorted(objects):
        if isinstance(objects[key], SparseMoE):  # a mixture's layers bring their identity
            digest.update(f"{key}={type(objects[key]).__qualname__};{objects[key].identity}".encode())
    own = {kind: sorted(key for key in map(str, keys) if is_ours(key)) for kind, keys in patcher.wrappers.items()}
    _feed(digest, {kind: keys for kind, keys in own.items() if keys})
    patches = dict(_patches(patcher))
    contents = Contents(_known_to(patcher), patches.values())
    for name in sorted(patches):
        place = name.removeprefix(_OBJECT)
        found = (
            contents.digest(patches[name]) if place == name else contents.beside(patches[name], _own(patcher, place))
        )
        digest.update(f"{name}={found};".encode() if found else b"")
    return str(digest.hexdigest())


def clip_identity(clip: Any, where: str) -> str:
    """Digest of a text encoder with its patches, clip-skip, hooks and tokenizer options; "" for None."""
    if clip is None:
        return ""
    unused = () if isinstance(clip.cond_stage_model, DemoTextModels) else UNUSED
    weights = weights_signature(clip.patcher, "", where, unused)
    digest = hashlib.sha256(model_identity(clip.patcher, weights).encode())
    digest.update(str(clip.layer_idx).encode())
    for name in ("tokenizer_options", "apply_hooks_to_conds", "use_clip_schedule"):
        if chosen := getattr(clip, name, None):
            digest.update(f"{name}={content(chosen)};".encode())
    if clip.patcher.forced_hooks:
        digest.update(f"hooks={content(clip.patcher.forced_hooks)};".encode())
    return digest.hexdigest()


def family(patcher: ModelPatcher) -> str:
    """Architecture and latent format in words, equal for models whose latents mean the same."""
    base = patcher.model
    config = type(getattr(base, "model_config", base)).__name__
    latent = base.latent_format
    # Inpainting models get the mask and the masked picture beside the latent: they are trained for a different task.
    purpose = " for inpainting" if getattr(base, "concat_keys", ()) else ""
    channels = f"{latent.latent_channels}-channel {type(latent).__name__} latents"
    return f"{config} ({type(base).__name__}){purpose} with {channels}"


def prediction(patcher: ModelPatcher) -> str:
    """What the network predicts, including object patches such as ModelSamplingDiscrete."""
    sampling = patcher.get_model_object("model_sampling")
    kinds = ("V_PREDICTION", "EPS", "X0", "EDM", "CONST", "IMG_TO_IMG", "COSMOS_RFLOW")
    names = {cls.__name__ for cls in type(sampling).__mro__}
    return next((kind for kind in kinds if kind in names), str(base_type(patcher)))


def base_type(patcher: ModelPatcher) -> str:
    """The host's own name for the model's prediction type."""
    return str(getattr(getattr(patcher.model, "model_type", None), "name", "unknown"))


def compute_dtype(patcher: ModelPatcher) -> str:
    """The type the network computes in, including a user's choice of it, e.g. "float32"."""
    own = getattr(patcher.model, "manual_cast_dtype", None)
    dtype = patcher.object_patches.get("manual_cast_dtype", own) or patcher.model_dtype()
    return str(dtype).removeprefix("torch.")


def _patches(patcher: ModelPatcher) -> Iterator[tuple[str, Any]]:
    """Everything besides weights that other nodes put into a model, by its place; nothing for a model as it was loaded."""
    for key, patch in _object_patches(patcher).items():
        if not isinstance(patch, SparseMoE):
            yield f"{_OBJECT}{key}", patch
    for key, option in patcher.model_options.items():
        if key == "transformer_options":
            yield from ((f"option:{key}:{name}", part) for name, part in option.items() if part)
        elif option and key not in ROUNDING_ONLY:
            yield f"option:{key}", option
    for kind, wrappers in patcher.wrappers.items():
        for owner, functions in wrappers.items():
            if functions and not is_ours(str(owner)) and owner not in ROUNDING_ONLY:
                yield f"wrapper:{kind}:{owner}", functions
    for kind in ("injections", "weight_wrapper_patches", "additional_models"):
        held = getattr(patcher, kind, {}).items()
        yield from ((f"{kind}:{key}", value) for key, value in held if value and not is_ours(str(key)))


def is_ours(key: str) -> bool:
    """Whether the key of a wrapper, an injection or an additional model is one that this pack uses."""
    return key.startswith("emoe_")


def _object_patches(patcher: ModelPatcher) -> dict[str, Any]:
    """The object patches that change something, so not those equal to the model's own value."""
    return {key: patch for key, patch in patcher.object_patches.items() if not _same(patch, _own(patcher, key))}


def _own(patcher: ModelPatcher, key: str) -> Any:
    """The model's own value in the place of an object patch, or None."""
    if key == "manual_cast_dtype" and not hasattr(patcher.model, "diffusion_model"):
        return torch.float32  # text encoders compute in it, and newer hosts put this patch on all of them
    if key in patcher.object_patches_backup:
        return patcher.object_patches_backup[key]
    own = patcher.model
    for name in key.split("."):
        own = getattr(own, name, None)
    return own


def _same(patch: Any, own: Any) -> bool:
    return patch is own or (isinstance(patch, _PLAIN) and type(patch) is type(own) and bool(patch == own))


def _known_to(patcher: ModelPatcher) -> Callable[[Any], str | None]:
    """A function that names values identified elsewhere: the model's own parts, and other models.

    Patches often hold the model they are for. Its weights are already in the identity without their patches, so their
    current values must not count as well.
    """
    own: dict[int, str] = {}

    def known(value: Any) -> str | None:
        if isinstance(value, ModelPatcher):
            return "own" if value.model is patcher.model else _other_model(value)
        if isinstance(value, (torch.nn.Module, torch.Tensor)):
            if not own:  # listed on first use
                own.update(_own_parts(patcher))
            return own.get(id(value))
        return None

    return known


def _own_parts(patcher: ModelPatcher) -> dict[int, str]:
    """Names of a model's modules and weights by their id, including those that a loaded clone's patches replace now."""

    def parts(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
        return chain(module.named_modules(), module.named_parameters(), module.named_buffers())

    replaced = patcher.object_patches_backup
    starts = tuple(f"{key}." for key in replaced)
    own = {id(part): f"own:{name}" for name, part in parts(patcher.model) if not f"{name}.".startswith(starts)}
    for key, original in replaced.items():
        if isinstance(original, torch.nn.Module):
            own |= {id(part): f"own:{key}.{name}".rstrip(".") for name, part in parts(original)}
    return own


def _other_model(patcher: ModelPatcher) -> str:
    prefix = NETWORK if hasattr(patcher.model, "diffusion_model") else ""
    return str(_weights_and_patches(patcher, weights_signature(patcher, prefix, "a patch")).hexdigest())


def _weights_and_patches(patcher: ModelPatcher, weights: Signature) -> Any:
    """A hash of a model's weights and of the patches on them, which goes on with what else is in it."""
    digest = hashlib.sha256(weights.digest.encode())
    for key in sorted(patcher.patches):
        digest.update(key.encode())
        _feed(digest, patcher.patches[key])
    return digest


def _feed(digest: Any, value: Any) -> None:
    """Adds any nesting of tensors, numbers, names and weight adapters to a hash."""
    if isinstance(value, torch.Tensor):
        digest.update(str(tuple(value.shape)).encode())
        digest.update(sample_values(value, DIGEST_VALUES).astype("<f4").tobytes())
    elif isinstance(value, dict):
        for key in value:
            digest.update(f"{key}:".encode())
            _feed(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"[{len(value)}".encode())
        for item in value:
            _feed(digest, item)
    elif hasattr(value, "weights"):  # comfy's LoRA, LoHa, ... adapters
        digest.update(type(value).__name__.encode())
        _feed(digest, value.weights)
    elif isinstance(value, (bool, int, float, str)) or value is None:
        digest.update(json.dumps(value).encode())
    else:
        digest.update(str(getattr(value, "__qualname__", type(value).__qualname__)).encode())
