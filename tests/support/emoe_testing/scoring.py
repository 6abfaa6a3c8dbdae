"""Scores in ComfyUI with their options given as words, by tap and estimator rather than by preset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import torch

#: What Uncertainty Score and its kin get from their widgets, as they stand in a new graph.
WIDGETS: dict[str, Any] = {
    "preset": "fast",
    "add_noise": "enable",
    "noise_seed": 0,
    "steps": 20,
    "scheduler": "normal",
    "at_step": 0,
    "noise_samples": 2,
    "tap": "mid_out",
    "estimator": "relative",
}


def latent(batch: int = 1, size: int = 8) -> dict[str, torch.Tensor]:
    """An empty LATENT; the demo experts' own size is 16."""
    return {"samples": torch.zeros(batch, 4, size, size)}


def prompt(width: int, seed: int = 0, **options: Any) -> list[list[Any]]:
    """A CONDITIONING of random numbers that fits networks with this width of text."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(1, 77, width, generator=generator)
    return [[text, {"pooled_output": torch.randn(1, 1280, generator=generator), **options}]]


def options(host: Any, **words: Any) -> Any:
    """`ScoreOptions` of the pack that ComfyUI has loaded.

    Args:
        host: the pack's `emoe_core.hosts.comfyui`.
        words: its attributes; with a tap the preset is "custom".
    """
    return host.scoring.score.ScoreOptions(**({"preset": "custom"} if "tap" in words else {}) | words)


def score_prompt(host: Any, experts: Any, positive: Any, latent: Any, **words: Any) -> Any:
    """`score_prompt`; what is no option goes to it as it is."""
    said, others = _split(host, words)
    return host.scoring.score.score_prompt(experts, positive, latent, said, **others)


def score_prompts(host: Any, experts: Any, prompts: Any, latent: Any, **words: Any) -> Iterator[Any]:
    """`score_prompts`, likewise."""
    said, others = _split(host, words)
    found: Iterator[Any] = host.scoring.score.score_prompts(experts, prompts, latent, said, **others)
    return found


def _split(host: Any, words: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    names = {one.name for one in fields(host.scoring.score.ScoreOptions)}
    said = options(host, **{name: value for name, value in words.items() if name in names})
    return said, {name: value for name, value in words.items() if name not in names}
