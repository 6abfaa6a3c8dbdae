# What only newer hosts take is left out (disable_dynamic): `experts.patchers.not_dynamic` gives it to those that know it.
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from .model_patcher import ModelPatcher
from .supported_models_base import ClipTarget

_Clip = TypeVar("_Clip", CLIP, None)

class CLIP:
    patcher: ModelPatcher
    # The classes of text encoders share nothing but torch's Module, whose attributes are not typed.
    cond_stage_model: Any
    layer_idx: int | None
    def __init__(
        self,
        target: ClipTarget | None = ...,
        embedding_directory: list[str] | str | None = ...,
        no_init: bool = ...,
        tokenizer_data: dict[str, Any] = ...,
        parameters: int = ...,
        *,
        model_options: dict[str, Any] = ...,
    ) -> None: ...
    def clone(self) -> CLIP: ...
    def tokenize(self, text: str) -> dict[str, list[list[tuple[Any, float]]]]: ...
    def encode_from_tokens_scheduled(self, tokens: dict[str, list[list[tuple[Any, float]]]]) -> list[list[Any]]: ...
    def load_sd(self, sd: dict[str, Tensor], full_model: bool = ...) -> tuple[list[str], list[str]]: ...

class VAE:
    def __init__(
        self, sd: dict[str, Tensor] | None = ..., device: Any = ..., config: dict[str, Any] | None = ...
    ) -> None: ...
    def decode(self, samples_in: Tensor) -> Tensor: ...
    def throw_exception_if_invalid(self) -> None: ...

def load_checkpoint_guess_config(
    ckpt_path: str,
    output_vae: bool = ...,
    output_clip: bool = ...,
    output_clipvision: bool = ...,
    embedding_directory: list[str] | str | None = ...,
    output_model: bool = ...,
) -> tuple[ModelPatcher | None, CLIP | None, VAE | None, Any]: ...
def load_clip(ckpt_paths: Sequence[str], embedding_directory: list[str] | str | None = ...) -> CLIP: ...
def load_diffusion_model(unet_path: str) -> ModelPatcher: ...
def load_diffusion_model_state_dict(sd: dict[str, Tensor]) -> ModelPatcher | None: ...
def load_lora_for_models(
    model: ModelPatcher, clip: _Clip, lora: Mapping[str, Tensor], strength_model: float, strength_clip: float
) -> tuple[ModelPatcher, _Clip]: ...
