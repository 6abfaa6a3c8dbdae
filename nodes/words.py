"""Which word of a prompt the models do not know."""

from typing import Any

import torch
from comfy_api.latest import io

from ..emoe_core.charts import as_array
from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.hosts.comfyui.attributing import attribute_words
from ..emoe_core.hosts.comfyui.files import decoration, keep_picture
from ..emoe_core.prompts import check_text
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.scoring.attribution import MOST_WORDS
from ..emoe_core.show.words import words_picture
from . import inputs, settings
from .api import named
from .shown import joined, text_ui
from .types import Experts


class WordAttribution(io.ComfyNode):
    """Leave one out, word by word."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named(
                "EMoE_WordAttribution",
                "Word Attribution",
                "explain prompt",
                "unknown words",
                "prompt words",
                "word uncertainty",
                "leave one out",
            ),
            description=(
                "Shows which words of a prompt raise its uncertainty: the prompt is scored whole and with each word left "
                "out. Words that the models do not know stand out in orange. Costs one score per word."
            ),
            inputs=[
                Experts.Input("experts", tooltip="Two or more experts."),
                io.String.Input(
                    "text", multiline=True, tooltip=f"The prompt, in any language; at most {MOST_WORDS} words."
                ),
                io.Latent.Input(
                    "latent_image", tooltip="An empty latent of the size that Uncertainty Score gets, batch size 1."
                ),
                *settings.all_inputs(),
                inputs.clip(),
                settings.block_index(),
                settings.calibration_input(),
                settings.sampler_name(),
            ],
            outputs=[
                io.String.Output(
                    display_name="words", tooltip="One line per word with what it adds, the strongest first."
                ),
                io.Image.Output(
                    display_name="picture",
                    tooltip="The prompt, each word coloured: orange raises the uncertainty, blue lowers it.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        experts: ExpertSet,
        text: str,
        latent_image: dict[str, Any],
        clip: Any = None,
        calibration: Calibration | None = None,
        **widgets: Any,
    ) -> io.NodeOutput:
        check_text(text, "Word Attribution's text")
        options = settings.options("Word Attribution", **widgets, calibration=calibration)
        found = attribute_words(experts, text, latent_image, clip, options)
        picture = words_picture(found)
        drawn, said = decoration(lambda: {"images": [keep_picture(picture, "emoe_words")]})
        lines = found.lines()
        ui = {
            **text_ui(*lines, *settings.used_line(calibration), *said),
            "emoe_words": [found.as_dict()],
            **drawn,
        }
        return io.NodeOutput(joined(lines), torch.from_numpy(as_array(picture)), ui=ui)
