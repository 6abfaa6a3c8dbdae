from collections.abc import Sequence

from torch import Tensor

from .model_patcher import ModelPatcher

def prepare_noise(latent_image: Tensor, seed: int, noise_inds: Sequence[int] | None = ...) -> Tensor: ...
def fix_empty_latent_channels(model: ModelPatcher, latent_image: Tensor) -> Tensor: ...
