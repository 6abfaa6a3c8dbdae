"""Graphs in API format on the demo experts, for tests that post them to a live server."""

from __future__ import annotations

from typing import Any

Graph = dict[str, dict[str, Any]]
PASS, BLOCK = 1e12, -1e12


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def scored(prompt: str = "rainbow", batch: int = 1, **changes: Any) -> Graph:
    """Demo experts, a prompt and its score: nodes experts, text, latent, score."""
    settings: dict[str, Any] = {
        "preset": "fast",
        "add_noise": "enable",
        "noise_seed": 0,
        "steps": 20,
        "scheduler": "normal",
        "at_step": 0,
        "noise_samples": 1,
        "tap": "mid_out",
        "estimator": "relative",
    }
    return {
        "experts": node("EMoE_DemoExperts"),
        "text": node("EMoE_EncodeForExperts", experts=["experts", 0], text=prompt),
        "latent": node("EmptyLatentImage", width=128, height=128, batch_size=batch),
        "score": node(
            "EMoE_Score",
            experts=["experts", 0],
            positive=["text", 0],
            latent_image=["latent", 0],
            **{**settings, **changes},
        ),
    }


def gate(threshold: float, **changes: Any) -> dict[str, Any]:
    inputs = {"policy": "raw_threshold", "alpha": 0.05, "mode": "decide", "filename_prefix": "emoe/verdict", **changes}
    return node("EMoE_Gate", report=["score", 1], threshold=threshold, **inputs)


def generated(steps: int = 2) -> Graph:
    """Stock nodes on the demo experts: nodes negative, sampler, picture."""
    return {
        "negative": node("CLIPTextEncode", clip=["experts", 2], text=""),
        "sampler": node(
            "KSampler",
            model=["experts", 1],
            positive=["text", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=3,
            steps=steps,
            cfg=4.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "picture": node("VAEDecode", samples=["sampler", 0], vae=["experts", 3]),
    }


def save(source: str, prefix: str = "emoe/image") -> dict[str, Any]:
    return node("SaveImage", images=[source, 0], filename_prefix=prefix)


def gated(threshold: float, tag: str) -> Graph:
    return {
        **scored(prompt=tag),
        "gate": gate(threshold),
        **generated(),
        "route": node("EMoE_Route", passed=["gate", 0], on_pass=["picture", 0]),
        "save": save("route"),
    }


def rerouted(threshold: float, tag: str) -> Graph:
    """As `gated`, and a blocked prompt gets a white image of 16 x 16."""
    graph = gated(threshold, tag)
    graph["fallback"] = node("EmptyImage", width=16, height=16, batch_size=1, color=0xFFFFFF)
    graph["route"]["inputs"]["on_block"] = ["fallback", 0]
    return graph
