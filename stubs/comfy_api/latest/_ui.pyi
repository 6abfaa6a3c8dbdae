from torch import Tensor

from ._io import ComfyNode, _UIOutput

class PreviewImage(_UIOutput):
    def __init__(self, image: Tensor, animated: bool = ..., cls: type[ComfyNode] | None = ...) -> None: ...
