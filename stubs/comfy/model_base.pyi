from typing import Any

import torch
from torch import Tensor, nn

class BaseModel(nn.Module):
    # Each family has a class of its own for these.
    model_config: Any
    model_sampling: Any
    latent_format: Any
    diffusion_model: Any
    device: torch.device | None
    def load_model_weights(self, sd: dict[str, Tensor], unet_prefix: str = ...) -> BaseModel: ...
