"""The science of EMoE: latent-space epistemic uncertainty of a prompt, before the image exists.

The method is EMoE (Berry et al., arXiv 2505.13273): several diffusion checkpoints see the same prompt and the same
noise; the variance across them of the U-Net's middle-block latent is the prompt's epistemic uncertainty.

This package needs torch, numpy and safetensors and knows neither ComfyUI nor diffusers; both live under `hosts`.
"""

__version__ = "0.1.0"
