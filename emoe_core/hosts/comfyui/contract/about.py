"""Which ComfyUI this is, what it runs on, and whether it keeps the contract: the facts for a bug report."""

import contextlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from .... import __version__
from ..outside import start
from .entries import ENTRIES, Host, broken

_PACKAGES = {
    "frontend": "comfyui-frontend-package",
    "torch": "torch",
    "comfy-kitchen": "comfy-kitchen",
    "comfy-aimdo": "comfy-aimdo",
}


def look(tree: Path, arguments: tuple[str, ...]) -> dict[str, Any]:
    """Everything that the command prints, ready for JSON; starts ComfyUI's modules in this process.

    Args:
        arguments: for ComfyUI's own command line, e.g. ("--cpu",).

    Raises:
        EMoEError: ComfyUI cannot be started here.
    """
    start(tree, arguments=arguments)
    told = broken(Host(tree))
    return {
        "emoe": __version__,
        "comfyui": _comfyui(),
        "folder": str(tree.absolute()),
        "versions": {"Python": platform.python_version(), **_versions()},
        "system": f"{platform.system()} {platform.machine()}",
        "device": _device(),
        "holds": [entry.name for entry in ENTRIES if entry.name not in told],
        "broken": told,
    }


def _comfyui() -> str:
    try:
        import comfyui_version
    except ImportError:
        return "of unknown version"
    return comfyui_version.__version__


def _versions() -> dict[str, str]:
    found = {}
    for name, package in _PACKAGES.items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(package)
    return found


def _device() -> str:
    """The host's device by the host's own name for it; only information, so it must never fail."""
    import comfy.model_management as management

    try:
        device = management.get_torch_device()
    except Exception:
        return "an unknown device"
    try:
        name = getattr(management, "get_torch_device_name", str)(device)
    except Exception:
        name = ""
    return str(device) if name in ("", str(device)) else f"{device} ({name})"
