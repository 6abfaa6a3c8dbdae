"""The prompts in the ledger, as a calibration."""

from comfy_api.latest import io

from ..emoe_core.hosts.comfyui import ledger
from ..emoe_core.records.report import Report
from .api import named
from .shown import text_ui
from .types import CalibrationType, ReportType


class CalibrationFromLedger(io.ComfyNode):
    """Takes reference scores from prompts that a Gate has seen before, instead of scoring a list."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_CalibrationFromLedger", "Calibration from Ledger", "history", "recalibrate", "drift"),
            description=(
                "Makes a calibration of the prompts that Gates kept in the ledger under the settings of this score. Nothing is "
                "scored again. Follow it with Save Calibration; in other graphs, Load Calibration brings it to the Gate."
            ),
            inputs=[
                ReportType.Input(
                    "report", tooltip="From Uncertainty Score: the verdicts of the same experts and settings are used."
                ),
                io.String.Input(
                    "name", default="from the ledger", tooltip="What to call it in messages and as a file."
                ),
                io.Boolean.Input(
                    "unmarked_as_good",
                    default=False,
                    tooltip=(
                        "Where some verdicts are marked good or bad, these alone are used. On: take those without a mark "
                        "too, as good ones."
                    ),
                ),
            ],
            outputs=[CalibrationType.Output(display_name="calibration", tooltip="For Save Calibration.")],
        )

    @classmethod
    def execute(cls, report: Report, name: str, unmarked_as_good: bool) -> io.NodeOutput:
        made, notes = ledger.calibration(report, name, unmarked_as_good)
        return io.NodeOutput(made, ui=text_ui(made.line(), *notes))

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """Reads a changed ledger again."""
        return ledger.state()
