from torch import Tensor

from .supported_models_base import BASE, ClipTarget

class SD15(BASE):
    def clip_target(self, state_dict: dict[str, Tensor] = ...) -> ClipTarget: ...
