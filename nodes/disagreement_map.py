"""Where in the picture the experts disagree, with a legend."""

from typing import Any

import torch
from comfy_api.latest import io, ui

from ..emoe_core.hosts.comfyui.disagreement_map import drawn
from ..emoe_core.records.report import Report
from ..emoe_core.show.disagreement_map import SIZES, Look
from .api import ADVANCED, named
from .types import ReportType


class DisagreementMap(io.ComfyNode):
    """Draws the maps of a score."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named(
                "EMoE_DisagreementMap",
                "Disagreement Map",
                "heatmap",
                "uncertainty map",
                "saliency",
                "where uncertain",
                "legend",
                "preview",
                "mask",
            ),
            description=(
                "Where in the picture the experts disagree, as colours with a legend: alone, over a preview of what the "
                "first expert expects to see (connect a VAE), or over any picture. The mean of the map is the score of "
                "the presets layout, thorough and fast. Also gives the map as a mask."
            ),
            inputs=[
                ReportType.Input("report", tooltip="From Uncertainty Score."),
                io.Int.Input(
                    "size",
                    default=512,
                    min=SIZES[0],
                    max=SIZES[1],
                    tooltip="Longer side of the map in pixels, without the legend.",
                ),
                io.Float.Input(
                    "strength",
                    default=0.85,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much the colours cover the picture under them where the experts disagree most.",
                ),
                io.Float.Input(
                    "maximum",
                    default=0.0,
                    min=0.0,
                    max=1e6,
                    step=0.001,
                    round=False,
                    tooltip="Value of the brightest colour. 0: the highest place. Set it to compare prompts by colour.",
                    **ADVANCED,
                ),
                io.Boolean.Input("legend", default=True, tooltip="Draw the scale below the picture.", **ADVANCED),
                io.Boolean.Input(
                    "beside",
                    default=True,
                    tooltip="With a vae or an image: also show that picture in its own colours, at the left.",
                    **ADVANCED,
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The experts' VAE: shows the map over a preview of the first expert's denoised estimate.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Any picture to lay the map over, say the finished one; goes before the preview.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="picture", tooltip="The map, one picture for each item of the batch."),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The map as a mask: 0 where the experts agree, 1 where they agree least.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        report: Report,
        vae: Any = None,
        image: torch.Tensor | None = None,
        **look: Any,
    ) -> io.NodeOutput:
        picture, mask = drawn(report, Look(**look), image, vae)
        return io.NodeOutput(picture, mask, ui=ui.PreviewImage(picture, cls=cls))
