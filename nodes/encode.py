"""Text to conditioning, one encoding per expert."""

from comfy_api.latest import io

from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.hosts.comfyui.prompts.conditioning import encode_for_experts
from ..emoe_core.prompts import check_text
from .api import named
from .types import Experts


class EncodeForExperts(io.ComfyNode):
    """Like CLIPTextEncode, for every expert at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_EncodeForExperts", "Encode for Experts", "prompt", "CLIP text encode", "text encoder"),
            description=(
                "Encodes the prompt for every expert with its own text encoder, as checkpoints bring their own. The result "
                "also works in KSampler together with the first expert's MODEL."
            ),
            inputs=[
                Experts.Input("experts", tooltip="The same experts that Uncertainty Score gets."),
                io.String.Input("text", multiline=True, dynamic_prompts=True, tooltip="The prompt to score."),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="conditioning",
                    tooltip="The prompt for Uncertainty Score; areas, masks and ControlNet added to it hold for every expert.",
                )
            ],
        )

    @classmethod
    def execute(cls, experts: ExpertSet, text: str) -> io.NodeOutput:
        check_text(text, "Encode for Experts's text")
        return io.NodeOutput(encode_for_experts(experts, text))
