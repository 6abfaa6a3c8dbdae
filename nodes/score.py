"""The score: how much the experts disagree on a prompt, before the image exists."""

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.gating.gate import fitting
from ..emoe_core.hosts.comfyui.files import card_ui
from ..emoe_core.hosts.comfyui.scoring.score import every_preset as readings_of_presets
from ..emoe_core.hosts.comfyui.scoring.score import score_prompt
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.scoring.variance import PIXELS_A_LATENT
from ..emoe_core.show.card import card
from ..emoe_core.show.disagreement_map import disagreement_image
from . import settings
from .api import ADVANCED, TOLD_FROM_CACHE, named
from .shown import for_page, text_ui
from .types import Experts, ReportType


class Score(io.ComfyNode):
    """The heart of the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named(
                "EMoE_Score",
                "Uncertainty Score",
                "score uncertainty",
                "confidence",
                "quality",
                "disagreement",
                "epistemic",
                "ensemble",
                "out of distribution",
            ),
            **TOLD_FROM_CACHE,
            description=(
                "Epistemic uncertainty of a prompt before the image is made: every expert gets the same prompt and the "
                "same noise for one step, and their disagreement in the latent is the score. Higher means the models "
                "know less of it. Connect the report to Confidence Gate."
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
                *settings.all_inputs(),
                io.Conditioning.Input(
                    "empty_prompt",
                    optional=True,
                    tooltip=(
                        "An empty prompt's conditioning, only needed when no expert has a CLIP: by layout, thorough, one_model."
                    ),
                ),
                settings.block_index(),
                settings.calibration_input(
                    "If the models have changed since, some of its prompts are scored again to see whether it still holds."
                ),
                settings.sampler_name(),
                io.Boolean.Input(
                    "every_preset",
                    default=False,
                    optional=True,
                    tooltip=(
                        "Measure what every preset reads in the same pass, for the report; the score stays that of the preset "
                        "above. With layout on a U-Net it costs nothing more."
                    ),
                    **ADVANCED,
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            outputs=[
                io.Float.Output(display_name="score", tooltip="The uncertainty; of a batch, the highest item's."),
                ReportType.Output(display_name="report", tooltip="Everything about the score, for Confidence Gate."),
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
        empty_prompt: list[list[Any]] | None = None,
        calibration: Calibration | None = None,
        every_preset: bool = False,
        **widgets: Any,
    ) -> io.NodeOutput:
        scored = score_prompt(
            experts,
            positive,
            latent_image,
            settings.options("Uncertainty Score", **widgets, calibration=calibration),
            empty_prompt=empty_prompt,
            calibration=calibration,
            also=readings_of_presets(experts, positive, empty_prompt) if every_preset else (),
        )
        report = scored.report
        height, width = (side * PIXELS_A_LATENT for side in latent_image["samples"].shape[-2:])
        picture = disagreement_image(scored.maps.disagreement, height, width)
        made = report.score, replace(report, maps=scored.maps), picture
        if _left_to_gates(cls.hidden):
            return io.NodeOutput(*made)
        shown = card(report, None, fitting(report, report.calibrations))
        drawn, said = card_ui(shown, picture=for_page(cls.hidden))
        ui = {
            **text_ui(*report.lines(), *settings.used_line(calibration), *said),
            "emoe_report": [report.as_dict()],
            **drawn,
        }
        return io.NodeOutput(*made, ui=ui)


def _left_to_gates(hidden: io.HiddenHolder | None) -> bool:
    """Whether an API client queued the run, and each Score of its graph has a Gate, which then tells the report.

    A client that ends with a run's first output would otherwise end before the verdict, and take a block for a success.
    """
    if hidden is None or for_page(hidden):
        return False
    kinds = {name: node["class_type"] for name, node in hidden.prompt.items()}
    inputs = [hidden.prompt[name].get("inputs") for name, kind in kinds.items() if kind == "EMoE_Gate"]
    reports = [given.get("report") for given in inputs if isinstance(given, dict)]  # what does not run has any shape
    read = {str(source[0]) for source in reports if isinstance(source, list) and source}
    scores = {name for name, kind in kinds.items() if kind == "EMoE_Score"}
    return bool(scores) and scores <= read
