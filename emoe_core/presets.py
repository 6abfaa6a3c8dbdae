"""Taps and presets: where the latent is taken, and which estimator reads it."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import EMoEError
from .estimators import estimator

#: Where the latent is taken. Hidden taps compare features, so the experts must descend from one base.
TAPS: dict[str, str] = {
    "mid_out": "output of the U-Net's middle block (the paper's m_post); the decoder is skipped",
    "noise_pred": "the whole network's prediction; works for experts of unrelated lineage too",
}
HIDDEN_TAPS: frozenset[str] = frozenset({"mid_out"})


@dataclass(frozen=True)
class Preset:
    """A tap and an estimator that belong together."""

    tap: str
    estimator: str
    summary: str


PRESETS: dict[str, Preset] = {
    "fast": Preset("mid_out", "relative", "middle block, scale-free variance: a third of one U-Net call an expert"),
    "thorough": Preset(
        "noise_pred",
        "centred_relative",
        "noise prediction minus the empty prompt's: best at telling unseen from seen, about twice the work of fast or more",
    ),
    "paper": Preset("mid_out", "variance", "the published score, plain variance at the middle block"),
}
CUSTOM = "custom"


def resolve(preset: str, tap: str, estimator_name: str) -> tuple[str, str]:
    """The (tap, estimator) of a preset; with 'custom', the two given names after checking that they exist."""
    if preset in PRESETS:
        chosen = PRESETS[preset]
        return chosen.tap, chosen.estimator
    if preset != CUSTOM:
        raise EMoEError(f"There is no preset '{preset}'; the known ones are {', '.join(PRESETS)} and {CUSTOM}.")
    if tap not in TAPS:
        raise EMoEError(f"There is no tap '{tap}'; the known ones are {', '.join(TAPS)}.")
    return tap, estimator(estimator_name).name
