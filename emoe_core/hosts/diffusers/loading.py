"""Experts from files and from words: folders in diffusers' layout, and single safetensors files. Never from the network."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.utils import deprecation_utils
from safetensors import SafetensorError, safe_open

from ...audit.source import DEMO
from ...errors import EMoEError, first_line
from ...experts.sets import Expert, ExpertSet
from ...io.files import file_sha256
from ...io.json_text import parse
from ...io.log import timed
from .demo import demo_experts
from .experts import expert_from_pipeline

#: Pipelines with known networks (see `networks`).
PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline")
#: diffusers' name for the type to load in, which its releases of mid-2026 changed.
_DTYPE = "dtype" if hasattr(deprecation_utils, "_resolve_dtype") else "torch_dtype"
#: Parts that a score does not need, so they are not read.
_UNUSED = ("vae", "safety_checker", "feature_extractor", "image_encoder")
_NETWORKS = ("unet", "transformer")
_TEXT_PREFIXES = ("cond_stage_model.", "conditioner.embedders.", "text_encoders.")
_UNET_PREFIX = "model.diffusion_model."


def load_experts(
    paths: Sequence[str | Path],
    *,
    config: str | Path | None = None,
    dtype: torch.dtype | None = None,
    clip_skip: int | None = None,
) -> ExpertSet:
    """Loads several experts as one set, in order.

    Args:
        paths: folders in diffusers' layout, and single safetensors files.
        config: a folder in diffusers' layout of the same family, for single files, which bring neither tokenizer nor
            configuration. Its .json and .txt files are enough. None takes the first folder among the paths.
        dtype: the type to compute in; None for float32.
        clip_skip: as in a pipeline's own call.
    """
    if not paths:
        raise EMoEError("There are no files to load experts from; give two or more.")
    if config is None:
        config = next((path for path in paths if (Path(path) / "model_index.json").is_file()), None)
    experts = ExpertSet()
    for path in paths:
        with timed("loaded the expert '%s'", Path(path).name):
            experts = experts.add(load_expert(path, config=config, dtype=dtype, clip_skip=clip_skip))
    return experts


def load_expert(
    path: str | Path,
    name: str = "",
    *,
    config: str | Path | None = None,
    dtype: torch.dtype | None = None,
    clip_skip: int | None = None,
) -> Expert:
    """Loads one expert onto the CPU; arguments as for `load_experts`.

    Raises:
        EMoEError: the file or folder is missing, damaged, unsafe, incomplete or of another kind.
    """
    where = Path(path)
    if not where.exists():
        raise EMoEError(f"There is no file or folder '{path}'; check the path.")
    kind = torch.float32 if dtype is None else dtype
    if where.is_dir():
        pipeline, file = _from_folder(where, kind)
    else:
        pipeline, file = _from_file(where, None if config is None else Path(config), kind), ""
        file = f"{where.name} sha256:{file_sha256(where)}"
    return expert_from_pipeline(pipeline, name or where.stem, clip_skip=clip_skip, file=file)


def load_asked(
    names: Sequence[str], config: str = "", device: str = "", dtype: str = "", clip_skip: int | None = None
) -> tuple[ExpertSet, torch.device | None]:
    """The experts that a command line or an audit names, and the device they take turns on; None for the processor.

    Args:
        names: files and folders, or only the word DEMO.
        config, dtype, clip_skip: see `load_experts`; "" for the usual type of the device.
        device: "" for a graphics card if there is one.

    Raises:
        EMoEError: the device cannot be used, or an expert cannot be loaded.
    """
    place = _device(device)
    kind = getattr(torch, dtype or ("float32" if place.type == "cpu" else "float16"))
    with without_progress_bars():
        if list(names) == [DEMO]:
            experts = demo_experts()
        else:
            experts = load_experts(list(names), config=config or None, dtype=kind, clip_skip=clip_skip)
    return experts, None if place.type == "cpu" else place


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EMoEError(f"The device '{name}' cannot be used ({str(error).splitlines()[0]}).") from error
    return device


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Turns off the libraries' own bars inside the block, for a program that shows its own progress."""
    libraries = (diffusers.utils.logging, transformers.utils.logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def _from_folder(folder: Path, dtype: torch.dtype) -> tuple[Any, str]:
    pipeline_class = _class_of(folder)
    network = next((folder / name for name in _NETWORKS if (folder / name).is_dir()), folder)
    files = sorted(network.glob("*.safetensors"))
    variant = None
    if files and all(".fp16." in file.name for file in files):
        variant = "fp16"
    elif any(".fp16." in file.name for file in files):
        files = [file for file in files if ".fp16." not in file.name]
    if not files:
        raise EMoEError(
            f"The folder '{folder}' has no safetensors weights in '{network.name}'; other formats can run code when they are "
            "read, so save the pipeline again with safe_serialization."
        )
    _check_whole(files, f"'{folder}'")
    absent = [part for part, kind in _index(folder).items() if isinstance(kind, list) and kind[0] is None]
    unused: dict[str, Any] = {part: None for part in (*_UNUSED, *absent) if _takes(pipeline_class, part)}
    try:
        pipeline = pipeline_class.from_pretrained(
            str(folder), variant=variant, local_files_only=True, use_safetensors=True, **{_DTYPE: dtype}, **unused
        )
    except Exception as error:  # each library in between raises its own types
        raise EMoEError(
            f"The folder '{folder}' cannot be loaded ({first_line(error)}); save or copy it again."
        ) from error
    _check_complete(_network_of(pipeline), sum(len(_keys(file)) for file in files), f"The folder '{folder}'")
    names = ", ".join(str(file.relative_to(folder)) for file in files)
    hashes = ", ".join(file_sha256(file) for file in files)
    return pipeline, f"{folder.name}/{names} sha256:{hashes}"


def _from_file(file: Path, config: Path | None, dtype: torch.dtype) -> Any:
    if file.suffix.lower() != ".safetensors":
        raise EMoEError(
            f"'{file}' is not a safetensors file, and other formats can run code when they are read; convert it."
        )
    _check_whole([file], f"'{file}'")
    if config is None:
        raise EMoEError(
            f"The single file '{file}' brings no tokenizer and no configuration; give config, a folder in diffusers' layout "
            "of the same model family (its .json and .txt files are enough)."
        )
    pipeline_class = _class_of(config)
    unused: dict[str, Any] = {part: None for part in _UNUSED if _takes(pipeline_class, part)}
    keys = _keys(file)
    options = {"config": str(config), _DTYPE: dtype, "local_files_only": True}
    try:
        if any(key.startswith(_TEXT_PREFIXES) for key in keys):
            pipeline = pipeline_class.from_single_file(str(file), **options, **unused)
        else:
            part = next(name for name in _NETWORKS if _takes(pipeline_class, name))
            network_class = getattr(diffusers, _index(config)[part][1])
            network = network_class.from_single_file(str(file), subfolder=part, **options)
            if not any(config.glob("text_encoder*/*.safetensors")):  # then another expert's encoder serves this one
                parts = [name for name in _index(config) if name.startswith(("text_encoder", "tokenizer"))]
                unused |= dict.fromkeys(parts)
            pipeline = pipeline_class.from_pretrained(
                str(config), local_files_only=True, use_safetensors=True, **unused, **{part: network, _DTYPE: dtype}
            )
    except Exception as error:  # each library in between raises its own types
        raise EMoEError(
            f"The file '{file}' cannot be loaded with the configuration of '{config}' ({first_line(error)}); give the "
            "configuration of the file's own model family."
        ) from error
    whole = sum(key.startswith(_UNET_PREFIX) for key in keys)
    if whole:
        _check_complete(_network_of(pipeline), whole, f"The file '{file}'")
    return pipeline


def _class_of(folder: Path) -> Any:
    """The pipeline's class. Only known names are looked up, so a folder cannot bring code of its own."""
    index = _index(folder)
    name = index.get("_class_name")
    if "segmoe_config" in _json(folder / "unet" / "config.json"):
        raise EMoEError(
            f"'{folder}' is a SegMoE mixture, which is scored in ComfyUI only (Load SegMoE); here, give the checkpoints that "
            "it was made from as experts."
        )
    if name not in PIPELINES:
        raise EMoEError(f"'{folder}' is a {name}, which is not known here; use one of {', '.join(PIPELINES)}.")
    return getattr(diffusers, name)


def _index(folder: Path) -> dict[str, Any]:
    found = _json(folder / "model_index.json")
    if not found:
        raise EMoEError(
            f"'{folder}' is not a pipeline in diffusers' layout: it has no readable model_index.json. Give the folder that "
            "save_pretrained wrote."
        )
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _takes(pipeline_class: Any, part: str) -> bool:
    return part in pipeline_class._get_signature_keys(pipeline_class)[0]


def _keys(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def _check_whole(files: Sequence[Path], where: str) -> None:
    for file in files:
        try:
            _keys(file)
        except (SafetensorError, OSError) as error:
            raise EMoEError(
                f"The weights '{file.name}' of {where} are damaged ({first_line(error)}); download them again."
            ) from error


def _network_of(pipeline: Any) -> Any:
    return next(part for name in _NETWORKS if (part := getattr(pipeline, name, None)) is not None)


def _check_complete(network: Any, found: int, where: str) -> None:
    """An `EMoEError` for missing weights. The libraries fill them with noise and only log it."""
    wanted = len(network.state_dict())
    if found < wanted:
        raise EMoEError(f"{where} has {found} of the {wanted} weights of a {type(network).__name__}; it is not whole.")
