"""ComfyUI's modules and the pack inside this process, without a server: for host tests and benchmarks."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType

from . import ROOT, device_flags

FOLDERS = ("custom_nodes", "input", "output", "user", "models/checkpoints", "models/text_encoders", "models/loras")


def import_comfyui(tree: Path, base: Path, *flags: str) -> None:
    """Makes ComfyUI's modules importable, set up for the CPU, with `base` as its folder of models, input and output.

    With EMOE_DEVICE=card they are set up for the graphics card, by the start of ComfyUI's own main.py: only there newer
    releases choose how models are loaded. `flags` are further flags of ComfyUI, e.g. --bf16-unet.
    """
    for name in FOLDERS:
        (base / name).mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(tree))
    argv = sys.argv
    sys.argv = [str(tree / "main.py"), *device_flags(), "--disable-api-nodes", "--base-directory", str(base), *flags]
    try:
        import comfy.options

        comfy.options.enable_args_parsing()
        import comfy.cli_args
        import folder_paths  # noqa: F401

        if not device_flags():
            import main  # noqa: F401
    finally:
        sys.argv = argv
    import nodes

    if Path(nodes.__file__).resolve().parent != tree.resolve():
        raise RuntimeError(f"ComfyUI's `nodes` is hidden by {nodes.__file__}")


def load_pack(base: Path) -> ModuleType:
    """The pack as ComfyUI loads it, linked into `base`; call `import_comfyui` first."""
    import nodes

    link = base / "custom_nodes" / "emoe"
    link.symlink_to(ROOT, target_is_directory=True)
    if not asyncio.run(nodes.load_custom_node(str(link))):
        raise RuntimeError("ComfyUI could not load the pack; its log above says why")
    return sys.modules[str(link).replace(".", "_x_")]
