"""Choose Experts: which of some models to compare, and with which settings, before anything is drawn."""

from typing import Any

from comfy_api.latest import io, ui

from ..emoe_core.choosing.result import presets
from ..emoe_core.choosing.select import MOST
from ..emoe_core.choosing.sweep import LOSS
from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.hosts.comfyui import choosing
from ..emoe_core.hosts.comfyui.files import decoration
from ..emoe_core.hosts.comfyui.input_files import state_if_named
from ..emoe_core.scoring.presets import MOST_NOISE_SAMPLES, PRESETS
from ..emoe_core.trial.look import PAIRS
from . import inputs
from .api import ADVANCED, named
from .settings import PLAIN, schedule
from .shown import joined, text_ui
from .types import CalibrationType, Experts


class ChooseExperts(io.ComfyNode):
    """Measures all candidates once, and chooses among all of their subsets."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        told = "; ".join(f"{name}: {PRESETS[name].summary}" for name in presets())
        return io.Schema(
            **named(
                "EMoE_ChooseExperts",
                "Choose Experts",
                "select experts",
                "best checkpoints",
                "ensemble selection",
                "sweep",
                "cheapest settings",
            ),
            description=(
                "Says which of your checkpoints to take as experts, and which settings are the cheapest. No image is drawn. "
                "Every candidate answers known and unknown prompts once, and every subset is scored from that. Copies and "
                "merges are left out, and an expert stays only if it pays. An interrupted run goes on where it stopped."
            ),
            inputs=[
                Experts.Input("experts", tooltip="The candidates, 2 to 16, of one model family."),
                io.Latent.Input("latent_image", tooltip="An empty latent of the size you generate at, batch size 1."),
                io.String.Input(
                    "name",
                    default="my choice",
                    tooltip="The file that keeps the measurement, in ComfyUI's output folder. Empty: keep nothing.",
                ),
                io.Combo.Input(
                    "preset",
                    options=presets(),
                    default=PLAIN.preset,
                    tooltip=f"What the experts are chosen by. {told}.",
                ),
                inputs.seed("noise_seed", "Seed of the noise all experts get."),
                *schedule(),
                io.Int.Input(
                    "at_step",
                    default=PLAIN.at_step,
                    min=0,
                    max=9999,
                    tooltip="The step that is scored. 0 is pure noise.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "noise_samples",
                    default=PLAIN.noise_samples,
                    min=1,
                    max=MOST_NOISE_SAMPLES,
                    tooltip="The most noise samples that are tried; fewer are compared with them.",
                ),
                io.Int.Input(
                    "most",
                    default=MOST,
                    min=2,
                    max=choosing.MOST_EXPERTS,
                    tooltip="The largest set that you would take.",
                ),
                inputs.rate("loss", LOSS, tooltip="How much AUROC the cheapest settings may lose."),
                io.Int.Input(
                    "pairs",
                    default=PAIRS,
                    min=0,
                    max=500,
                    optional=True,
                    tooltip="How many known prompts, each with its words shuffled and with made-up words of the same length.",
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="Prompts that your models know, one per line, instead of the built-in everyday scenes.",
                    **ADVANCED,
                ),
                io.String.Input(
                    "prompt_file",
                    default="",
                    optional=True,
                    tooltip=(
                        "A file in ComfyUI's input folder of more prompts that your models should know, with columns for "
                        "their groups, such as market or topic. Each group counts alike."
                    ),
                ),
                io.String.Input(
                    "groups",
                    default="",
                    optional=True,
                    tooltip="The file's group columns, with commas between. Empty: all whose values repeat.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "most_rows",
                    default=200,
                    min=0,
                    max=100000,
                    optional=True,
                    tooltip="At most this many prompts of that file, evenly spaced. 0: all.",
                    **ADVANCED,
                ),
                io.String.Input(
                    "trial",
                    default="",
                    optional=True,
                    tooltip=(
                        "A trial with marked pictures: the experts are then chosen by how well they tell its bad prompts from "
                        "its good ones, and no other prompts are measured."
                    ),
                    **ADVANCED,
                ),
                io.String.Input(
                    "try_steps",
                    default="",
                    optional=True,
                    tooltip="Other steps to try, with commas between: 2, 5. Each costs as much as at_step.",
                ),
                io.String.Input(
                    "try_sizes",
                    default="",
                    optional=True,
                    tooltip="Other sizes to try, with commas between: 512x512, 768x768. Empty: only that of latent_image.",
                ),
                inputs.clip(),
            ],
            outputs=[
                Experts.Output(display_name="experts", tooltip="The chosen experts, in the order they were chosen."),
                io.String.Output(display_name="text", tooltip="What was found, what matters most first."),
                io.Image.Output(
                    display_name="table", tooltip="What each further expert adds, and what each setting costs."
                ),
                CalibrationType.Output(
                    display_name="settings",
                    tooltip=(
                        "The cheapest settings, as a calibration of the known prompts with the chosen experts: for "
                        "Uncertainty Score, Save Calibration and others."
                    ),
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        experts: ExpertSet,
        latent_image: dict[str, Any],
        name: str,
        preset: str,
        noise_seed: int,
        steps: int,
        scheduler: str,
        at_step: int,
        noise_samples: int,
        most: int,
        loss: float,
        pairs: int = PAIRS,
        prompts: str = "",
        prompt_file: str = "",
        groups: str = "",
        most_rows: int = 200,
        trial: str = "",
        try_steps: str = "",
        try_sizes: str = "",
        clip: Any = None,
    ) -> io.NodeOutput:
        how = choosing.options(
            preset=preset,
            noise_seed=noise_seed,
            steps=steps,
            scheduler=scheduler,
            at_step=at_step,
            noise_samples=noise_samples,
        )
        wanted = choosing.Wanted(pairs, prompts, prompt_file, groups, most_rows, trial)
        tried = choosing.Tried(try_steps, try_sizes)
        found, place = choosing.run(experts, wanted, tried, latent_image, how, clip, name, most, loss)
        lines = [str(one) for one in found.messages(choosing.wrong(experts, found))]
        image = choosing.picture(found)
        drawn, said = decoration(lambda: dict(ui.PreviewImage(image, cls=cls).as_dict()))
        shown = {**drawn, **text_ui(*lines, *said), "emoe_choice": [choosing.told(found, place)]}
        made = choosing.settings(found, name)
        return io.NodeOutput(choosing.chosen(experts, found), joined(lines), image, made, ui=shown)

    @classmethod
    def fingerprint_inputs(cls, prompt_file: str | None = "", trial: str | None = "", **_: Any) -> str:
        """Reads a changed prompt file or trial again."""
        return f"{state_if_named(prompt_file, choosing.PROMPT_FILE)}:{choosing.state(trial)}"
