"""Experts: the embedded ones, any MODEL, or files from ComfyUI's folders."""

from typing import Any

from comfy_api.latest import io

from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.hosts.comfyui.experts import load as host
from ..emoe_core.hosts.comfyui.experts import loras
from ..emoe_core.hosts.comfyui.experts.demo import load_demo_vae
from ..emoe_core.hosts.comfyui.experts.demo_set import embedded_experts
from .api import named
from .shown import refused
from .types import Experts

_MOST_FILES = 8


class DemoExperts(io.ComfyNode):
    """The embedded text-to-emoji experts: true models, small enough to ship."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_DemoExperts", "Demo Experts", "try EMoE", "example models", "emoji"),
            description=(
                "Four tiny text-to-emoji models that come with EMoE, to try uncertainty, gate and reroute without "
                "downloading a checkpoint. They know emoji names mostly in English, less in eight other languages, and "
                "not at all in five more. Use a 128x128 latent."
            ),
            inputs=[],
            outputs=[
                Experts.Output(display_name="experts", tooltip="The four experts, with their calibrations."),
                io.Model.Output(display_name="model", tooltip="The first expert, to make images with KSampler."),
                io.Clip.Output(display_name="clip", tooltip="The first expert's text encoder."),
                io.Vae.Output(display_name="vae", tooltip="Turns the experts' latents into 128x128 pictures."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        experts = embedded_experts()
        first = experts.experts[0]
        return io.NodeOutput(experts, first.model, first.clip, load_demo_vae())


class AddExpert(io.ComfyNode):
    """Adds one expert: the main way, which works with every loader and every client."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_AddExpert", "Add Expert", "ensemble", "model to expert"),
            description=(
                "Adds a MODEL, with whatever LoRA and patches it carries, to the experts whose disagreement is the "
                "uncertainty. Chain one node per expert. Experts should be fine-tunes of one base model."
            ),
            inputs=[
                io.Model.Input(
                    "model", tooltip="The expert. It is never changed; KSampler can use it beside the score."
                ),
                io.String.Input("name", default="", tooltip="What to call it in reports. Empty: it is numbered."),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The expert's own text encoder, used by Encode for Experts. Without it, the first expert's.",
                ),
                Experts.Input("experts", optional=True, tooltip="The experts so far. Leave open for the first one."),
            ],
            outputs=[Experts.Output(display_name="experts", tooltip="The experts with this one added.")],
        )

    @classmethod
    def execute(cls, model: Any, name: str, clip: Any = None, experts: ExpertSet | None = None) -> io.NodeOutput:
        so_far = experts or ExpertSet()
        return io.NodeOutput(so_far.add(host.expert_from_model(model, clip, name)))


class LoadExperts(io.ComfyNode):
    """Several checkpoints at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = host.model_files()
        first = [
            io.Combo.Input(f"expert_{i}", options=files, tooltip=f"Expert {i}: a checkpoint or a diffusion model.")
            for i in (1, 2)
        ]
        more = [
            io.Combo.Input(
                f"expert_{i}",
                options=[host.NONE, *files],
                default=host.NONE,
                optional=True,
                tooltip=f"Expert {i}, or '{host.NONE}'.",
            )
            for i in range(3, _MOST_FILES + 1)
        ]
        return io.Schema(
            **named("EMoE_LoadExperts", "Load Experts", "ensemble", "load checkpoints", "multiple models"),
            description=(
                "Loads two to eight checkpoints or diffusion models as experts, each with its own text encoder where the "
                "file has one. Choose fine-tunes of one base model, e.g. four SD 1.5 or four SDXL checkpoints."
            ),
            inputs=[
                *first,
                *more,
                io.Combo.Input(
                    "load",
                    options=list(host.LOAD),
                    default=host.ENCODER_ONLY,
                    optional=True,
                    tooltip=(
                        f"{host.ENCODER_ONLY}: a third of each file is read and kept in memory; the rest follows by itself "
                        "if a preset needs it (layout, thorough, one_model). "
                        f"{host.WHOLE}: everything at once. The scores are the same. "
                        f"{host.SLIM}: the first file whole, and of each other one its difference in two bits per number, "
                        "an eighth of the memory. The scores differ a little, so calibrate with it."
                    ),
                ),
            ],
            outputs=[Experts.Output(display_name="experts", tooltip="The experts in the order of the list.")],
        )

    @classmethod
    def execute(cls, load: str = host.ENCODER_ONLY, **files: str) -> io.NodeOutput:
        return io.NodeOutput(host.load_experts(_chosen(files), load))

    @classmethod
    def validate_inputs(cls, **files: str) -> bool | str:
        """Refuses a missing file when the graph is queued, before anything runs."""
        known = host.model_files()
        found = (refused(name, known, "The model file", "in ComfyUI's models folder") for name in _chosen(files))
        return next(filter(None, found), True)

    @classmethod
    def fingerprint_inputs(cls, **files: str) -> str:
        """Loads a file again that was replaced under the same name."""
        return host.files_fingerprint(_chosen(files))


class ExpertsFromLoras(io.ComfyNode):
    """Experts for users with one checkpoint and many LoRAs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = loras.lora_files()
        pairs: list[Any] = []
        for i in range(1, _MOST_FILES + 1):
            needed = i <= 2
            pairs += [
                io.Combo.Input(
                    f"lora_{i}",
                    options=files if needed else [host.NONE, *files],
                    default=None if needed else host.NONE,
                    optional=not needed,
                    tooltip=f"LoRA of expert {i}." if needed else f"LoRA of expert {i}, or '{host.NONE}'.",
                ),
                io.Float.Input(
                    f"strength_{i}",
                    default=1.0,
                    min=-20.0,
                    max=20.0,
                    step=0.05,
                    optional=not needed,
                    tooltip=f"Strength of LoRA {i}, in the model and in the text encoder.",
                ),
            ]
        return io.Schema(
            **named("EMoE_ExpertsFromLoras", "Experts from LoRAs", "ensemble", "lora ensemble", "several loras"),
            description=(
                "Makes two to eight experts of one model, each with another LoRA. They share the model's weights, so they "
                "cost the memory of one. The model as it is can be added with Add Expert."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model that all experts share. It is never changed."),
                io.Clip.Input(
                    "clip", optional=True, tooltip="Its text encoder; each LoRA changes its own expert's copy."
                ),
                *pairs,
            ],
            outputs=[Experts.Output(display_name="experts", tooltip="One expert per LoRA.")],
        )

    @classmethod
    def execute(cls, model: Any, clip: Any = None, **pairs: Any) -> io.NodeOutput:
        given = [(pairs.get(f"lora_{i}"), pairs.get(f"strength_{i}", 1.0)) for i in range(1, _MOST_FILES + 1)]
        wanted = [(name, strength) for name, strength in given if name and name != host.NONE]
        return io.NodeOutput(loras.experts_from_loras(model, clip, wanted))

    @classmethod
    def validate_inputs(cls, **pairs: Any) -> bool | str:
        """Refuses a missing LoRA when the graph is queued."""
        known = {host.NONE, *loras.lora_files()}
        named = (pairs.get(f"lora_{i}") or None for i in range(1, _MOST_FILES + 1))
        found = (refused(name, known, "The LoRA", "in ComfyUI's loras folder") for name in named)
        return next(filter(None, found), True)


def _chosen(files: dict[str, str]) -> list[str]:
    names = (files.get(f"expert_{i}", host.NONE) for i in range(1, _MOST_FILES + 1))
    return [name for name in names if name and name != host.NONE]
