"""The gate: a decision with a known error rate, written where every client finds it."""

import math
from typing import Any

from comfy_api.latest import io

from ..emoe_core.gating.gate import DECIDE, OBSERVE, decide
from ..emoe_core.gating.policies import ALPHA, DELTA, POLICIES
from ..emoe_core.hosts.comfyui.files import card_ui, save_json
from ..emoe_core.hosts.comfyui.ledger import record
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.records.report import Report
from ..emoe_core.show.card import card
from . import inputs
from .api import ADVANCED, named
from .shown import for_page, text_ui
from .types import CalibrationType, ReportType


class Gate(io.ComfyNode):
    """An output node: it runs whatever happens to the branches, and its verdict stays in the history."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        policies = "; ".join(f"{name}: {policy.summary}" for name, policy in POLICIES.items())
        return io.Schema(
            **named(
                "EMoE_Gate",
                "Confidence Gate",
                "block",
                "pass",
                "threshold",
                "stop",
                "skip",
                "reroute",
                "quality gate",
                "switch",
                "decision",
            ),
            description=(
                "Decides whether a prompt may go on: passed drives Reroute by Gate and Stop or Skip by "
                "Gate, which skip or reroute the generation. "
                "The verdict is kept in the history and as a JSON file in the output folder, also for API clients."
            ),
            inputs=[
                ReportType.Input("report", tooltip="From Uncertainty Score."),
                inputs.policy(f"{policies}."),
                inputs.rate(
                    "alpha",
                    ALPHA,
                    tooltip=(
                        "The share that the policy keeps. With false_block_rate, 0.05 means: of good prompts like those of "
                        "the calibration at most 1 in 20 is blocked, whatever the model."
                    ),
                ),
                inputs.threshold(),
                io.Combo.Input(
                    "mode",
                    options=[DECIDE, OBSERVE],
                    default=DECIDE,
                    tooltip="decide: blocked prompts stop here. observe: record the verdict, let everything pass.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="emoe/verdict",
                    tooltip="Where the verdict's JSON file goes in the output folder, as in Save Image.",
                    **ADVANCED,
                ),
                CalibrationType.Input(
                    "calibration",
                    optional=True,
                    tooltip=(
                        "Reference scores made with the same experts and settings. Better connected to Uncertainty Score, "
                        "whose report brings it. Demo Experts bring their own."
                    ),
                ),
                inputs.rate(
                    "delta",
                    DELTA,
                    optional=True,
                    tooltip=(
                        "With bad_among_passed: how often a calibration may be unlucky. 0.1 means that the rate holds with "
                        "confidence 0.9."
                    ),
                    **ADVANCED,
                ),
                inputs.text(
                    "group",
                    optional=True,
                    tooltip=(
                        "The prompt's group where the calibration has groups, such as ja or language=ja. Its own threshold "
                        "is used if the group has enough reference prompts, else that of all. Empty: that of all."
                    ),
                ),
                io.Boolean.Input(
                    "ledger",
                    default=False,
                    optional=True,
                    tooltip=(
                        "Keep this verdict, its prompt included, in the ledger in ComfyUI's user directory: for figures, "
                        "drift and calibrations by 'python -m emoe_core ledger'."
                    ),
                    **ADVANCED,
                ),
            ],
            outputs=[
                io.Boolean.Output(
                    display_name="passed",
                    tooltip="True when the prompt may go on; for Reroute by Gate or Stop or Skip by Gate.",
                ),
                io.String.Output(display_name="verdict", tooltip="'pass' or 'block', also in mode observe."),
                io.Float.Output(
                    display_name="percentile", tooltip="Share of calibration prompts that score lower; NaN without one."
                ),
                io.Float.Output(
                    display_name="p_value",
                    tooltip="Conformal p-value, small for unknown prompts; NaN without calibration.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        report: Report,
        filename_prefix: str,
        calibration: Calibration | None = None,
        ledger: bool = False,
        **how: Any,
    ) -> io.NodeOutput:
        verdict = decide(report, calibrations=None if calibration is None else (calibration,), **how)
        kept = verdict.as_dict()
        if ledger:
            kept["ledger"], warning = record(verdict)
            kept["warnings"] += [] if warning is None else [warning]
        saved = save_json({**kept, "report": report.as_told()}, filename_prefix, "Confidence Gate")
        page = for_page(cls.hidden)
        drawn, said = card_ui(card(report, verdict), picture=page)
        told = {} if page else {"emoe_report": [report.as_told()]}  # a Score may leave it to its Gate
        ui = {**text_ui(verdict.line(), *said), "emoe": [kept], "files": [saved], **told, **drawn}
        return io.NodeOutput(
            verdict.passed, verdict.verdict, _number(verdict.percentile), _number(verdict.p_value), ui=ui
        )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
