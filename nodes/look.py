"""Known or Unknown: whether the score tells known prompts from unknown ones, before anything is drawn."""

from typing import Any

from comfy_api.latest import io, ui

from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.hosts.comfyui import looking
from ..emoe_core.hosts.comfyui.files import decoration
from ..emoe_core.hosts.comfyui.input_files import state_if_named
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.trial.look import LANGUAGES, NAMES, PAIRS
from . import inputs, settings
from .api import ADVANCED, named
from .shown import joined, text_ui
from .types import Experts


class KnownOrUnknown(io.ComfyNode):
    """Scores built-in prompts of both kinds."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named(
                "EMoE_KnownOrUnknown",
                "Known or Unknown",
                "test experts",
                "validate",
                "nonsense",
                "auroc",
                "prove",
            ),
            description=(
                "A first test of your own checkpoints, without an image: does the score tell prompts that they should know "
                "from shuffled words, nonsense and other languages? Two controls say whether the set measures the prompt at "
                "all. An interrupted run goes on where it stopped."
            ),
            inputs=[
                Experts.Input("experts", tooltip="The experts that Uncertainty Score gets."),
                io.Latent.Input("latent_image", tooltip="An empty latent of the size you generate at, batch size 1."),
                io.String.Input(
                    "trial",
                    default="my trial",
                    tooltip="The trial that keeps the scores, in ComfyUI's user directory. Empty: keep nothing.",
                ),
                *settings.all_inputs(),
                io.Int.Input(
                    "pairs",
                    default=PAIRS,
                    min=0,
                    max=80,
                    optional=True,
                    tooltip="How many known prompts, each with its words shuffled and with made-up words of the same length.",
                ),
                io.String.Input(
                    "languages",
                    default=", ".join(LANGUAGES),
                    optional=True,
                    tooltip="Languages whose names of things are compared with the English ones, with commas between.",
                ),
                io.Int.Input(
                    "names",
                    default=NAMES,
                    min=0,
                    max=500,
                    optional=True,
                    tooltip="How many things are named in each language. 0: none.",
                    **ADVANCED,
                ),
                io.String.Input(
                    "prompt_file",
                    default="",
                    optional=True,
                    tooltip=(
                        "A file in ComfyUI's input folder of prompts whose pictures people rated, higher being better, in a "
                        "column quality, rating, human_score or score (as PQPP has it)."
                    ),
                    **ADVANCED,
                ),
                io.Int.Input(
                    "most_rated",
                    default=200,
                    min=0,
                    max=100000,
                    optional=True,
                    tooltip="At most this many prompts of that file, evenly spaced through it. 0: all.",
                    **ADVANCED,
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="Prompts that your models know, one per line, instead of the built-in everyday scenes.",
                    **ADVANCED,
                ),
                inputs.clip(),
                settings.block_index(),
                settings.calibration_input(),
                settings.sampler_name(),
            ],
            outputs=[
                io.String.Output(display_name="text", tooltip="What was found, one finding per line."),
                io.Boolean.Output(display_name="controls_passed", tooltip="False when a control of the set failed."),
                io.Image.Output(display_name="chart", tooltip="How well each kind of unknown prompt is told apart."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        experts: ExpertSet,
        latent_image: dict[str, Any],
        trial: str,
        pairs: int = PAIRS,
        languages: str = ", ".join(LANGUAGES),
        names: int = NAMES,
        prompt_file: str = "",
        most_rated: int = 200,
        prompts: str = "",
        clip: Any = None,
        calibration: Calibration | None = None,
        **widgets: Any,
    ) -> io.NodeOutput:
        how = settings.options("Known or Unknown", **widgets, calibration=calibration)
        wanted = looking.Wanted(pairs, languages, names, prompts, prompt_file, most_rated)
        contents, found = looking.look(experts, wanted, latent_image, how, clip, trial)
        reading = looking.main_reading(contents, how)
        lines = [str(one) for one in found.messages(reading, experts.experts[0].name)]
        image = looking.picture(found, reading)
        drawn, said = decoration(lambda: dict(ui.PreviewImage(image, cls=cls).as_dict()))
        shown = {**drawn, **text_ui(*lines, *said), "emoe_look": [looking.told(contents, found)]}
        return io.NodeOutput(joined(lines), found.passed, image, ui=shown)

    @classmethod
    def fingerprint_inputs(cls, prompt_file: str | None = "", **_: Any) -> str:
        """Reads a changed prompt file again."""
        return state_if_named(prompt_file, looking.PROMPT_FILE)
