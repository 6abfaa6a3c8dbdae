"""Mixtures of experts: the paper's own setting."""

from typing import Any

from comfy_api.latest import io

from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.hosts.comfyui.mixture import build as host
from ..emoe_core.hosts.comfyui.mixture import segmoe
from ..emoe_core.mixture.layers import LAYERS
from . import inputs
from .api import ADVANCED, named
from .shown import refused
from .types import Experts

_MIXTURE = "The mixture's paths, one per expert: for Encode for Experts, Uncertainty Score and Calibrate Gate."
_MODEL = "The mixture as one model: for KSampler."


class BuildMixture(io.ComfyNode):
    """SegMoE without training."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_BuildMixture", "Build Mixture", "mixture of experts", "SegMoE", "merge models"),
            description=(
                "Makes one model of several experts, a SegMoE mixture, as in the EMoE paper: attention layers of all experts "
                "in the first one's network, and gates that route every token. The score then separates the paths at the first "
                "cross-attention. Nothing is trained; each expert draws its own prompt once to make its gate."
            ),
            inputs=[
                Experts.Input("experts", tooltip="Two or more fine-tunes of one U-Net: SD 1.5, SD 2 or SDXL."),
                io.String.Input(
                    "positive_prompts",
                    multiline=True,
                    default="",
                    tooltip=(
                        "One line per expert, in their order: a prompt for what the expert is good at. Its gate is made from it."
                    ),
                ),
                io.String.Input(
                    "negative_prompts",
                    multiline=True,
                    default="",
                    tooltip="What each expert avoids while it draws that prompt: one line per expert, one for all, or none.",
                ),
                io.Latent.Input(
                    "latent_image", tooltip="Size at which the gates are made; take the size that you draw."
                ),
                io.Combo.Input(
                    "layers",
                    options=list(LAYERS),
                    default="attn",
                    tooltip="Which layers are mixed. attn: queries, keys and values of all attentions, as in the paper; ff: "
                    "the feed-forward layers; all: both.",
                ),
                io.Int.Input(
                    "top_k",
                    default=2,
                    min=1,
                    max=64,
                    tooltip="To how many experts a layer routes an image. More costs more; at most the number of experts.",
                ),
                io.Int.Input(
                    "gate_steps",
                    default=25,
                    min=1,
                    max=1000,
                    tooltip="Steps in which each expert draws its prompt. SegMoE takes 25; fewer are faster and rougher.",
                    **ADVANCED,
                ),
                io.Float.Input(
                    "gate_cfg",
                    default=7.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Guidance while it draws. SegMoE's own: 7.5 for SD 1.5, 5.0 for SDXL.",
                ),
                inputs.seed(
                    "gate_seed",
                    "Seed of that drawing. Another seed makes other gates, and a calibration holds for one only.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="Text encoder of the mixture and of all gate prompts. Without it, the first expert's for the "
                    "mixture and each expert's own for its gate.",
                ),
            ],
            outputs=[
                Experts.Output(display_name="experts", tooltip=_MIXTURE),
                io.Model.Output(display_name="model", tooltip=_MODEL),
            ],
        )

    @classmethod
    def execute(
        cls,
        experts: ExpertSet,
        positive_prompts: str,
        negative_prompts: str,
        latent_image: dict[str, Any],
        gate_steps: int,
        gate_cfg: float,
        gate_seed: int,
        **mixed: Any,
    ) -> io.NodeOutput:
        mixture = host.build_mixture(
            experts,
            positive_prompts,
            negative_prompts,
            latent_image,
            steps=gate_steps,
            cfg=gate_cfg,
            seed=gate_seed,
            **mixed,
        )
        return io.NodeOutput(mixture, mixture.network.model)


class LoadSegMoE(io.ComfyNode):
    """A mixture that the segmoe package made."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_LoadSegMoE", "Load SegMoE", "mixture of experts", "load mixture"),
            description=(
                "Loads a SegMoE mixture of experts (package segmoe, diffusers layout) from a folder in ComfyUI's "
                "models/diffusers: as experts for Uncertainty Score, and as MODEL, CLIP and VAE for drawing."
            ),
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=segmoe.folders(),
                    tooltip="A folder in models/diffusers with unet/config.json that names a segmoe_config.",
                ),
            ],
            outputs=[
                Experts.Output(display_name="experts", tooltip=_MIXTURE),
                io.Model.Output(display_name="model", tooltip=_MODEL),
                io.Clip.Output(display_name="clip", tooltip="The mixture's text encoder; none if the folder has none."),
                io.Vae.Output(display_name="vae", tooltip="The mixture's VAE; none if the folder has none."),
            ],
        )

    @classmethod
    def execute(cls, folder: str) -> io.NodeOutput:
        loaded = segmoe.load(folder)
        return io.NodeOutput(loaded.experts, loaded.experts.network.model, loaded.clip, loaded.vae)

    @classmethod
    def validate_inputs(cls, folder: str | None = None) -> bool | str:
        """Refuses a missing folder when the graph is queued. None: another node gives the name and has not run, or the graph
        has none, which ComfyUI says itself.
        """
        return refused(folder, segmoe.folders(), "The folder", "in ComfyUI's models/diffusers") or True

    @classmethod
    def fingerprint_inputs(cls, folder: str | None) -> str:
        """Loads a folder again that was replaced under the same name."""
        return "" if folder is None else segmoe.fingerprint(folder)
