"""The embedded experts as ComfyUI's own objects: a MODEL, a CLIP and a VAE that stock nodes work on.

They are built as ComfyUI's checkpoint loader builds models. The loader itself only knows the full-size families.
"""

from pathlib import Path
from typing import Any

import comfy.latent_formats
import comfy.model_detection
import comfy.model_management
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch
import transformers
from comfy.model_patcher import ModelPatcher

from .... import demo
from ....errors import EMoEError
from ....io.log import log
from .patchers import give_weights, loads_again_by, new_patcher, not_dynamic

_UNET = "model.diffusion_model."
_TEXT = "cond_stage_model."
_TOKENS = 32
_WIDTH = 96
_VOCABULARY = 2048
_START, _END = 2046, 2047
_TEXT_CONFIG = {
    "hidden_size": _WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 4 * _WIDTH,
    "hidden_act": "quick_gelu",
    "max_position_embeddings": _TOKENS,
    "vocab_size": _VOCABULARY,
    "eos_token_id": _END,
}
_VAE_CONFIG = {
    "embed_dim": 4,
    "ddconfig": {
        "double_z": True,
        "z_channels": 4,
        "resolution": demo.SIZE,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 64,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 0,
        "attn_resolutions": [],
        "dropout": 0.0,
    },
}
#: Parts of a text encoder that a Stable Diffusion 1 checkpoint does not contain.
_NOT_IN_FILE = (".logit_scale", ".text_projection.weight")


class DemoTokenizer(comfy.sd1_clip.SDTokenizer):
    """The stock tokenizer with the experts' vocabulary and their 32 tokens."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        # transformers 4 has a second, slow CLIPTokenizer that splits Chinese characters; both 4 and 5 have the fast one
        fast = getattr(transformers, "CLIPTokenizerFast", transformers.CLIPTokenizer)
        super().__init__(
            str(demo.tokenizer_dir()),
            max_length=_TOKENS,
            embedding_directory=embedding_directory,
            embedding_size=_WIDTH,
            tokenizer_class=fast,
            tokenizer_data=tokenizer_data or {},
        )


class DemoTokenizers(comfy.sd1_clip.SD1Tokenizer):
    """The tokenizer as a CLIP object holds it."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        super().__init__(embedding_directory, tokenizer_data or {}, tokenizer=DemoTokenizer)


class DemoTextModel(comfy.sd1_clip.SDClipModel):
    """The stock text encoder at the experts' size."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        super().__init__(
            device=device,
            dtype=dtype,
            max_length=_TOKENS,
            textmodel_json_config=dict(_TEXT_CONFIG),
            special_tokens={"start": _START, "end": _END, "pad": _END},
            return_projected_pooled=False,
            model_options=model_options or {},
        )
        # the stock class fixes the vocabulary at CLIP's 49408; a projection that is in no file stays neutral
        table = self.operations.Embedding(_VOCABULARY, _WIDTH, dtype=dtype, device=device)
        self.transformer.set_input_embeddings(table)
        # a new weight, since a layer may have none until a file is read into it
        self.transformer.text_projection.weight = torch.nn.Parameter(torch.eye(_WIDTH, dtype=dtype, device=device))
        self.freeze()


class DemoTextModels(comfy.sd1_clip.SD1ClipModel):
    """The text encoder as a CLIP object holds it."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        super().__init__(device=device, dtype=dtype, model_options=model_options or {}, clip_model=DemoTextModel)


class DemoLatents(comfy.latent_formats.SD15):
    """Stable Diffusion 1's latents (the scale is the same) with the preview colours of the pack's own autoencoder."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_rgb_factors, self.latent_rgb_factors_bias = demo.latent_rgb()
        self.taesd_decoder_name = None


class DemoModel(comfy.supported_models.SD15):
    """Stable Diffusion 1 at the experts' size. Never registered: ComfyUI's own list of families stays as it is."""

    unet_config = {"context_dim": _WIDTH, "model_channels": 32, "use_linear_in_transformer": False}
    unet_extra_config = {"num_heads": 4, "num_head_channels": -1}
    latent_format = DemoLatents

    def clip_target(self, state_dict: Any = None) -> comfy.supported_models_base.ClipTarget:
        """The classes of the CLIP object."""
        return comfy.supported_models_base.ClipTarget(DemoTokenizers, DemoTextModels)


def _read(path: Path) -> dict[str, torch.Tensor]:
    demo.metadata(path)  # its errors are meant for a person
    state: dict[str, torch.Tensor] = comfy.utils.load_torch_file(str(path), safe_load=True)
    # Newer hosts may leave weights in the file's type, and round patched ones to it; these are float32 on every host.
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _load_model(state: dict[str, torch.Tensor], path: Path, disable_dynamic: bool) -> tuple[ModelPatcher, DemoModel]:
    """The ModelPatcher, on the devices and in the precision that ComfyUI chooses for checkpoints, and its family."""
    management = comfy.model_management
    parameters = comfy.utils.calculate_parameters(state, _UNET)
    config = comfy.model_detection.detect_unet_config(state, _UNET)
    if config is None or not DemoModel.matches(config):
        raise EMoEError(f"{path} is not one of the demo experts; load other checkpoints with Load Experts.")
    family = DemoModel(config)
    device = management.get_torch_device()
    # Always float32: they are tiny, and so their calibrations hold on every device.
    dtype = torch.float32
    family.set_inference_dtype(dtype, None)
    first = management.unet_inital_load_device(parameters, dtype)
    model = family.get_model(state, _UNET, device=first)
    give_weights(model.diffusion_model)
    missing = {_UNET + key for key in model.diffusion_model.state_dict()} - state.keys()
    if missing:
        raise EMoEError(f"{path} lacks {len(missing)} weights, {min(missing)} among them; install the node pack again.")
    model.load_model_weights(state, _UNET)
    patcher = new_patcher(model, device, management.unet_offload_device(), disable_dynamic)
    loads_again_by(patcher, _model_again, path)
    if first != torch.device("cpu"):
        management.load_models_gpu([patcher], force_full_load=True)
    return patcher, family


def load_demo_expert(path: Path, disable_dynamic: bool = False) -> tuple[ModelPatcher, comfy.sd.CLIP]:
    """One embedded expert as a ModelPatcher and a CLIP.

    Args:
        disable_dynamic: load the old way, where the host has another.

    Raises:
        EMoEError: the file is missing, damaged, or no demo expert.
    """
    state = _read(path)
    patcher, family = _load_model(state, path, disable_dynamic)
    text = family.process_clip_state_dict(state)
    clip = comfy.sd.CLIP(
        family.clip_target(),
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        tokenizer_data=text,
        parameters=comfy.utils.calculate_parameters(text),
        model_options={"dtype": torch.float32},
        **not_dynamic(disable_dynamic),
    )
    loads_again_by(clip.patcher, _text_encoder_again, path)
    lacking, _ = clip.load_sd(text, full_model=True)
    without_memory = [key for key, weight in clip.cond_stage_model.named_parameters() if weight.is_meta]
    missing = [key for key in (*lacking, *without_memory) if not key.endswith(_NOT_IN_FILE)]
    if missing:
        raise EMoEError(f"{path} lacks {len(missing)} weights, {missing[0]} among them; install the node pack again.")
    log.debug("EMoE: loaded the demo expert %s", path.name)
    return patcher, clip


def _model_again(path: Path, disable_dynamic: bool = False) -> ModelPatcher:
    return load_demo_expert(path, disable_dynamic)[0]


def _text_encoder_again(path: Path, disable_dynamic: bool = False) -> ModelPatcher:
    return load_demo_expert(path, disable_dynamic)[1].patcher


def load_demo_vae() -> comfy.sd.VAE:
    """The embedded autoencoder as a VAE: 128x128 pictures, 16x16 latents of 4 channels.

    Raises:
        EMoEError: the file is missing or damaged.
    """
    vae = comfy.sd.VAE(sd=_read(demo.vae_file()), config={"params": _VAE_CONFIG})
    vae.throw_exception_if_invalid()
    return vae
