"""Borrowing a user's modules for one measurement: they go to the device in evaluation mode, and back as they were."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def borrowed(modules: Iterable[nn.Module], device: torch.device | None) -> Iterator[None]:
    """The modules on `device` (or where they are, when None) and in evaluation mode inside the block.

    A module that a library moves itself (offloading hooks, quantised weights, several devices) stays where it is.
    """
    taken = list(modules)
    modes = {part: part.training for module in taken for part in module.modules()}
    moved: list[tuple[nn.Module, torch.device]] = []
    try:
        for module in taken:
            module.eval()
            home = _home(module)
            if device is not None and home is not None and home != device:
                moved.append((module, home))
                module.to(device)
        yield
    finally:
        for module, home in moved:
            module.to(home)
        for part, mode in modes.items():
            part.training = mode


def _home(module: nn.Module) -> torch.device | None:
    """The device that holds all of the module; None when it must not be moved."""
    if any(hasattr(part, "_hf_hook") for part in module.modules()) or hasattr(module, "hf_device_map"):
        return None
    if getattr(module, "is_quantized", False) or getattr(module, "is_loaded_in_8bit", False):
        return None
    places = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    return places.pop() if len(places) == 1 else None
