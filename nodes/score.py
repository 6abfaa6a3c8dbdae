"""The score: how much the experts disagree on a prompt, before the image exists."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..emoe_core.colours import disagreement_image
from ..emoe_core.errors import EMoEError
from ..emoe_core.estimators import ESTIMATORS
from ..emoe_core.experts import ExpertSet
from ..emoe_core.hosts.comfyui.scoring import MOST_NOISE_SAMPLES, SCHEDULERS, score_prompt
from ..emoe_core.presets import CUSTOM, PRESETS, TAPS, resolve
from .types import CATEGORY, Experts, ReportType

_PIXELS_A_LATENT = 8
_ADD_NOISE = ("enable", "disable")


class Score(io.ComfyNode):
    """The heart of the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        presets = "; ".join(f"{name}: {preset.summary}" for name, preset in PRESETS.items())
        taps = "; ".join(f"{name}: {summary}" for name, summary in TAPS.items())
        estimators = "; ".join(f"{e.name}: {e.summary}" for e in ESTIMATORS.values())
        return io.Schema(
            node_id="EMoE_Score",
            display_name="Score Uncertainty",
            category=CATEGORY,
            description=(
                "Epistemic uncertainty of a prompt before the image is made: every expert gets the same prompt and the "
                "same noise for one step, and their disagreement in the latent is the score. Higher means the models "
                "know less of it. Connect the report to a Gate."
            ),
            inputs=[
                Experts.Input("experts", tooltip="Two or more experts."),
                io.Conditioning.Input(
                    "positive",
                    tooltip="The prompt: from Encode for Experts (each expert's own text encoder) or one for all.",
                ),
                io.Latent.Input(
                    "latent_image",
                    tooltip="Size and batch to score. With add_noise off: the half-made latent of a KSamplerAdvanced.",
                ),
                io.Combo.Input(
                    "preset",
                    options=[*PRESETS, CUSTOM],
                    default="fast",
                    tooltip=f"What is compared. {presets}; {CUSTOM}: the tap and estimator chosen below.",
                ),
                io.Combo.Input(
                    "add_noise",
                    options=list(_ADD_NOISE),
                    default="enable",
                    tooltip="As in KSamplerAdvanced: enable for a fresh latent, disable for one with leftover noise.",
                ),
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Seed of the noise all experts get. Keep it fixed: a calibration holds for one seed.",
                ),
                io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Steps of the schedule at_step counts in."),
                io.Combo.Input(
                    "scheduler",
                    options=SCHEDULERS,
                    default="normal",
                    tooltip="Schedule of noise levels, as in KSampler.",
                ),
                io.Int.Input(
                    "at_step",
                    default=0,
                    min=0,
                    max=9999,
                    tooltip="The step that is scored. 0 is pure noise, the paper's; later steps gate in mid-generation.",
                ),
                io.Int.Input(
                    "noise_samples",
                    default=2,
                    min=1,
                    max=MOST_NOISE_SAMPLES,
                    tooltip="Noise samples to average over: seed, seed + 1, ... More is steadier and costs as much more.",
                ),
                io.Combo.Input("tap", options=list(TAPS), default="mid_out", tooltip=f"With preset {CUSTOM}: {taps}."),
                io.Combo.Input(
                    "estimator",
                    options=list(ESTIMATORS),
                    default="relative",
                    tooltip=f"With preset {CUSTOM}: {estimators}.",
                ),
                io.Conditioning.Input(
                    "empty_prompt",
                    optional=True,
                    tooltip="An empty prompt's conditioning, only needed by 'thorough' when no expert has a CLIP.",
                ),
            ],
            outputs=[
                io.Float.Output(display_name="score", tooltip="The uncertainty; of a batch, the highest item's."),
                ReportType.Output(display_name="report", tooltip="Everything about the score, for a Gate."),
                io.Image.Output(
                    display_name="disagreement_map",
                    tooltip="Where in the picture the experts disagree: dark little, yellow most.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        experts: ExpertSet,
        positive: list[list[Any]],
        latent_image: dict[str, Any],
        preset: str,
        add_noise: str,
        noise_seed: int,
        steps: int,
        scheduler: str,
        at_step: int,
        noise_samples: int,
        tap: str,
        estimator: str,
        empty_prompt: list[list[Any]] | None = None,
    ) -> io.NodeOutput:
        tap, estimator_name = resolve(preset, tap, estimator)
        if add_noise not in _ADD_NOISE:
            raise EMoEError(f"Score's add_noise is '{add_noise}'; choose {' or '.join(_ADD_NOISE)}.")
        scored = score_prompt(
            experts,
            positive,
            latent_image,
            tap=tap,
            estimator_name=estimator_name,
            add_noise=add_noise == _ADD_NOISE[0],
            noise_seed=noise_seed,
            steps=steps,
            scheduler=scheduler,
            at_step=at_step,
            noise_samples=noise_samples,
            empty_prompt=empty_prompt,
        )
        report = scored.report
        height, width = (side * _PIXELS_A_LATENT for side in latent_image["samples"].shape[-2:])
        picture = disagreement_image(scored.disagreement, height, width)
        ui = {"text": report.lines(), "emoe_report": [report.as_dict()]}
        return io.NodeOutput(report.score, report, picture, ui=ui)


NODES: list[type[io.ComfyNode]] = [Score]
