# What only newer hosts take is left out (advanced, search_aliases, ...): nodes/api.py gives it to those that know it.
from enum import Enum
from typing import Any

class _Input:
    def __init__(
        self,
        id: str,
        display_name: str | None = ...,
        optional: bool = ...,
        tooltip: str | None = ...,
        lazy: bool | None = ...,
    ) -> None: ...

class _Output:
    def __init__(
        self,
        id: str | None = ...,
        display_name: str | None = ...,
        tooltip: str | None = ...,
        is_output_list: bool = ...,
    ) -> None: ...

class _ComfyTypeIO:
    class Input(_Input): ...
    class Output(_Output): ...

def Custom(io_type: str) -> type[_ComfyTypeIO]: ...

class AnyType(_ComfyTypeIO): ...
class Clip(_ComfyTypeIO): ...
class ClipVision(_ComfyTypeIO): ...
class Conditioning(_ComfyTypeIO): ...
class Image(_ComfyTypeIO): ...
class Latent(_ComfyTypeIO): ...
class Mask(_ComfyTypeIO): ...
class Model(_ComfyTypeIO): ...
class Vae(_ComfyTypeIO): ...

class Boolean(_ComfyTypeIO):
    class Input(_Input):
        def __init__(
            self,
            id: str,
            display_name: str | None = ...,
            optional: bool = ...,
            tooltip: str | None = ...,
            lazy: bool | None = ...,
            default: bool | None = ...,
            label_on: str | None = ...,
            label_off: str | None = ...,
            socketless: bool | None = ...,
            force_input: bool | None = ...,
        ) -> None: ...

class Int(_ComfyTypeIO):
    class Input(_Input):
        def __init__(
            self,
            id: str,
            display_name: str | None = ...,
            optional: bool = ...,
            tooltip: str | None = ...,
            lazy: bool | None = ...,
            default: int | None = ...,
            min: int | None = ...,
            max: int | None = ...,
            step: int | None = ...,
            control_after_generate: bool | None = ...,
            *,
            force_input: bool | None = ...,
        ) -> None: ...

class Float(_ComfyTypeIO):
    class Input(_Input):
        def __init__(
            self,
            id: str,
            display_name: str | None = ...,
            optional: bool = ...,
            tooltip: str | None = ...,
            lazy: bool | None = ...,
            default: float | None = ...,
            min: float | None = ...,
            max: float | None = ...,
            step: float | None = ...,
            round: float | None = ...,
            *,
            force_input: bool | None = ...,
        ) -> None: ...

class String(_ComfyTypeIO):
    class Input(_Input):
        def __init__(
            self,
            id: str,
            display_name: str | None = ...,
            optional: bool = ...,
            tooltip: str | None = ...,
            lazy: bool | None = ...,
            multiline: bool = ...,
            placeholder: str | None = ...,
            default: str | None = ...,
            dynamic_prompts: bool | None = ...,
            socketless: bool | None = ...,
            force_input: bool | None = ...,
        ) -> None: ...

class Combo(_ComfyTypeIO):
    class Input(_Input):
        def __init__(
            self,
            id: str,
            options: list[str] | list[int] | None = ...,
            display_name: str | None = ...,
            optional: bool = ...,
            tooltip: str | None = ...,
            lazy: bool | None = ...,
            default: str | int | None = ...,
        ) -> None: ...

class Schema:
    def __init__(
        self,
        node_id: str,
        display_name: str | None = ...,
        category: str = ...,
        inputs: list[_Input] | None = ...,
        outputs: list[_Output] | None = ...,
        hidden: list[Hidden] | None = ...,
        *,
        description: str = ...,
        is_input_list: bool = ...,
        is_output_node: bool = ...,
        is_experimental: bool = ...,
    ) -> None: ...

class Hidden(str, Enum):
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"

class HiddenHolder:
    prompt: Any
    extra_pnginfo: Any

class _UIOutput:
    def as_dict(self) -> dict[str, Any]: ...

class NodeOutput:
    def __init__(self, *args: Any, ui: _UIOutput | dict[str, Any] | None = ...) -> None: ...

class ComfyNode:
    hidden: HiddenHolder | None
    # The host calls these with a node's inputs by name: what a node takes is its own affair.
    @classmethod
    def define_schema(cls) -> Schema: ...
    @classmethod
    def execute(cls, *args: Any, **kwargs: Any) -> NodeOutput: ...
    @classmethod
    def validate_inputs(cls, *args: Any, **kwargs: Any) -> bool | str: ...
    @classmethod
    def fingerprint_inputs(cls, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def check_lazy_status(cls, *args: Any, **kwargs: Any) -> list[str]: ...
