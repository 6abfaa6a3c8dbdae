from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .supported_models_base import BASE

def unet_prefix_from_state_dict(state_dict: Mapping[str, Any]) -> str: ...
def detect_unet_config(state_dict: Mapping[str, Tensor], key_prefix: str) -> dict[str, Any] | None: ...
def model_config_from_unet(
    state_dict: Mapping[str, Tensor],
    unet_key_prefix: str,
    use_base_if_no_match: bool = ...,
    metadata: dict[str, str] | None = ...,
) -> BASE | None: ...
