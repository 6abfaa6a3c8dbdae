"""Small helpers of every training run: resumable state, progress lines, moving averages of weights."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes a training state so that a killed run never leaves half a file."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any] | None:
    """The saved training state, or None when the run has not started."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def cosine(step: int, steps: int, top: float, warm_up: int, floor: float = 0.02) -> float:
    """Learning rate: a linear warm-up, then half a cosine down to `floor` of the top."""
    if step < warm_up:
        return top * (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return top * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self.steps = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Adds the current weights; the memory is short at the start."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in module.state_dict().items():
            self.values[key].lerp_(value, 1 - decay)

    def state(self) -> dict[str, Any]:
        """For the training state."""
        return {"values": self.values, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """From the training state."""
        self.values, self.steps = state["values"], state["steps"]


class Progress:
    """A line now and then: step, figures, time left."""

    def __init__(self, name: str, first: int, steps: int, every: float = 15.0) -> None:
        self.name, self.first, self.steps, self.every = name, first, steps, every
        self.begun = self.last = time.monotonic()
        self.sums: dict[str, float] = {}
        self.count = 0

    def __call__(self, step: int, **figures: float) -> None:
        """Records the figures of a finished step."""
        self.count += 1
        for key, value in figures.items():
            self.sums[key] = self.sums.get(key, 0.0) + value
        now = time.monotonic()
        if now - self.last < self.every and step + 1 < self.steps:
            return
        rate = (step + 1 - self.first) / (now - self.begun)
        left = (self.steps - step - 1) / rate
        text = " ".join(f"{k} {v / self.count:.4f}" for k, v in self.sums.items())
        print(f"{self.name} {step + 1}/{self.steps} {text} {rate:.2f} steps/s, {left / 60:.1f} min left", flush=True)
        self.last, self.sums, self.count = now, {}, 0

    @property
    def seconds(self) -> float:
        """Wall time of this process's part of the run."""
        return time.monotonic() - self.begun


def resume(
    state: dict[str, Any] | None,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Average,
    generator: torch.Generator,
) -> tuple[int, float]:
    """Restores a saved state: returns the next step and the seconds spent, zeros for a new run."""
    if state is None:
        return 0, 0.0
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    average.restore(state["average"])
    generator.set_state(state["generator"])
    return state["step"], state["seconds"]
