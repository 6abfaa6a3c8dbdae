"""ComfyUI's modules in a process that is not ComfyUI's: the command line and its workers.

Nothing here is used inside a running ComfyUI.
"""

import sys
from pathlib import Path
from typing import Any

from ...audit.scorer import Scorer
from ...audit.source import Source
from ...errors import EMoEError


def start(tree: Path, base: str = "", arguments: tuple[str, ...] = ()) -> None:
    """Makes ComfyUI's modules importable, as its main.py would with these arguments.

    Raises:
        EMoEError: this Python cannot import ComfyUI or something that it needs, or ComfyUI finds no device.
    """
    if "comfy.model_management" in sys.modules:
        return
    sys.path.insert(0, str(tree))  # first, because the pack has a folder with the name of ComfyUI's module `nodes`
    argv = sys.argv
    sys.argv = [str(tree / "main.py"), *arguments, *(["--base-directory", base] if base else [])]
    try:
        import comfy.options

        comfy.options.enable_args_parsing()
        import comfy.cli_args
        import comfy.model_management
        import folder_paths  # noqa: F401
    except ImportError as error:
        raise EMoEError(
            f"The ComfyUI at '{tree}' cannot be used by this Python ({error}); start the command with ComfyUI's own."
        ) from error
    except (AssertionError, RuntimeError) as error:  # torch raises these when ComfyUI looks for a device and has none
        raise EMoEError(
            f"ComfyUI cannot start to compute here ({error}); add --cpu to compute on the processor."
        ) from error
    except SystemExit as error:
        raise EMoEError(f"ComfyUI does not know these arguments: {' '.join(arguments)}.") from error
    finally:
        sys.argv = argv


def scorer_of(source: Source) -> Scorer:
    """The scorer of `emoe_core.audit.source.Source` with the host comfyui."""
    from ...audit.source import DEMO, find_comfyui

    tree = find_comfyui(source.tree)
    if not tree:
        raise EMoEError(
            "Where ComfyUI is, is not known: give --comfyui FOLDER or set COMFYUI_PATH (or use --host diffusers)."
        )
    start(Path(tree), source.base, source.arguments)
    import torch

    from .auditing import ComfyScorer
    from .experts.demo_set import embedded_experts
    from .experts.load import load_experts

    demo = source.experts == (DEMO,)
    experts = embedded_experts() if demo else load_experts([_known(name) for name in source.experts])
    width, height = source.options.size or ((128, 128) if demo else (512, 512))
    format_ = experts.experts[0].model.get_model_object("latent_format")
    places = int(getattr(format_, "spacial_downscale_ratio", 8))
    if min(width, height) < places or width % places or height % places:
        raise EMoEError(f"The size is {width}x{height}; these experts want multiples of {places}.")
    latent: dict[str, Any] = {
        "samples": torch.zeros(1, format_.latent_channels, height // places, width // places),
    }
    return ComfyScorer(experts, latent, source.options, source.loaded_calibration(), batch_size=source.batch)


def _known(name: str) -> str:
    """A name in ComfyUI's folders. For a path, its folder joins those searched for checkpoints in this process."""
    import folder_paths

    path = Path(name)
    if path.is_file() and folder_paths.get_full_path("checkpoints", name) is None:
        folder_paths.add_model_folder_path("checkpoints", str(path.resolve().parent))
        return path.name
    return name
