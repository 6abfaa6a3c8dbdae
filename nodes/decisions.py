"""The decision report: what a Gate's threshold would do, before it is used."""

import json
from typing import Any

import torch
from comfy_api.latest import io, ui

from ..emoe_core.charts import as_array
from ..emoe_core.gating.decision_report import Choice, decisions
from ..emoe_core.gating.policies import ALPHA, DELTA
from ..emoe_core.hosts.comfyui.files import decoration
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.show.decisions import picture
from . import inputs
from .api import ADVANCED, named
from .shown import text_ui
from .types import CalibrationType


class DecisionReport(io.ComfyNode):
    """Curves and numbers of a labelled calibration."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        seconds: dict[str, Any] = {"min": 0.0, "max": 1e6, "step": 0.1, "round": 0.001}
        return io.Schema(
            **named(
                "EMoE_DecisionReport",
                "Gate Quality Report",
                "decision report",
                "risk coverage",
                "policy",
                "threshold",
                "savings",
            ),
            description=(
                "How well a Gate's decisions foresee quality, by a calibration with bad prompts marked: risk-coverage curve with "
                "AURC, AUGRC and AUARC, and seconds saved against quality kept, with the threshold of the policy marked."
            ),
            inputs=[
                CalibrationType.Input(
                    "calibration", tooltip="From Calibrate Gate or Load Calibration, with bad prompts marked."
                ),
                inputs.policy("How the threshold is found, as in Confidence Gate."),
                inputs.rate(
                    "alpha",
                    ALPHA,
                    tooltip="The rate to keep, as in Confidence Gate.",
                ),
                inputs.rate(
                    "delta",
                    DELTA,
                    tooltip="With bad_among_passed: 1 minus the confidence, as in Confidence Gate.",
                    **ADVANCED,
                ),
                inputs.threshold(),
                io.Float.Input(
                    "seconds_generation",
                    default=10.0,
                    tooltip="How long one image takes on your machine, in seconds.",
                    **seconds,
                ),
                io.Float.Input(
                    "seconds_score",
                    default=0.5,
                    tooltip="How long one score takes on your machine, in seconds.",
                    **seconds,
                ),
                inputs.text(
                    "group",
                    optional=True,
                    tooltip="Only the calibration's prompts of this group, such as ja or language=ja. Empty: all.",
                ),
                inputs.theme("Look of the picture.", optional=True, **ADVANCED),
            ],
            outputs=[
                io.Image.Output(display_name="report", tooltip="The four charts, for Save Image or a preview."),
                io.String.Output(display_name="numbers", tooltip="Every number of the report, as JSON."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        calibration: Calibration,
        theme: str = "light",
        **choice: Any,
    ) -> io.NodeOutput:
        report = decisions(calibration, Choice(**choice))
        image, numbers = torch.from_numpy(as_array(picture(report, theme))), report.as_dict()
        drawn, said = decoration(lambda: dict(ui.PreviewImage(image, cls=cls).as_dict()))
        shown = {**drawn, **text_ui(*report.lines(), *said), "emoe_decisions": [numbers]}
        return io.NodeOutput(image, json.dumps(numbers, allow_nan=False), ui=shown)
