"""The settings that Score and Calibrate share: a calibration only holds for scores made with the same ones."""

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..emoe_core.errors import EMoEError
from ..emoe_core.hosts.comfyui.scoring.score import SAMPLERS, SCHEDULERS
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.scoring.estimators import ESTIMATORS
from ..emoe_core.scoring.presets import (
    CUSTOM,
    MIDDLE,
    MOST_NOISE_SAMPLES,
    PRESETS,
    TAPS,
    BadOption,
    ScoreOptions,
    is_hidden,
)
from . import inputs
from .api import ADVANCED
from .types import CalibrationType

_ADD_NOISE = ("enable", "disable")
MIDDLE_BLOCK = -1
#: The widgets' defaults are those of the library and the command line.
PLAIN = ScoreOptions()


def all_inputs() -> list[Any]:
    """The inputs, in the order that saved workflows rely on."""
    presets = "; ".join(f"{name}: {preset.summary}" for name, preset in PRESETS.items())
    taps = "; ".join(f"{name}: {summary}" for name, summary in TAPS.items())
    estimators = "; ".join(f"{e.name}: {e.summary}" for e in ESTIMATORS.values())
    return [
        io.Combo.Input(
            "preset",
            options=[*PRESETS, CUSTOM],
            default=PLAIN.preset,
            tooltip=f"What is compared. {presets}; {CUSTOM}: the tap and estimator chosen below.",
        ),
        io.Combo.Input(
            "add_noise",
            options=list(_ADD_NOISE),
            default=_ADD_NOISE[0],
            tooltip="As in KSamplerAdvanced: enable for a fresh latent, disable for one with leftover noise.",
            **ADVANCED,
        ),
        inputs.seed(
            "noise_seed", "Seed of the noise all experts get. Keep it fixed: a calibration holds for one seed."
        ),
        *schedule(),
        io.Int.Input(
            "at_step",
            default=PLAIN.at_step,
            min=0,
            max=9999,
            tooltip="The step that is scored. 0 is pure noise, as in the paper. Later steps gate in mid-generation.",
            **ADVANCED,
        ),
        io.Int.Input(
            "noise_samples",
            default=PLAIN.noise_samples,
            min=1,
            max=MOST_NOISE_SAMPLES,
            tooltip=(
                "Noise samples to average over: seed, seed + 1, ... Twice as many cost twice as much, and the score is steadier."
            ),
        ),
        io.Combo.Input(
            "tap", options=list(TAPS), default=PLAIN.tap, tooltip=f"With preset {CUSTOM}: {taps}.", **ADVANCED
        ),
        io.Combo.Input(
            "estimator",
            options=list(ESTIMATORS),
            default=PLAIN.estimator,
            tooltip=f"With preset {CUSTOM}: {estimators}.",
            **ADVANCED,
        ),
    ]


def schedule() -> list[Any]:
    """The noise levels that at_step counts in."""
    return [
        io.Int.Input(
            "steps",
            default=PLAIN.steps,
            min=1,
            max=10000,
            tooltip="The schedule's number of steps; at_step is one of them.",
            **ADVANCED,
        ),
        io.Combo.Input(
            "scheduler",
            options=SCHEDULERS,
            default=PLAIN.scheduler,
            tooltip="Schedule of noise levels, as in KSampler.",
            **ADVANCED,
        ),
    ]


# What was added later comes after all other inputs of its day, so that saved workflows keep their widgets.


def block_index() -> Any:
    """Which block of a transformer."""
    return io.Int.Input(
        "block_index",
        default=MIDDLE_BLOCK,
        min=MIDDLE_BLOCK,
        max=999,
        optional=True,
        tooltip=f"With preset {CUSTOM} and tap block: which block, counted from 0. {MIDDLE_BLOCK}: the one in the middle.",
        **ADVANCED,
    )


def sampler_name() -> Any:
    """The sampler of a latent in mid-generation."""
    return io.Combo.Input(
        "sampler_name",
        options=SAMPLERS,
        default=PLAIN.sampler,
        optional=True,
        tooltip=(
            "With add_noise off: the sampler that made the latent. Some (dpm_2, uni_pc) leave out the step before the "
            "last, so that at_step means another noise level."
        ),
        **ADVANCED,
    )


def calibration_input(also: str = "") -> Any:
    """The last input of nodes whose scores are compared with a calibration."""
    said = "From Load Calibration or Calibrate Gate: its settings are used instead of the ones above."
    return CalibrationType.Input("calibration", optional=True, tooltip=f"{said} {also}".strip())


def options(
    node: str,
    *,
    add_noise: str,
    tap: str,
    block_index: int = MIDDLE_BLOCK,
    sampler_name: str = PLAIN.sampler,
    calibration: Calibration | None = None,
    **others: Any,
) -> ScoreOptions:
    """The options in these inputs.

    Args:
        node: the node that has these inputs, for messages.
        others: inputs that have the names of `ScoreOptions`.
        calibration: its settings are used instead, except for the size, which the latent decides.

    Raises:
        EMoEError: an impossible value.
    """
    if add_noise not in _ADD_NOISE:
        raise EMoEError(f"{node}'s add_noise is '{add_noise}'; choose {' or '.join(_ADD_NOISE)}.")
    if tap == "block" and block_index != MIDDLE_BLOCK:
        tap = f"block:{block_index}"
    try:
        said = ScoreOptions(add_noise=add_noise == _ADD_NOISE[0], tap=tap, sampler=sampler_name, **others)
    except BadOption as error:
        raise EMoEError(f"{node}'s {error}") from error
    if calibration is None:
        return said
    made = ScoreOptions.of(calibration)
    return replace(made, steps=said.steps, scheduler=said.scheduler, at_step=said.at_step, sampler=said.sampler)


def used_line(calibration: Calibration | None) -> list[str]:
    """A line about the settings in use; none if they are the node's own."""
    if calibration is None:
        return []
    made = calibration.settings
    taps = (made.tap, MIDDLE) if is_hidden(made.tap) else (made.tap,)
    preset = next((n for n, p in PRESETS.items() if p.tap in taps and p.estimator == made.estimator), None)
    what = f"preset {preset}" if preset else f"tap {made.tap}, estimator {made.estimator}"
    seed = "no noise added" if made.noise_seed is None else f"noise_seed {made.noise_seed}"
    return [
        f"settings of the calibration '{calibration.name}': {what}, {seed}, noise_samples {made.noise_samples}, "
        f"noise level {made.sigma:g}, {made.dtype}"
    ]
