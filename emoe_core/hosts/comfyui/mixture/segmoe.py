"""SegMoE folders: mixtures as `segmoe` 0.0.4 saves them, in diffusers layout.

`unet/config.json` has a `segmoe_config` (moe_layers, num_experts, num_experts_per_tok), and the U-Net's weights have
`...to_q.gate.weight` and `...to_q.experts.N.weight` where a plain one has `...to_q.weight`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import comfy.sd
import comfy.utils
import folder_paths
from comfy.model_patcher import ModelPatcher
from safetensors import SafetensorError
from torch import Tensor, nn

from ....errors import EMoEError, first_line
from ....experts.signature import signature
from ....io.files import file_sha256, state_of
from ....io.json_text import parse
from ....mixture.experts import MixtureSet
from ....mixture.layers import of_block
from ..experts import identity
from ..experts.load import expert_from_model
from ..experts.patchers import loads_again_by, not_dynamic
from .build import assemble
from .layers import NETWORK, copied_layer, sparse_layer_names

FOLDER = "diffusers"
WEIGHTS = Path("unet", "diffusion_pytorch_model.safetensors")
_CONFIG = Path("unet", "config.json")
_EXPERT = re.compile(r"(.+)\.experts\.(\d+)\.(.+)")
_ROUTER = ".gate.weight"
Weights = dict[str, Tensor]
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Loaded:
    """The contents of a SegMoE folder; `clip` and `vae` are None if it has none."""

    experts: MixtureSet
    clip: comfy.sd.CLIP | None
    vae: comfy.sd.VAE | None


def folders() -> list[str]:
    """Folders in ComfyUI's diffusers folders with a U-Net, one or two levels deep, with forward slashes."""
    found = {
        path.parent.parent.relative_to(root).as_posix()
        for root in map(Path, folder_paths.get_folder_paths(FOLDER))
        for pattern in (f"*/{_CONFIG}", f"*/*/{_CONFIG}")
        for path in root.glob(pattern)
    }
    return sorted(found)


def path_of(name: str) -> Path:
    """Full path of a name from `folders`; an `EMoEError` when it is not one of them."""
    if name in folders():
        for root in map(Path, folder_paths.get_folder_paths(FOLDER)):
            if (root / name / _CONFIG).is_file():
                return root / name
    raise EMoEError(f"The folder '{name}' is not in ComfyUI's models/{FOLDER}; refresh the list and choose another.")


def fingerprint(name: str) -> str:
    """Changes when the weights do; the load itself reports a missing folder."""
    return f"{name}:{state_of(lambda one: path_of(one) / WEIGHTS, name)}"


def load(name: str) -> Loaded:
    """Loads a mixture.

    Raises:
        EMoEError: the folder is missing, no SegMoE, or damaged.
    """
    folder = path_of(name)
    config = _config(folder, name)
    layers, top_k, count = _mixture_of(config, name)
    parts = _taken_apart(_weights(folder, name), count, name)
    model = _network(parts)
    if model is None:
        raise EMoEError(
            f"The SegMoE folder '{name}' holds a U-Net that ComfyUI does not know; it must be SD 1.5 or SDXL."
        )
    if missing := model.model.diffusion_model.state_dict().keys() - parts.base.keys():
        raise EMoEError(f"The SegMoE folder '{name}' lacks {len(missing)} weights, {min(missing)} among them.")
    loads_again_by(model, _network_again, folder, name)
    names = sparse_layer_names(model, layers)
    if set(names) != parts.routers.keys():
        raise EMoEError(
            f"The SegMoE folder '{name}' says that its layers are '{layers}', and its weights have others; it was not made "
            "by segmoe 0.0.4."
        )
    clip = _part("text_encoder", name, lambda: _clip(folder))
    vae = _part("vae", name, lambda: _vae(folder))
    base = expert_from_model(model, clip, name, f"{WEIGHTS.name} sha256:{file_sha256(folder / WEIGHTS)}")
    experts = []
    for index, own in enumerate(parts.experts):
        seen = signature((f"{layer}.{part}", weight) for layer, rest in own.items() for part, weight in rest.items())
        experts.append(replace(base, name=_name(config, index), signature=seen, identity=seen.digest))

    def layer_of(index: int, layer: str) -> nn.Module:
        template = model.get_model_object(NETWORK + layer)
        return copied_layer(template, parts.experts[index][layer], experts[index].name, layer, model.offload_device)

    # The base's other weights count too, because the first path's identity is that of the whole network.
    experts[0] = replace(experts[0], identity=base.identity)
    text_encoder = (clip, identity.clip_identity(clip, "the SegMoE folder's text encoder"))
    mixture = assemble(experts, parts.routers, layer_of, layers=layers, top_k=top_k, clip=text_encoder)
    return Loaded(mixture, clip, vae)


def _weights(folder: Path, name: str) -> Weights:
    try:
        state: Weights = comfy.utils.load_torch_file(str(folder / WEIGHTS), safe_load=True)
    except (OSError, SafetensorError, ValueError) as error:
        raise EMoEError(f"{WEIGHTS} of the SegMoE folder '{name}' is missing or damaged; download it again.") from error
    return state


@dataclass(frozen=True, eq=False)
class _Parts:
    """A U-Net taken apart, by ComfyUI's names: the base with expert 0's layers, the routers, each expert's layers."""

    base: Weights
    routers: Weights
    experts: list[dict[str, Weights]]


def _network(parts: _Parts, disable_dynamic: bool = False) -> ModelPatcher | None:
    """The base as a MODEL; None if ComfyUI does not know such a network."""
    return comfy.sd.load_diffusion_model_state_dict(dict(parts.base), **not_dynamic(disable_dynamic))


def _network_again(folder: Path, name: str, disable_dynamic: bool = False) -> ModelPatcher | None:
    _, _, count = _mixture_of(_config(folder, name), name)
    return _network(_taken_apart(_weights(folder, name), count, name), disable_dynamic)


def _taken_apart(state: Weights, count: int, folder: str) -> _Parts:
    """Converts diffusers' names with experts to ComfyUI's without."""
    plain: Weights = {}
    routers: Weights = {}
    experts: list[dict[str, Weights]] = [{} for _ in range(count)]
    for key, weight in state.items():
        if match := _EXPERT.fullmatch(key):
            layer, index, rest = match[1], int(match[2]), match[3]
            if index >= count:
                raise EMoEError(
                    f"The SegMoE folder '{folder}' says it has {count} experts, and its weights have more: {key}."
                )
            experts[index].setdefault(layer, {})[rest] = weight
            if index == 0:
                plain[f"{layer}.{rest}"] = weight
        elif key.endswith(_ROUTER):
            routers[key.removesuffix(_ROUTER)] = weight
        else:
            plain[key] = weight
    known = comfy.utils.unet_to_diffusers(_unet_config(plain, folder))
    if unknown := plain.keys() - known.keys():
        raise EMoEError(f"The SegMoE folder '{folder}' has weights that no such U-Net has, {min(unknown)} among them.")
    # Any weight's name gives its layer's name.
    renamed = {
        key[: -len(rest) - 1]: known[key][: -len(rest) - 1]
        for own in experts[:1]
        for layer, weights in own.items()
        for rest in weights
        for key in [f"{layer}.{rest}"]
    }
    if any(own.keys() != routers.keys() for own in experts):
        raise EMoEError(f"The SegMoE folder '{folder}' lacks gates or experts in some layers; download it again.")
    return _Parts(
        {known[key]: weight for key, weight in plain.items()},
        {renamed[layer]: gate for layer, gate in routers.items()},
        [{renamed[layer]: weights for layer, weights in own.items()} for own in experts],
    )


def _unet_config(state: Weights, folder: str) -> dict[str, Any]:
    """The shape of a diffusers U-Net in ComfyUI's terms, read from its weights' names."""

    def count(pattern: str) -> int:
        prefix = re.compile(pattern + r"\.(\d+)\.")
        return len({match[1] for key in state if (match := prefix.match(key))})

    def depths(side: str, block: int) -> list[int]:
        here = rf"{side}_blocks\.{block}"
        return [count(rf"{here}\.attentions\.{i}\.transformer_blocks") for i in range(count(rf"{here}\.resnets"))]

    blocks = count("down_blocks")
    if not blocks or "conv_in.weight" not in state:
        raise EMoEError(f"The SegMoE folder '{folder}' holds no U-Net in diffusers' layout.")
    return {
        "num_res_blocks": [count(rf"down_blocks\.{block}\.resnets") for block in range(blocks)],
        "channel_mult": [1] * blocks,  # only its length is read
        "transformer_depth": [depth for block in range(blocks) for depth in depths("down", block)],
        "transformer_depth_output": [depth for block in range(blocks) for depth in depths("up", block)][::-1],
        "transformer_depth_middle": count(r"mid_block\.attentions\.0\.transformer_blocks"),
    }


def _config(folder: Path, name: str) -> dict[str, Any]:
    try:
        config = parse((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EMoEError(f"{_CONFIG} of the folder '{name}' cannot be read ({error}); download it again.") from error
    found = config.get("segmoe_config") if isinstance(config, dict) else None
    if not isinstance(found, dict):
        raise EMoEError(
            f"The folder '{name}' is no SegMoE: its {_CONFIG.as_posix()} has no segmoe_config. Load plain diffusers models "
            "with ComfyUI's own loader and make a mixture with Build Mixture."
        )
    return found


def _mixture_of(config: dict[str, Any], name: str) -> tuple[str, int, int]:
    """Layers, top-k and number of experts."""
    try:
        layers = str(config["moe_layers"])
        top_k, count = int(config["num_experts_per_tok"]), int(config["num_experts"])
        of_block(layers)
    except (KeyError, TypeError, ValueError, EMoEError) as error:
        raise EMoEError(
            f"The segmoe_config of the SegMoE folder '{name}' is incomplete or unknown ({error}); EMoE reads those of "
            "segmoe 0.0.4."
        ) from error
    if count < 2 or not 1 <= top_k <= count:
        raise EMoEError(
            f"The SegMoE folder '{name}' has {count} experts and routes to {top_k}; a mixture has two or more and routes to "
            "at most all of them."
        )
    return layers, top_k, count


def _name(config: dict[str, Any], index: int) -> str:
    """The folder's name for an expert."""
    try:
        source = str(config["experts"][index]["source_model"])
        return f"{index + 1} {source.rstrip('/').rsplit('/', 1)[-1].removesuffix('.safetensors')}"
    except (KeyError, IndexError, TypeError):
        return f"expert {index + 1}"


def _part(what: str, name: str, load: Callable[[], _T]) -> _T:
    """A part beside the U-Net, through the host's own loader, whose errors are of many kinds."""
    try:
        return load()
    except Exception as error:
        raise EMoEError(
            f"The {what} of the SegMoE folder '{name}' cannot be loaded ({first_line(error)}); download it again, or remove it "
            "and connect another."
        ) from error


def _clip(folder: Path) -> comfy.sd.CLIP | None:
    files = [file for part in ("text_encoder", "text_encoder_2") if (file := _first(folder / part, "model"))]
    if not files:
        return None
    return comfy.sd.load_clip(files, embedding_directory=folder_paths.get_folder_paths("embeddings"))


def _vae(folder: Path) -> comfy.sd.VAE | None:
    file = _first(folder / "vae", "diffusion_pytorch_model")
    return None if file is None else comfy.sd.VAE(sd=comfy.utils.load_torch_file(file, safe_load=True))


def _first(folder: Path, stem: str) -> str | None:
    files = (folder / f"{stem}{kind}.safetensors" for kind in ("", ".fp16"))
    return next((str(file) for file in files if file.is_file()), None)
