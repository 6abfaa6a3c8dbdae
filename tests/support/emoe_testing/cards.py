"""A graphics card that ComfyUI believes in, for tests of what is loaded and unloaded."""

from __future__ import annotations

from typing import Any

import pytest
import torch


class Device:
    """A graphics card that ComfyUI believes in: the CPU under another name, with a memory of a size of our choice.

    Loading, unloading and partial loading are the host's own code; only the question how much is free is answered here.
    """

    def __init__(self, size: int) -> None:
        self.size, self.device, self.most = size, torch.device("cpu", 0), 0

    def free(self, device: Any = None, torch_free_too: bool = False) -> Any:
        import comfy.model_management as management

        used = sum(m.model_loaded_memory() for m in management.current_loaded_models if m.model is not None)
        self.most = max(self.most, used)
        free = self.size - used
        return (free, free) if torch_free_too else free


def plugged(monkeypatch: pytest.MonkeyPatch, size: int, state: Any) -> Device:
    """From now on models are loaded to a card with so many bytes; `unplugged` ends it.

    Args:
        state: one of ComfyUI's `VRAMState`.
    """
    import comfy.model_management as management

    management.unload_all_models()
    made = Device(size)
    monkeypatch.setattr(management, "get_torch_device", lambda: made.device)
    monkeypatch.setattr(management, "get_free_memory", made.free)
    monkeypatch.setattr(management, "is_device_cpu", lambda device: device == torch.device("cpu"))
    monkeypatch.setattr(management, "vram_state", state)
    monkeypatch.setattr(management, "minimum_inference_memory", lambda: 0)
    monkeypatch.setattr(management, "extra_reserved_memory", lambda: 0)
    monkeypatch.setattr(management, "MIN_WEIGHT_MEMORY_RATIO", 0.0)
    return made


def unplugged() -> None:
    """Takes everything off the card, which is about to go."""
    import comfy.model_management as management

    for loaded in list(management.current_loaded_models):
        if loaded.model is not None:  # the model itself may be gone by now
            loaded.model_unload()
    management.current_loaded_models.clear()
