"""How a prompt is scored, as options that every scoring command shares."""

import argparse
from collections.abc import Callable
from typing import Any

from ..scoring.options import ScoreOptions
from ..scoring.presets import CUSTOM, DEFAULT, PRESETS

_OTHERS = ", ".join(name for name in PRESETS if name != DEFAULT)
_PLAIN = ScoreOptions()
_NAMES = ("preset", "tap", "estimator", "size", "noise_seed", "noise_samples", "steps", "scheduler", "at_step")


def add_options(add: Callable[..., Any], size: str) -> None:
    """Adds `ScoreOptions` as options of a command.

    Args:
        add: `add_argument` of a parser or a group.
        size: the default size, for the help.
    """
    told: dict[str, dict[str, Any]] = {
        "preset": {"help": f"{DEFAULT} (default), {_OTHERS}, or {CUSTOM} with --tap and --estimator"},
        "tap": {"help": f"with preset {CUSTOM}: mid_out, mid_in, noise_pred or block:N"},
        "estimator": {"help": f"with preset {CUSTOM}: how it is read"},
        "size": {"type": _size, "metavar": "WxH", "help": f"of the picture, in pixels ({size})"},
        "noise_seed": {"type": int, "metavar": "N", "help": "seed of the first noise sample (%(default)s)"},
        "noise_samples": {"type": int, "metavar": "N", "help": "noise samples to average over (%(default)s)"},
        "steps": {
            "type": int,
            "metavar": "N",
            "help": "steps of the schedule that --at-step counts in (%(default)s)",
        },
        "scheduler": {"help": "schedule of noise levels, by ComfyUI's names (%(default)s)"},
        "at_step": {"type": int, "metavar": "N", "help": "the step that is scored; 0 (default) is pure noise"},
    }
    for name in _NAMES:
        add(f"--{name.replace('_', '-')}", default=getattr(_PLAIN, name), **told[name])


def options_of(args: argparse.Namespace) -> ScoreOptions:
    """The options in these arguments.

    Raises:
        EMoEError: an impossible value.
    """
    return ScoreOptions(**{name: getattr(args, name) for name in _NAMES})


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(side.isdigit() for side in sides):
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write it like 768x512")
    return int(sides[0]), int(sides[-1])
