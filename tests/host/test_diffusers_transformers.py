"""Diffusion transformers in the diffusers host: the same tokens as ComfyUI's own networks give, block by block.

ComfyUI's network is made at a tiny size with random weights, and converted by diffusers' own converter.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.loaders import single_file_utils
from emoe_testing.transformers import flux_parameters
from torch import Tensor, nn

from emoe_core.errors import EMoEError
from emoe_core.experts.sets import ExpertSet
from emoe_core.hosts import diffusers as host
from emoe_core.hosts.diffusers.experts import expert_from_pipeline

SIGMA = 0.75


def randomised(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            fan_in = weight[0].numel() if weight.dim() > 1 else 50
            weight.copy_(torch.randn(weight.shape, generator=generator) / fan_in**0.5)
            if name.endswith("scale"):
                weight.add_(1)
    return module.eval()


def block_outputs(blocks: list[nn.Module], pick: Callable[[int, Any], Tensor]) -> tuple[dict[str, Tensor], list[Any]]:
    """Plain hooks on ComfyUI's blocks; `pick(number, output)` gives the picture's tokens."""
    found: dict[str, Tensor] = {}

    def hook(number: int) -> Any:
        return lambda _, __, output: found.__setitem__(f"block:{number}", pick(number, output).detach().clone())

    return found, [block.register_forward_hook(hook(number)) for number, block in enumerate(blocks)]


def sd3_pair() -> tuple[Any, nn.Module]:
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper

    net = OpenAISignatureMMDITWrapper(
        input_size=None,
        patch_size=2,
        in_channels=16,
        depth=3,
        adm_in_channels=64,
        context_embedder_config={"target": "torch.nn.Linear", "params": {"in_features": 48, "out_features": 192}},
        pos_embed_max_size=16,
        num_patches=256,
        dtype=torch.float32,
        device="cpu",
        operations=comfy.ops.disable_weight_init,
    )
    # Buffers that come out of a file: the positions.
    net.pos_embed = torch.randn(1, 256, 192, generator=torch.Generator().manual_seed(1))
    theirs = randomised(net)
    mine = diffusers.SD3Transformer2DModel(
        sample_size=16,
        in_channels=16,
        num_layers=3,
        num_attention_heads=3,
        joint_attention_dim=48,
        caption_projection_dim=192,
        pooled_projection_dim=64,
        pos_embed_max_size=16,
    )
    state = {**theirs.state_dict(), "pos_embed": net.pos_embed}
    load(mine, single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers(dict(state)))
    return theirs, mine


def flux_pair() -> tuple[Any, nn.Module]:
    import comfy.ops
    from comfy.ldm.flux.model import Flux

    theirs = randomised(
        Flux(
            **flux_parameters(
                in_channels=4,
                out_channels=4,
                patch_size=2,
                vec_in_dim=24,
                context_in_dim=40,
                hidden_size=64,
                mlp_ratio=4.0,
                num_heads=2,
                depth=2,
                depth_single_blocks=2,
                axes_dim=[8, 12, 12],
                theta=10000,
                qkv_bias=True,
                guidance_embed=True,
            ),
            dtype=torch.float32,
            device="cpu",
            operations=comfy.ops.disable_weight_init,
        )
    )
    mine = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=40,
        pooled_projection_dim=24,
        guidance_embeds=True,
        axes_dims_rope=(8, 12, 12),
    )
    load(mine, flux_state(dict(theirs.state_dict())))
    return theirs, mine


def flux_state(state: dict[str, Tensor], width: int = 64) -> dict[str, Tensor]:
    """The converter splits the single blocks at full width: their parts are padded to it before, and cut after."""
    full = 3072
    state = {
        name.replace("_norm.weight", "_norm.scale"): value for name, value in state.items()
    }  # as in published files
    for name in [name for name in state if "single_blocks" in name and ".linear1." in name]:
        parts = state[name].split([width, width, width, 4 * width])
        sizes = [full, full, full, 4 * full]
        padded = [
            torch.cat([part, part.new_zeros(size - len(part), *part.shape[1:])])
            for part, size in zip(parts, sizes, strict=True)
        ]
        state[name] = torch.cat(padded)
    made = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers(state)
    cut = {"attn.to_q": width, "attn.to_k": width, "attn.to_v": width, "proj_mlp": 4 * width}
    for name in [name for name in made if name.startswith("single_transformer_blocks")]:
        rows = next((rows for part, rows in cut.items() if f".{part}." in name), None)
        made[name] = made[name][:rows]
    return dict(made)


def load(module: nn.Module, state: dict[str, Tensor]) -> None:
    missing = set(module.state_dict()) - state.keys()
    assert not missing, sorted(missing)[:4]
    module.load_state_dict(state)
    module.eval()


class Pipe:
    """The two parts of a pipeline that make an expert without text."""

    def __init__(self, transformer: nn.Module, **scheduler: Any) -> None:
        self.transformer = transformer
        self.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**scheduler)


def compare(mine: Any, rows: dict[str, Tensor], noise: Tensor, expected: dict[str, Tensor]) -> None:
    taps = tuple(expected)
    assert mine.taps == taps
    taken = mine.measure(noise, SIGMA, rows, taps)
    for tap in taps:
        given, wanted = taken[tap], expected[tap]
        if tap != "noise_pred":
            wanted = wanted.transpose(1, 2)  # channels first, as everywhere
        assert given.shape == wanted.shape and float(wanted.std()) > 1e-3, tap
        assert float((given - wanted).abs().max() / wanted.abs().max()) < 1e-4, tap
    # Leaving early takes the same latent.
    early = mine.measure(noise, SIGMA, rows, (taps[1],))
    assert list(early) == [taps[1]] and torch.equal(early[taps[1]], taken[taps[1]])
    with pytest.raises(EMoEError, match="no tap 'mid_out'; it has block:0"):
        mine.measure(noise, SIGMA, rows, ("mid_out",))


def test_sd3_gives_the_tokens_of_comfyuis_network(comfyui: Path) -> None:
    theirs, transformer = sd3_pair()
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(2, 16, 8, 12, generator=generator)
    text, pooled = torch.randn(2, 9, 48, generator=generator), torch.randn(2, 64, generator=generator)
    found, hooks = block_outputs(list(theirs.joint_blocks), lambda _, output: output[1])
    with torch.no_grad():
        output = theirs(noise * SIGMA, torch.full((2,), SIGMA * 1000), context=text, y=pooled)
    for hook in hooks:
        hook.remove()
    expert = expert_from_pipeline(Pipe(transformer, shift=3.0), "sd3")
    assert expert.prediction == "CONST" and expert.model.levels.highest == 1.0
    compare(expert.model, {"prompt_embeds": text, "text_embeds": pooled}, noise, {**found, "noise_pred": output})


def test_flux_gives_the_tokens_of_comfyuis_network(comfyui: Path) -> None:
    theirs, transformer = flux_pair()
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(2, 4, 8, 12, generator=generator)
    text, pooled = torch.randn(2, 9, 40, generator=generator), torch.randn(2, 24, generator=generator)
    blocks = [*theirs.double_blocks, *theirs.single_blocks]
    found, hooks = block_outputs(blocks, lambda number, output: output[0] if number < 2 else output[:, 9:])
    with torch.no_grad():
        time, strength = torch.full((2,), SIGMA), torch.full((2,), 3.5)
        output = theirs(noise * SIGMA, time, context=text, y=pooled, guidance=strength)
    for hook in hooks:
        hook.remove()
    expert = expert_from_pipeline(Pipe(transformer, use_dynamic_shifting=True), "flux")
    assert expert.model.channels == 4
    compare(expert.model, {"prompt_embeds": text, "text_embeds": pooled}, noise, {**found, "noise_pred": output})
    with pytest.raises(EMoEError, match="None of the experts has a text encoder"):
        host.score(ExpertSet((expert, expert)), "a", host.ScoreOptions(preset="thorough", size=(64, 64)))
