"""The settings that Score and Calibrate share: a calibration only holds for scores made with the same ones."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..emoe_core.errors import EMoEError
from ..emoe_core.hosts.comfyui.scoring.score import MOST_NOISE_SAMPLES, SCHEDULERS
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.scoring.estimators import ESTIMATORS
from ..emoe_core.scoring.presets import CUSTOM, DEFAULT, MIDDLE, PRESETS, TAPS, is_hidden, resolve
from .api import ADVANCED
from .types import CalibrationType

_ADD_NOISE = ("enable", "disable")
MIDDLE_BLOCK = -1


def inputs() -> list[Any]:
    """The inputs, in the order that saved workflows rely on."""
    presets = "; ".join(f"{name}: {preset.summary}" for name, preset in PRESETS.items())
    taps = "; ".join(f"{name}: {summary}" for name, summary in TAPS.items())
    estimators = "; ".join(f"{e.name}: {e.summary}" for e in ESTIMATORS.values())
    return [
        io.Combo.Input(
            "preset",
            options=[*PRESETS, CUSTOM],
            default=DEFAULT,
            tooltip=f"What is compared. {presets}; {CUSTOM}: the tap and estimator chosen below.",
        ),
        io.Combo.Input(
            "add_noise",
            options=list(_ADD_NOISE),
            default=_ADD_NOISE[0],
            tooltip="As in KSamplerAdvanced: enable for a fresh latent, disable for one with leftover noise.",
            **ADVANCED,
        ),
        io.Int.Input(
            "noise_seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=False,
            tooltip="Seed of the noise all experts get. Keep it fixed: a calibration holds for one seed.",
            **ADVANCED,
        ),
        io.Int.Input(
            "steps", default=20, min=1, max=10000, tooltip="Steps of the schedule at_step counts in.", **ADVANCED
        ),
        io.Combo.Input(
            "scheduler",
            options=SCHEDULERS,
            default="normal",
            tooltip="Schedule of noise levels, as in KSampler.",
            **ADVANCED,
        ),
        io.Int.Input(
            "at_step",
            default=0,
            min=0,
            max=9999,
            tooltip="The step that is scored. 0 is pure noise, the paper's; later steps gate in mid-generation.",
            **ADVANCED,
        ),
        io.Int.Input(
            "noise_samples",
            default=2,
            min=1,
            max=MOST_NOISE_SAMPLES,
            tooltip="Noise samples to average over: seed, seed + 1, ... More is steadier and costs as much more.",
        ),
        io.Combo.Input(
            "tap", options=list(TAPS), default="mid_out", tooltip=f"With preset {CUSTOM}: {taps}.", **ADVANCED
        ),
        io.Combo.Input(
            "estimator",
            options=list(ESTIMATORS),
            default="relative",
            tooltip=f"With preset {CUSTOM}: {estimators}.",
            **ADVANCED,
        ),
    ]


def later_inputs() -> list[Any]:
    """Inputs that came later: they stand after all others, so that saved workflows keep their widgets."""
    return [
        io.Int.Input(
            "block_index",
            default=MIDDLE_BLOCK,
            min=MIDDLE_BLOCK,
            max=999,
            optional=True,
            tooltip=(
                f"With preset {CUSTOM} and tap block: which block, counted from 0. {MIDDLE_BLOCK}: the one in the middle."
            ),
            **ADVANCED,
        ),
    ]


def calibration_input(also: str = "") -> Any:
    """The last input of nodes whose scores are held against a calibration."""
    said = "From Load Calibration or Calibrate Gate: its settings are used instead of the ones above."
    return CalibrationType.Input("calibration", optional=True, tooltip=f"{said} {also}".strip())


def arguments(
    preset: str,
    add_noise: str,
    noise_seed: int,
    steps: int,
    scheduler: str,
    at_step: int,
    noise_samples: int,
    tap: str,
    estimator: str,
    block_index: int = MIDDLE_BLOCK,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """What these inputs are to `score_prompt`; an `EMoEError` for a value that is no option.

    Args:
        calibration: one whose settings are used instead, except for `latent_shape`, which the latent decides.
    """
    if add_noise not in _ADD_NOISE:
        raise EMoEError(f"Uncertainty Score's add_noise is '{add_noise}'; choose {' or '.join(_ADD_NOISE)}.")
    if tap == "block" and block_index != MIDDLE_BLOCK:
        tap = f"block:{block_index}"
    tap, estimator_name = resolve(preset, tap, estimator)
    found = {
        "tap": tap,
        "estimator_name": estimator_name,
        "add_noise": add_noise == _ADD_NOISE[0],
        "noise_seed": noise_seed,
        "steps": steps,
        "scheduler": scheduler,
        "at_step": at_step,
        "noise_samples": noise_samples,
    }
    return found if calibration is None else found | _of(calibration)


def _of(calibration: Calibration) -> dict[str, Any]:
    """The arguments that a calibration was made with."""
    made = calibration.settings
    return {
        "tap": made.tap,
        "estimator_name": made.estimator,
        "add_noise": made.noise_seed is not None,
        "noise_seed": made.noise_seed or 0,
        "noise_samples": made.noise_samples,
        "sigma": made.sigma,
        "dtype": made.dtype,
    }


def used_line(calibration: Calibration | None) -> list[str]:
    """What to tell about the settings that are used: nothing where they are the node's own."""
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
