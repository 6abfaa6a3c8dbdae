"""Experts from ComfyUI's models and from files in ComfyUI's folders, whose text encoders may be read on first use."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import comfy.utils
import folder_paths
from comfy.model_patcher import ModelPatcher
from safetensors import SafetensorError

from ....errors import EMoEError, first_line
from ....experts.family import SLIM as SLIM_MARK
from ....experts.sets import Expert, ExpertSet
from ....io.files import file_sha256, state_of
from ....io.log import timed
from . import identity
from .partial import NETWORK, eight_bits_in_file, load_encoder_only, quantised_in_file
from .slim import slim_clip, slim_model
from .weights import is_quantised, weight_type, weights_signature

#: Files of this folder are listed with the folder's name in front, so that their names differ from those of checkpoints.
DIFFUSION_MODELS = "diffusion_models"
NONE = "none"
#: How much of a file Load Experts reads at first. Graphs older than this choice get the first: scores are the same.
LOAD = (ENCODER_ONLY, WHOLE, SLIM) = ("encoder only", "whole", "slim")


def expert_from_model(model: ModelPatcher, clip: Any, name: str, file: str = "") -> Expert:
    """An expert from a MODEL (a ModelPatcher, with its LoRAs and patches) and its CLIP, or None."""
    where = f"expert '{name}'" if name else "the model"
    weights = weights_signature(model, NETWORK, where)
    lazy = isinstance(clip, LazyClip)
    return Expert(
        name=name,
        model=model,
        clip=clip,
        signature=weights,
        identity=identity.model_identity(model, weights),
        clip_identity=clip.identity if lazy else identity.clip_identity(clip, f"the text encoder of {where}"),
        family=identity.family(model),
        prediction=identity.prediction(model),
        dtype=identity.compute_dtype(model),
        file=file,
        weights=weight_type(model, NETWORK),
    )


def model_files() -> list[str]:
    """Checkpoints, then diffusion models as "diffusion_models/NAME"."""
    checkpoints = folder_paths.get_filename_list("checkpoints")
    models = folder_paths.get_filename_list(DIFFUSION_MODELS)
    return [*checkpoints, *(f"{DIFFUSION_MODELS}/{name}" for name in models)]


def model_path(name: str) -> Path:
    """Full path of a name from `model_files`; an `EMoEError` when the file is missing."""
    folder, file = "checkpoints", name
    path = folder_paths.get_full_path(folder, file)
    if path is None and name.startswith(f"{DIFFUSION_MODELS}/"):
        folder, file = DIFFUSION_MODELS, name.removeprefix(f"{DIFFUSION_MODELS}/")
        path = folder_paths.get_full_path(folder, file)
    if path is None:
        raise EMoEError(
            f"The model file '{name}' is not in ComfyUI's {folder} folder; refresh the list and choose another."
        )
    return Path(path)


def load_expert(name: str, encoder_only: bool = False) -> Expert:
    """Loads one expert, with its own text encoder if the file has one.

    Args:
        encoder_only: leave the decoder (see `partial`) and the text encoder in the file until they are needed. Files
            that do not allow this are loaded whole. Scores and identity are the same either way.

    Raises:
        EMoEError: the file is missing, cut short, no model, a pickle that ComfyUI refuses to load, or quantised in a form
            that ComfyUI does not know.
    """
    path = model_path(name)
    with _named_errors(name):
        part = load_encoder_only(path) if encoder_only else None
        if part is not None:
            encoder, has_text = part
            with_text = has_text and not _is_diffusion_model(name)
            lazy = LazyClip(path, path.stem) if with_text else None
            return _from_file(encoder, lazy, path, f"{path.stat().st_size} bytes")
        model, clip = _load_whole(path, _is_diffusion_model(name))
    if model is None:
        raise EMoEError(f"The model file '{name}' holds no diffusion model; choose another.")
    if quantised_in_file(path) and not is_quantised(model, NETWORK):
        # Such a host takes the numbers without their scales and reports nothing.
        raise EMoEError(
            f"The model file '{name}' is quantised in a form that this ComfyUI does not know; update ComfyUI, or use the "
            "model's fp16 version."
        )
    return _from_file(model, clip, path, f"sha256:{file_sha256(path)}")


def load_slim_expert(name: str, first: Expert) -> Expert:
    """One more expert, of which only the difference from the first one is held; see `slim`.

    Raises:
        EMoEError: as `load_expert`; or the file's network is no relative of the first expert's.
    """
    path = model_path(name)
    with _named_errors(name):
        model, has_text = slim_model(first.model, path)
    clip: LazyClip | None = None
    if has_text and not _is_diffusion_model(name):
        clip = LazyClip(path, path.stem) if first.clip is None else _SlimClip(path, path.stem, first.clip)
    return expert_from_model(model, clip, path.stem, f"{path.name} {path.stat().st_size} bytes{SLIM_MARK}")


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Says of a file that cannot be loaded what is wrong with it."""
    try:
        yield
    except EMoEError:
        raise
    except (SafetensorError, ValueError) as error:
        # Some ComfyUI releases turn safetensors' own error into a ValueError.
        raise EMoEError(
            f"The model file '{name}' is damaged or no safetensors file ({first_line(error)}); download it again."
        ) from error
    except pickle.UnpicklingError as error:
        raise EMoEError(
            f"The model file '{name}' is a pickle that is not safe to load; use the model's safetensors version."
        ) from error
    except (RuntimeError, KeyError, AttributeError, EOFError, OSError) as error:
        raise EMoEError(
            f"The model file '{name}' is not a model that ComfyUI knows ({first_line(error)}); choose another."
        ) from error


def _from_file(model: ModelPatcher, clip: Any, path: Path, mark: str) -> Expert:
    expert = expert_from_model(model, clip, path.stem, f"{path.name} {mark}")
    in_file = "" if is_quantised(model, NETWORK) else eight_bits_in_file(path)
    return replace(expert, weights=in_file or expert.weights)


def _is_diffusion_model(name: str) -> bool:
    return name.startswith(f"{DIFFUSION_MODELS}/")


def _load_whole(path: Path, is_diffusion_model: bool) -> tuple[ModelPatcher | None, comfy.sd.CLIP | None]:
    """MODEL and CLIP (or None) through ComfyUI's own loaders."""
    if is_diffusion_model:
        return comfy.sd.load_diffusion_model(str(path)), None
    loaded = _checkpoint(path)
    return loaded[0], loaded[1]


def _checkpoint(path: Path, **more: bool) -> Any:
    """What ComfyUI's own loader gives for a checkpoint, without its VAE: the MODEL, the CLIP, ..."""
    embeddings = folder_paths.get_folder_paths("embeddings")
    return comfy.sd.load_checkpoint_guess_config(
        str(path), output_vae=False, output_clip=True, embedding_directory=embeddings, **more
    )


def load_experts(names: list[str], load: str = WHOLE) -> ExpertSet:
    """Loads several experts as one set, in order. `load` is one of `LOAD`; see `load_expert`."""
    if load not in LOAD:
        raise EMoEError(f"Load Experts' input 'load' is '{load}'; choose {', '.join(LOAD[:-1])} or {LOAD[-1]}.")
    experts = ExpertSet()
    progress = comfy.utils.ProgressBar(len(names))
    for name in names:
        comfy.model_management.throw_exception_if_processing_interrupted()
        with timed("loaded the expert '%s' (%s)", name, load):
            slim = load == SLIM and len(experts) > 0
            made = load_slim_expert(name, experts.experts[0]) if slim else load_expert(name, load == ENCODER_ONLY)
            experts = experts.add(made)
        progress.update(1)
    return experts


def files_fingerprint(names: list[str]) -> str:
    """Changes when one of the files does; the load itself reports a missing file."""
    return "|".join(f"{name}:{state_of(model_path, name)}" for name in names)


class LazyClip:
    """Acts as the CLIP of a checkpoint, and loads it when one of its attributes is first used.

    If a graph encodes its prompt elsewhere, this text encoder is never read.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._clip: Any = None
        self._identity: str | None = None

    def identity(self) -> str:
        """Like `identity.clip_identity` of the loaded CLIP."""
        if self._identity is None:  # cached, since every prompt asks for it; nodes that patch a CLIP patch a clone
            self._identity = identity.clip_identity(self._loaded(), f"the text encoder of expert '{self._name}'")
        return self._identity

    def get_models(self) -> list[Any]:
        """The text encoder's ModelPatcher, if it was read. ComfyUI's request for it does not count as a use."""
        return [] if self._clip is None else [self._clip.patcher]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and pickling look for methods that a CLIP does not have
            raise AttributeError(name)
        return getattr(self._loaded(), name)

    def _loaded(self) -> Any:
        if self._clip is None:
            try:
                with timed("loaded the text encoder of '%s'", self._name):
                    self._clip = self._read()
            except (RuntimeError, ValueError, KeyError, OSError) as error:
                raise EMoEError(
                    f"The text encoder of expert '{self._name}' cannot be read from '{self._path.name}', since the file is "
                    "gone or damaged; run Load Experts again."
                ) from error
        return self._clip

    def _read(self) -> Any:
        return _checkpoint(self._path, output_model=False)[1]


class _SlimClip(LazyClip):
    """The text encoder of a slim expert: its difference from the first expert's is all that stays in memory."""

    def __init__(self, path: Path, name: str, first: Any) -> None:
        super().__init__(path, name)
        self._first = first

    def _read(self) -> Any:
        return slim_clip(self._first, super()._read(), f"The text encoder of '{self._path.name}'")
