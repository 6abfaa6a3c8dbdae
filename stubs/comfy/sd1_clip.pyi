from typing import Any

import torch
from torch import nn

class SDTokenizer:
    def __init__(
        self,
        tokenizer_path: str | None = ...,
        max_length: int = ...,
        pad_with_end: bool = ...,
        embedding_directory: list[str] | str | None = ...,
        embedding_size: int = ...,
        embedding_key: str = ...,
        tokenizer_class: Any = ...,
        has_start_token: bool = ...,
        has_end_token: bool = ...,
        pad_to_max_length: bool = ...,
        *,
        tokenizer_data: dict[str, Any] = ...,
    ) -> None: ...

class SD1Tokenizer:
    def __init__(
        self,
        embedding_directory: list[str] | str | None = ...,
        tokenizer_data: dict[str, Any] = ...,
        clip_name: str = ...,
        tokenizer: type[SDTokenizer] = ...,
    ) -> None: ...

class SDClipModel(nn.Module):
    # A namespace of layer classes, and the encoder that was made of them.
    operations: Any
    transformer: Any
    def __init__(
        self,
        device: torch.device | str = ...,
        max_length: int = ...,
        freeze: bool = ...,
        layer: str = ...,
        layer_idx: int | None = ...,
        textmodel_json_config: str | dict[str, Any] | None = ...,
        dtype: torch.dtype | None = ...,
        model_class: Any = ...,
        special_tokens: dict[str, int] = ...,
        layer_norm_hidden_state: bool = ...,
        enable_attention_masks: bool = ...,
        zero_out_masked: bool = ...,
        return_projected_pooled: bool = ...,
        return_attention_masks: bool = ...,
        model_options: dict[str, Any] = ...,
    ) -> None: ...
    def freeze(self) -> None: ...

class SD1ClipModel(nn.Module):
    def __init__(
        self,
        device: torch.device | str = ...,
        dtype: torch.dtype | None = ...,
        model_options: dict[str, Any] = ...,
        clip_name: str = ...,
        clip_model: type[SDClipModel] = ...,
    ) -> None: ...
