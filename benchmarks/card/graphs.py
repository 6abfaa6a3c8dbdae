"""The graphs that are measured, in ComfyUI's API format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Graph = dict[str, dict[str, Any]]
PASSES = 1e12  # a threshold that every score stays under


@dataclass(frozen=True)
class Sizes:
    """What is drawn: files of checkpoints, width of the picture, steps of a generation."""

    files: tuple[str, ...]
    width: int
    steps: int = 25


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def image(sizes: Sizes, text: str, seed: int, steps: int | None = None) -> Graph:
    """A generation with the first checkpoint, up to its latent."""
    steps = steps or sizes.steps
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name=sizes.files[0]),
        "words": node("CLIPTextEncode", clip=["checkpoint", 1], text=text),
        "nothing": node("CLIPTextEncode", clip=["checkpoint", 1], text=""),
        "size": node("EmptyLatentImage", width=sizes.width, height=sizes.width, batch_size=1),
        "draw": node(
            "KSampler",
            **{"model": ["checkpoint", 0], "positive": ["words", 0], "negative": ["nothing", 0]},
            **{"latent_image": ["size", 0], "seed": seed, "steps": steps, "cfg": 7.0},
            **{"sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
        ),
        "keep": node("SaveLatent", samples=["draw", 0], filename_prefix="card/latent"),
    }


def score(sizes: Sizes, text: str, experts: int, preset: str, whole: bool = False) -> Graph:
    """A prompt's score and gate; `text` may hold several prompts, one per line."""
    names = {f"expert_{number + 1}": name for number, name in enumerate(sizes.files[:experts])}
    several = "\n" in text
    made = {
        "experts": node("EMoE_LoadExperts", **names, load="whole" if whole else "encoder only"),
        "encode": node("EMoE_EncodeForExperts", experts=["experts", 0], text=["list", 0] if several else text),
        "size": node("EmptyLatentImage", width=sizes.width, height=sizes.width, batch_size=1),
        "score": node(
            "EMoE_Score",
            **{"experts": ["experts", 0], "positive": ["encode", 0], "latent_image": ["size", 0], "preset": preset},
            **{"add_noise": "enable", "noise_seed": 0, "steps": 20, "scheduler": "normal", "at_step": 0},
            **{"noise_samples": 2, "tap": "mid_out", "estimator": "relative"},
        ),
        "gate": node(
            "EMoE_Gate",
            **{"report": ["score", 1], "policy": "raw_threshold", "alpha": 0.05, "threshold": PASSES},
            **{"mode": "decide", "filename_prefix": "card/verdict"},
        ),
    }
    if several:
        made["list"] = node("EMoE_PromptList", prompts=text)
    return made


def gated(sizes: Sizes, text: str, experts: int, preset: str, seed: int) -> Graph:
    """A generation behind a gate that lets it pass."""
    made = image(sizes, text, seed) | score(sizes, text, experts, preset)
    made["stop"] = node("EMoE_Stop", value=["size", 0], passed=["gate", 0], on_block="error")
    made["draw"]["inputs"]["latent_image"] = ["stop", 0]
    return made
