"""Makes experts from words: those of a command line, or an audit's source."""

from collections.abc import Sequence

import torch

from ...audit.source import DEMO
from ...errors import EMoEError
from ...experts.sets import ExpertSet
from .demo import demo_experts
from .loading import load_experts, without_progress_bars


def load_asked(
    names: Sequence[str], config: str = "", device: str = "", dtype: str = "", clip_skip: int | None = None
) -> tuple[ExpertSet, torch.device | None]:
    """The requested experts, and the device they take turns on; None if they stay on the processor.

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
