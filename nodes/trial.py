"""Trials in the graph: a picture is kept together with what every preset said of its prompt."""

from typing import Any

import torch
from comfy_api.latest import io, ui

from ..emoe_core.errors import EMoEError
from ..emoe_core.hosts.comfyui import trials
from ..emoe_core.hosts.comfyui.files import saved_under
from ..emoe_core.records.report import Report
from .api import ADVANCED, named
from .shown import text_ui
from .types import ReportType


class KeepForTrial(io.ComfyNode):
    """Save Image for a trial. It takes whole lists, so that a list of pictures is never paired with too few reports."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_KeepForTrial", "Keep for Trial", "save image", "prove", "trial", "collect pictures", "mark"),
            description=(
                "Saves a picture and keeps it in a trial with its prompt and what every preset reads, to learn from marks "
                "whether the score foresees bad pictures on your models. Run a prompt again with another seed for a further "
                "picture of it."
            ),
            inputs=[
                io.Image.Input("images", tooltip="The picture of the prompt, or a list with one picture per prompt."),
                ReportType.Input(
                    "report",
                    tooltip="From Uncertainty Score with every_preset on; one per picture. With it off, fewer presets are read.",
                ),
                io.String.Input(
                    "trial",
                    default="my trial",
                    tooltip="The trial's name: a file in user/emoe/trials. All its pictures come from the same experts.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="emoe/trial",
                    tooltip="Where pictures go in the output folder, as in Save Image.",
                    **ADVANCED,
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            outputs=[],
            is_output_node=True,
            is_input_list=True,
        )

    @classmethod
    def execute(
        cls, images: list[torch.Tensor], report: list[Report], trial: list[str], filename_prefix: list[str]
    ) -> io.NodeOutput:
        if len(images) != len(report):
            raise EMoEError(
                f"Keep for Trial gets {len(images)} pictures and {len(report)} reports, and needs one report each; connect "
                "both behind the same list of prompts."
            )
        if any(len(picture) != 1 for picture in images):
            raise EMoEError("Keep for Trial gets several pictures of one prompt; set the latent's batch_size to 1.")
        keeper = trials.Keeper(_single(trial, "trial"), report)
        prefix, saved = _single(filename_prefix, "filename_prefix"), list[dict[str, Any]]()
        with saved_under(prefix, "Keep for Trial"):
            for picture in images:
                saved += ui.ImageSaveHelper.get_save_images_ui(picture, prefix, cls).as_dict()["images"]
        told = keeper.keep(saved, cls.hidden.prompt if cls.hidden is not None else None)
        return io.NodeOutput(ui={"images": saved, **text_ui(told.line()), "emoe_trial": [told.as_dict()]})


def _single(values: list[Any], name: str) -> Any:
    if len(set(map(str, values))) != 1:
        raise EMoEError(f"Keep for Trial's {name} is a list of different values; give one for all pictures.")
    return values[0]
