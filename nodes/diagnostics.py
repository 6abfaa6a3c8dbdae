"""Expert Diagnostics: what a set of experts is good for."""

from typing import Any

from comfy_api.latest import io, ui

from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.hosts.comfyui import diagnosing
from ..emoe_core.hosts.comfyui.files import decoration
from .api import named
from .shown import joined, text_ui
from .types import Experts


class ExpertDiagnostics(io.ComfyNode):
    """Kinship, copies, merges, taps and estimators."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_ExpertDiagnostics", "Expert Diagnostics", "compare models", "lineage", "similar checkpoints"),
            description=(
                "What a set of experts is good for: who descends from whom (lineage), which are copies or merges of others, "
                "how many experts that leaves, which preset makes sense, and what a score costs. With prompts it also measures "
                "how far their answers lie apart, and says which experts disagree for reasons other than knowledge."
            ),
            inputs=[
                Experts.Input("experts", tooltip="The experts to look at."),
                io.String.Input(
                    "prompts",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="Some prompts, one per line, to see how far the experts lie apart. A ranking takes at least 8. "
                    "Empty: weights only.",
                ),
                io.Latent.Input(
                    "latent_image", optional=True, tooltip="Size for the prompts; only needed with prompts."
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="One text encoder for all. Open: each expert's own, as Encode for Experts does.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="text", tooltip="Everything that was found, what matters most first."),
                io.Image.Output(
                    display_name="matrix",
                    tooltip="How alike the weights of each pair are. With prompts, how far their latents are apart. For each "
                    "merge, its parents' shares.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, experts: ExpertSet, prompts: str = "", latent_image: dict[str, Any] | None = None, clip: Any = None
    ) -> io.NodeOutput:
        found = diagnosing.look_at(experts, prompts, latent_image, clip)
        image = diagnosing.picture(found)
        drawn, said = decoration(lambda: dict(ui.PreviewImage(image, cls=cls).as_dict()))
        shown = {
            **drawn,
            **text_ui(*found.lines, *said),
            "emoe_diagnosis": [found.as_dict()],
        }
        return io.NodeOutput(joined(found.lines), image, ui=shown)
