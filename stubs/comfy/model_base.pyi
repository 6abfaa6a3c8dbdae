from typing import Any

from torch import Tensor, nn

class BaseModel(nn.Module):
    # Each family has a class of its own for these.
    model_config: Any
    model_sampling: Any
    latent_format: Any
    diffusion_model: Any
    def load_model_weights(self, sd: dict[str, Tensor], unet_prefix: str = ...) -> BaseModel: ...
