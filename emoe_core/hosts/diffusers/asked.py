"""From words (a command line, an audit's source) to experts and how they score."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from ...audit.source import DEMO
from ...errors import EMoEError
from ...experts.sets import ExpertSet
from .demo import demo_experts
from .loading import load_experts, without_progress_bars
from .scoring import How


def experts_and_how(asked: Any, batch: int | None = None) -> tuple[ExpertSet, How]:
    """The experts that are asked for, loaded, and how they score.

    Args:
        asked: has `experts` (files and folders, or the one word DEMO), `config`, `device`, `dtype` and, by the names of
            `How`, the settings; `clip_skip` if it likes.
        batch: in place of `asked.batch`.

    Raises:
        EMoEError: the device cannot be used, or an expert cannot be loaded.
    """
    device = _device(asked.device)
    dtype = getattr(torch, asked.dtype or ("float32" if device.type == "cpu" else "float16"))
    with without_progress_bars():
        if list(asked.experts) == [DEMO]:
            experts = demo_experts()
        else:
            clip_skip = getattr(asked, "clip_skip", None)
            experts = load_experts(list(asked.experts), config=asked.config or None, dtype=dtype, clip_skip=clip_skip)
    words = {one.name: getattr(asked, one.name) for one in fields(How) if one.name not in ("batch", "device")}
    place = None if device.type == "cpu" else device
    return experts, How(**words, batch=asked.batch if batch is None else batch, device=place)


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EMoEError(f"The device '{name}' cannot be used ({str(error).splitlines()[0]}).") from error
    return device
