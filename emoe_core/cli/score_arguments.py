"""How a prompt is scored, as options of a command: the same for every command that scores."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..scoring.presets import CUSTOM, DEFAULT, PRESETS

_OTHERS = ", ".join(name for name in PRESETS if name != DEFAULT)


def add_settings(add: Callable[..., Any], size: str) -> None:
    """Adds the settings of a score, with the names and defaults of Uncertainty Score.

    Args:
        add: `add_argument` of a parser or a group.
        size: what the size is when it is not given.
    """
    add("--preset", default=DEFAULT, help=f"{DEFAULT} (default), {_OTHERS}, or {CUSTOM} with --tap and --estimator")
    add("--tap", default="mid_out", help=f"with preset {CUSTOM}: mid_out, mid_in, noise_pred or block:N")
    add("--estimator", default="relative", help=f"with preset {CUSTOM}: how it is read")
    add("--size", type=_size, metavar="WxH", help=f"of the picture, in pixels ({size})")
    add("--noise-seed", type=int, default=0, metavar="N", help="seed of the first noise sample (0)")
    add("--noise-samples", type=int, default=2, metavar="N", help="noise samples to average over (2)")
    add("--steps", type=int, default=20, metavar="N", help="steps of the schedule that --at-step counts in (20)")
    add("--scheduler", default="normal", help="schedule of noise levels, by ComfyUI's names (normal)")
    add("--at-step", type=int, default=0, metavar="N", help="the step that is scored; 0 (default) is pure noise")


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(side.isdigit() for side in sides):
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write it like 768x512")
    return int(sides[0]), int(sides[-1])
