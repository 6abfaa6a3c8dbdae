from torch import Tensor

from ._io import ComfyNode, _UIOutput

class SavedImages(_UIOutput): ...

class ImageSaveHelper:
    @staticmethod
    def get_save_images_ui(
        images: Tensor, filename_prefix: str, cls: type[ComfyNode] | None, compress_level: int = ...
    ) -> SavedImages: ...

class PreviewImage(_UIOutput):
    def __init__(self, image: Tensor, animated: bool = ..., cls: type[ComfyNode] | None = ...) -> None: ...
