from collections.abc import Callable
from typing import Any

from torch import Tensor

from .model_patcher import ModelPatcher

SCHEDULER_NAMES: list[str]

class Sampler:
    # Only subclasses have a sample() with arguments; CFGGuider gives them.
    sample: Callable[..., Any]
    def max_denoise(self, model_wrap: Any, sigmas: Tensor) -> bool: ...

class CFGGuider:
    model_options: dict[str, Any]
    conds: dict[str, list[dict[str, Any]]]
    def __init__(self, model_patcher: ModelPatcher) -> None: ...
    def set_conds(self, positive: list[list[Any]], negative: list[list[Any]]) -> None: ...
    def set_cfg(self, cfg: float) -> None: ...
    def inner_set_conds(self, conds: dict[str, list[list[Any]]]) -> None: ...
    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Sampler,
        sigmas: Tensor,
        denoise_mask: Tensor | None = ...,
        callback: Callable[[int, Tensor, Tensor, int], object] | None = ...,
        disable_pbar: bool = ...,
        seed: int | None = ...,
    ) -> Tensor: ...

def calculate_sigmas(model_sampling: object, scheduler_name: str, steps: int) -> Tensor: ...
def ksampler(
    sampler_name: str, extra_options: dict[str, Any] = ..., inpaint_options: dict[str, Any] = ...
) -> Sampler: ...
