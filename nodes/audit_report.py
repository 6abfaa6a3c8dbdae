"""The audit's report: a file to hand on, and its charts as pictures."""

import torch
from comfy_api.latest import io

from ..emoe_core.audit.pictures import distributions_picture, priorities_picture
from ..emoe_core.audit.report import LANGUAGES, html
from ..emoe_core.audit.result import AuditResult
from ..emoe_core.charts import as_array
from ..emoe_core.hosts.comfyui.files import decoration, keep_picture, save_text
from . import inputs
from .api import named
from .shown import joined
from .types import AuditType


class AuditReport(io.ComfyNode):
    """Writes the report of an audit."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_AuditReport", "Audit Report", "bias report", "html report", "world map", "charts"),
            description=(
                "The report of a bias audit as one HTML file in English and Japanese, to open in any browser, on a phone or on "
                "paper: what data to collect first, scores by group, a world map for territories, worst and best prompts, "
                "limits. Its two main charts come out as images."
            ),
            inputs=[
                AuditType.Input("audit", tooltip="From Uncertainty Audit."),
                io.Combo.Input(
                    "language",
                    options=list(LANGUAGES),
                    default=LANGUAGES[0],
                    tooltip="The language that the file opens in: en or ja. It holds both, with a switch.",
                ),
                inputs.theme("Look of the images. The file follows the reader's own setting."),
                io.String.Input(
                    "filename_prefix",
                    default="emoe/audit_report",
                    tooltip="Where the file goes in the output folder, as in Save Image.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="priorities", tooltip="What to collect first: one chart per group column."
                ),
                io.Image.Output(
                    display_name="distributions",
                    tooltip="How the scores of each group lie, and what a Confidence Gate would block.",
                ),
                io.String.Output(display_name="summary", tooltip="What came out, in sentences."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, audit: AuditResult, language: str, theme: str, filename_prefix: str) -> io.NodeOutput:
        pictures = [priorities_picture(audit, theme), distributions_picture(audit, theme)]
        saved = save_text(html(audit, language), filename_prefix, ".html", "Audit Report")
        summary = joined(audit.lines())
        drawn, said = decoration(lambda: {"images": [keep_picture(picture, "emoe_audit") for picture in pictures]})
        shown = {
            "text": [f"Report: output/{saved['subfolder']}/{saved['filename']}".replace("//", "/"), summary, *said],
            "files": [saved],
            **drawn,
        }
        return io.NodeOutput(*(torch.from_numpy(as_array(picture)) for picture in pictures), summary, ui=shown)
