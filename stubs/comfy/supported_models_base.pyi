from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .model_base import BaseModel

class ClipTarget:
    def __init__(self, tokenizer: type[Any], clip: type[Any]) -> None: ...

class BASE:
    unet_config: dict[str, Any]
    unet_extra_config: dict[str, Any]
    sampling_settings: dict[str, Any]
    # A class of latents in the class, an object of it in its objects.
    latent_format: Any
    # Of the families, not of their base.
    clip_target: Callable[..., ClipTarget | None]
    supported_inference_dtypes: list[torch.dtype]
    def __init__(self, unet_config: dict[str, Any]) -> None: ...
    @classmethod
    def matches(cls, unet_config: dict[str, Any]) -> bool: ...
    def get_model(
        self, state_dict: dict[str, Tensor], prefix: str = ..., device: torch.device | str | None = ...
    ) -> BaseModel: ...
    # Returns a member of comfy.model_base.ModelType.
    def model_type(self, state_dict: dict[str, Tensor], prefix: str = ...) -> Any: ...
    def process_clip_state_dict(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]: ...
    def process_unet_state_dict(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]: ...
    def set_inference_dtype(self, dtype: torch.dtype, manual_cast_dtype: torch.dtype | None) -> None: ...
