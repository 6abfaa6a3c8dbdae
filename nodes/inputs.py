"""Inputs that several nodes have, with the same limits and defaults."""

from typing import Any

from comfy_api.latest import io

from ..emoe_core.charts.theme import THEMES
from ..emoe_core.gating.policies import POLICIES
from .api import ADVANCED


def clip() -> Any:
    """A text encoder for nodes that encode prompts themselves."""
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip="One text encoder for all, as when Uncertainty Score gets CLIPTextEncode. Open: each expert's own.",
    )


def policy(tooltip: str) -> Any:
    """How a threshold is found."""
    return io.Combo.Input("policy", options=list(POLICIES), default="false_block_rate", tooltip=tooltip)


def rate(name: str, default: float, tooltip: str, **more: Any) -> Any:
    """A number from 0 to 1."""
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, round=0.0001, tooltip=tooltip, **more)


def seed(name: str, tooltip: str) -> Any:
    """A seed that stays as it is from run to run."""
    return io.Int.Input(
        name,
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=False,
        tooltip=tooltip,
        **ADVANCED,
    )


def theme(tooltip: str, **more: Any) -> Any:
    """The look of a picture."""
    return io.Combo.Input("theme", options=list(THEMES), default=next(iter(THEMES)), tooltip=tooltip, **more)


def threshold() -> Any:
    """The threshold of the policy raw_threshold."""
    return io.Float.Input(
        "threshold",
        default=0.5,
        min=-1e12,
        max=1e12,
        step=0.001,
        round=0.000001,
        tooltip="With raw_threshold: the highest score that passes.",
    )


def text(name: str, tooltip: str, **more: Any) -> Any:
    """A line of text that may be left empty."""
    return io.String.Input(name, default="", tooltip=tooltip, **more, **ADVANCED)
