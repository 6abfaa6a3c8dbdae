"""A description of where the scores come from. It can be sent to another process, which makes a scorer from it."""

import os
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from ..errors import EMoEError
from ..records.calibration import Calibration
from ..scoring.presets import ScoreOptions
from .scorer import Scorer

COMFYUI, DIFFUSERS, SERVER = "comfyui", "diffusers", "server"
DEMO = "demo"


@dataclass(frozen=True)
class Source:
    """A host, its experts and how they score.

    Attributes:
        host: COMFYUI or DIFFUSERS (in this process), or SERVER.
        experts: (DEMO,), or files and folders; with the host COMFYUI, names in ComfyUI's model folders.
        tree, base: ComfyUI's folder, and its base directory if that differs.
        arguments: for ComfyUI's own command line, e.g. ("--cpu",).
        config, device, dtype: see `emoe_core.hosts.diffusers.load_experts`.
        server, workflow: addresses of running servers, and a workflow in API format.
        options: how they score.
        batch: prompts per call; None for the host's own choice.
        calibration: a calibration file, "" for the experts' own.
    """

    host: str
    experts: tuple[str, ...] = ()
    tree: str = ""
    base: str = ""
    arguments: tuple[str, ...] = ()
    config: str = ""
    device: str = ""
    dtype: str = ""
    server: tuple[str, ...] = ()
    workflow: str = ""
    options: ScoreOptions = field(default_factory=ScoreOptions)
    batch: int | None = None
    calibration: str = ""

    def scorer(self) -> Scorer:
        """Loads the experts, which may take long. Call it once per process."""
        place = {COMFYUI: "..hosts.comfyui.outside", DIFFUSERS: "..hosts.diffusers.auditing", SERVER: ".server"}
        if self.host not in place:
            raise EMoEError(f"There is no host '{self.host}'; choose {', '.join(place)}.")
        made: Scorer = import_module(place[self.host], __package__).scorer_of(self)
        return made

    def loaded_calibration(self) -> Calibration | None:
        """The calibration file, read."""
        return Calibration.load(self.calibration) if self.calibration else None


def find_comfyui(given: str = "") -> str:
    """ComfyUI's folder: the given one, COMFYUI_PATH, or the one whose custom_nodes holds this pack; else ""."""
    for name, path in (("--comfyui", given), ("COMFYUI_PATH", os.environ.get("COMFYUI_PATH", ""))):
        if path and not (Path(path) / "main.py").is_file():
            raise EMoEError(f"{name} is '{path}', and there is no ComfyUI there (no main.py); mend the path.")
        if path:
            return path
    for folder in Path(__file__).absolute().parents:
        if folder.name == "custom_nodes" and (folder.parent / "main.py").is_file():
            return str(folder.parent)
    return ""
