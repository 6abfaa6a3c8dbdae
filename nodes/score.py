"""The score: how much the experts disagree on a prompt, before the image exists."""

from dataclasses import replace
from itertools import groupby
from typing import Any

from comfy_api.latest import io

from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.gating.gate import fitting
from ..emoe_core.hosts.comfyui.files import card_ui
from ..emoe_core.hosts.comfyui.scoring.score import every_preset as readings_of_presets
from ..emoe_core.hosts.comfyui.scoring.score import score_list, score_prompt
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.records.report import Report
from ..emoe_core.scoring.score import Scored
from ..emoe_core.scoring.variance import PIXELS_A_LATENT
from ..emoe_core.show.card import card
from ..emoe_core.show.disagreement_map import disagreement_image
from . import settings
from .api import ADVANCED, TOLD_FROM_CACHE, named
from .shown import for_page, text_ui
from .types import Experts, ReportType

_WORDS = ("score uncertainty", "confidence", "quality", "disagreement", "epistemic", "ensemble", "out of distribution")


def _inputs() -> list[Any]:
    return [
        Experts.Input("experts", tooltip="Two or more experts."),
        io.Conditioning.Input(
            "positive", tooltip="The prompt: from Encode for Experts (each expert's own text encoder) or one for all."
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
    ]


def _outputs(of_list: bool = False) -> list[Any]:
    return [
        io.Float.Output(
            display_name="score", tooltip="The uncertainty; of a batch, the highest item's.", is_output_list=of_list
        ),
        ReportType.Output(
            display_name="report", tooltip="Everything about the score, for Confidence Gate.", is_output_list=of_list
        ),
        io.Image.Output(
            display_name="disagreement_map",
            tooltip="Where in the picture the experts disagree: dark little, yellow most.",
            is_output_list=of_list,
        ),
    ]


class Score(io.ComfyNode):
    """The heart of the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_Score", "Uncertainty Score", *_WORDS),
            **TOLD_FROM_CACHE,
            description=(
                "Epistemic uncertainty of a prompt before the image is made: every expert gets the same prompt and the "
                "same noise for one step, and their disagreement in the latent is the score. Higher means the models "
                "know less of it. Connect the report to Confidence Gate."
            ),
            inputs=_inputs(),
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            outputs=_outputs(),
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
        made, ui = _told(scored, latent_image, calibration, cls.hidden)
        return io.NodeOutput(*made, ui=ui)


class ScoreList(io.ComfyNode):
    """The same for a list, with each expert loaded once for many prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_ScoreList", "Uncertainty Score of a List", *_WORDS, "many prompts", "batch"),
            **TOLD_FROM_CACHE,
            description=(
                "Uncertainty Score for a list of prompts in one go: every expert is loaded once for many prompts instead of "
                "once for each. The scores are the same. Where an earlier node blocked an item of the list, nothing is scored."
            ),
            inputs=_inputs(),
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            outputs=_outputs(of_list=True),
            is_input_list=True,
        )

    @classmethod
    def execute(cls, **lists: list[Any]) -> io.NodeOutput:
        longest = max(map(len, lists.values()))
        items = [{name: given[min(place, len(given) - 1)] for name, given in lists.items()} for place in range(longest)]
        found: list[tuple[tuple[Any, ...], dict[str, list[Any]]]] = []
        for _, alike in groupby(items, key=_beside_prompt):
            found += cls._block(list(alike))
        ui: dict[str, list[Any]] = {}
        for _, told in found:
            for name, shown in told.items():
                ui.setdefault(name, []).extend(shown)
        outputs = zip(*(made for made, _ in found), strict=True)
        return io.NodeOutput(*map(list, outputs), ui=ui)

    @classmethod
    def _block(cls, items: list[dict[str, Any]]) -> list[Any]:
        """Items that differ in their prompts only."""
        given = dict(items[0])
        prompts = [item["positive"] for item in items]
        del given["positive"]
        experts, latent_image = given.pop("experts"), given.pop("latent_image")
        empty_prompt, calibration = given.pop("empty_prompt", None), given.pop("calibration", None)
        every_preset = given.pop("every_preset", False)
        scored = score_list(
            experts,
            prompts,
            latent_image,
            settings.options("Uncertainty Score of a List", **given, calibration=calibration),
            empty_prompt=empty_prompt,
            calibration=calibration,
            also=readings_of_presets(experts, prompts[0], empty_prompt) if every_preset else (),
        )
        return [_told(one, latent_image, calibration, cls.hidden) for one in scored]


def _beside_prompt(item: dict[str, Any]) -> tuple[Any, ...]:
    """Equal for items that can be scored together: plain values by themselves, objects by identity."""
    plain = (bool, int, float, str, type(None))
    return tuple(
        (name, value if isinstance(value, plain) else id(value)) for name, value in item.items() if name != "positive"
    )


def _told(
    scored: Scored, latent_image: dict[str, Any], calibration: Calibration | None, hidden: io.HiddenHolder | None
) -> tuple[tuple[Any, ...], dict[str, list[Any]]]:
    """A score's outputs, and what is shown of it."""
    report = scored.report
    height, width = (side * PIXELS_A_LATENT for side in latent_image["samples"].shape[-2:])
    picture = disagreement_image(scored.maps.disagreement, height, width)
    made = report.score, replace(report, maps=scored.maps), picture
    if _left_to_gates(hidden):
        return made, {}
    shown = card(report, None, fitting(report, report.calibrations))
    drawn, said = card_ui(shown, picture=for_page(hidden))
    return made, {
        **text_ui(*report.lines(), *_price(report), *settings.used_line(calibration), *said),
        "emoe_report": [report.as_told()],
        **drawn,
    }


def _price(report: Report) -> list[str]:
    return [] if report.took is None else [report.took.line()]


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
    scores = {name for name, kind in kinds.items() if kind in ("EMoE_Score", "EMoE_ScoreList")}
    return bool(scores) and scores <= read
