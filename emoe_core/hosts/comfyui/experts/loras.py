"""Experts from one model and several LoRAs: patches on clones, no second copy of the weights."""

from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import folder_paths
from comfy.model_patcher import ModelPatcher

from .... import demo
from ....errors import EMoEError
from ....experts.sets import ExpertSet
from ....io.files import file_sha256
from .load import expert_from_model

FOLDER = "loras"


def lora_files() -> list[str]:
    """File names in ComfyUI's loras folders, followed by the demo's, which are in the pack itself."""
    own = list(folder_paths.get_filename_list(FOLDER))
    return [*own, *(name for name in _demo_files() if name not in own)]


def _demo_files() -> dict[str, Path]:
    """The demo's LoRAs by the names in the node's list. ComfyUI's folders are left as they are."""
    return {f"emoe_demo/{path.name}": path for path in demo.lora_files()}


def _file(name: str) -> Path:
    path = folder_paths.get_full_path(FOLDER, name) or _demo_files().get(name)
    if path is None:
        raise EMoEError(f"The LoRA '{name}' is not in ComfyUI's loras folder; refresh the list and choose another.")
    return Path(path)


def experts_from_loras(model: ModelPatcher, clip: Any, chosen: list[tuple[str, float]]) -> ExpertSet:
    """One expert per (file name, strength): the model, and its text encoder if there is one, with that LoRA alone.

    Raises:
        EMoEError: a file is missing, damaged, or changes nothing in this model.
    """
    experts = ExpertSet()
    for name, strength in chosen:
        path = _file(name)
        try:
            weights = comfy.utils.load_torch_file(str(path), safe_load=True)
        except Exception as error:  # every loader raises its own types
            raise EMoEError(f"The LoRA '{name}' is damaged or no LoRA file; download it again.") from error
        patched, patched_clip = comfy.sd.load_lora_for_models(model, clip, weights, strength, strength)
        if set(patched.patches) == set(model.patches) and strength != 0:
            raise EMoEError(
                f"The LoRA '{name}' changes nothing in this model: it was made for another model family; choose another."
            )
        file = f"{Path(name).name} sha256:{file_sha256(path)} strength:{strength:g}"
        experts = experts.add(expert_from_model(patched, patched_clip, f"{Path(name).stem} {strength:g}", file))
    return experts
