"""Small models with random weights, made of the host's own classes, and the record of one network call through them.

They avoid the pack's own code wherever possible, so that a broken pack and a broken host can be told apart.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .entries import Host

CONTEXT = 16
_SD15 = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "num_res_blocks": [1],
    "channel_mult": [1],
    "transformer_depth": [1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1],
    "context_dim": CONTEXT,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "legacy": False,
}
_FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 32,
    "context_in_dim": CONTEXT,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
}
STEPS = 4
KEY = "emoe_contract"


def unet(host: Host) -> Any:
    """A MODEL of Stable Diffusion 1's kind."""
    return _patcher(host, host.at("comfy.supported_models.SD15")(dict(_SD15)))


def flux(host: Host) -> Any:
    """A MODEL of Flux's kind: double blocks, then single blocks."""
    config = dict(_FLUX)
    params = host.at("comfy.ldm.flux.model.FluxParams")
    if is_dataclass(params) and "txt_ids_dims" in {one.name for one in fields(params)}:
        config["txt_ids_dims"] = []  # the loader adds it on newer hosts
    return _patcher(host, host.at("comfy.supported_models.Flux")(config))


def clip(host: Host) -> Any:
    """The CLIP of an embedded expert, because only the pack's own classes can make a text encoder that small."""
    from .... import demo
    from ..experts.demo import load_demo_expert

    return load_demo_expert(demo.expert_files()[0])[1]


def clip_vision(host: Host) -> Any:
    """A CLIP_VISION of one layer, whose vectors have 8 numbers."""
    config = {
        "hidden_act": "quick_gelu",
        "hidden_size": 16,
        "image_size": 8,
        "intermediate_size": 16,
        "model_type": "clip_vision_model",
        "num_attention_heads": 2,
        "num_channels": 3,
        "num_hidden_layers": 2,
        "patch_size": 4,
        "projection_dim": 8,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config), "utf-8")
        made = host.at("comfy.clip_vision.ClipVisionModel")(str(path))
    fill_layers(made.model)
    generator = torch.Generator().manual_seed(0)
    # Through the host's own loading, since a layer may have no weights, or none in memory, before it.
    made.load_sd(
        {
            name: torch.randn(weight.shape, generator=generator).to(weight.dtype) / 4
            for name, weight in made.model.state_dict().items()
            if weight.is_floating_point()
        }
    )
    return made


def vae(host: Host) -> Any:
    """The embedded VAE."""
    from ..experts.demo import load_demo_vae

    return load_demo_vae()


def _patcher(host: Host, config: Any) -> Any:
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({})
    fill_layers(model.diffusion_model)
    generator = torch.Generator().manual_seed(0)
    for weight in model.diffusion_model.state_dict().values():
        spread = 1 / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1
        weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
    management = host.at("comfy.model_management")
    device, offload = management.get_torch_device(), management.unet_offload_device()
    model.to(offload)
    return host.at("comfy.model_patcher.ModelPatcher")(model, load_device=device, offload_device=offload)


def fill_layers(network: torch.nn.Module) -> None:
    """Gives weights of 0 to linear layers that have none yet, as the host makes them where it pages weights to a card.

    Such a layer takes its weights from the first file that is read into it. `experts.patchers.give_weights` sets them past the
    host, and would hide a host that reads files otherwise.
    """
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear) and layer.weight is None:
            state = {"weight": torch.zeros(layer.out_features, layer.in_features)}
            if getattr(layer, "comfy_need_lazy_init_bias", False):
                state["bias"] = torch.zeros(layer.out_features)
            layer.load_state_dict(state)


# --- one call through the host's sampling -----------------------------------------------------------------------------


@dataclass
class Seen:
    """The record of a call.

    Attributes:
        given: what the guider was given: noise, latent, sigmas.
        sampler: the arguments that the Sampler got; of the model its inner_model and conds.
        entries: the processed entries of the prompt.
        scaled, denoised, result: the model's input, its answer, and the guider's result.
        events: the calls in order, each with its arguments: (name, positional, keyword).
        network: class_obj of the DIFFUSION_MODEL wrapper, and the network's output.
        middle: the middle block's output.
        left: whether a wrapper's own answer, instead of one that an exception cut short, ended the sampling properly.
    """

    given: dict[str, Any] = field(default_factory=dict)
    sampler: tuple[Any, ...] = ()
    entries: list[dict[str, Any]] = field(default_factory=list)
    scaled: Any = None
    denoised: Any = None
    result: Any = None
    events: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    network: tuple[Any, Any] = (None, None)
    middle: Any = None
    left: bool = False

    def calls(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Arguments of every event with this name."""
        return [(positional, keyword) for event, positional, keyword in self.events if event == name]


class _Cut(Exception):
    """Ends a network call in its middle."""


def seen_unet(host: Host) -> Seen:
    """One call of two entries through the U-Net, and one that is cut short."""
    seen, model = Seen(), host.at("patcher").clone()
    wanted = {"cut": False}

    def note(name: str) -> Callable[..., Any]:
        def patch(h: Tensor, *others: Any) -> Any:
            if wanted["cut"] and name.startswith("output"):
                raise _Cut
            if not wanted["cut"]:
                # The host continues with both.
                seen.events.append((name, (h.clone(), *others[:-1], dict(others[-1])), {}))
            return (h, others[0]) if name.startswith("output") else h

        return patch

    def around(executor: Any, *positional: Any, **keyword: Any) -> Any:
        if not wanted["cut"]:
            seen.events.append(("APPLY_MODEL", positional, keyword))
            return executor(*positional, **keyword)
        try:
            return executor(*positional, **keyword)
        except _Cut:
            return torch.zeros_like(positional[0])

    patches = model.model_options["transformer_options"].setdefault("patches", {})
    patches["input_block_patch_after_skip"] = [note("input 1"), note("input 2")]
    patches["output_block_patch"] = [note("output 1"), note("output 2")]
    _wrap(host, model, "APPLY_MODEL", around)
    _wrap(host, model, "DIFFUSION_MODEL", _inner(seen, wanted))
    generator = torch.Generator().manual_seed(1)
    prompt = [
        [torch.randn(1, 3, CONTEXT, generator=generator), {}],
        [torch.randn(1, 3, CONTEXT, generator=generator), {"start_percent": 0.0, "end_percent": 0.5}],
    ]
    with _watched(host.at("patcher.model.diffusion_model.middle_block"), seen):
        _sampled(host, model, prompt, seen, (4, 8, 8))
    wanted["cut"] = True
    ended = _sampled(host, model, prompt, Seen(), (4, 8, 8))
    seen.left = ended.result is not None
    return seen


def seen_flux(host: Host) -> Seen:
    """One call through the transformer, with its blocks replaced."""
    seen, model = Seen(), host.at("flux").clone()

    def note(kind: str, number: int) -> Callable[..., Any]:
        def patch(args: Any, extra: Any) -> Any:
            before = {**args, "img": args["img"].clone()}  # a block may work in place
            out = extra["original_block"](args)
            seen.events.append((f"{kind} {number}", (before, extra, out), {}))
            return out

        return patch

    for kind in ("double_block", "single_block"):
        for number in range(2):
            model.set_model_patch_replace(note(kind, number), "dit", kind, number)
    generator = torch.Generator().manual_seed(1)
    pooled = torch.randn(1, 32, generator=generator)
    prompt = [[torch.randn(1, 3, CONTEXT, generator=generator), {"pooled_output": pooled, "guidance": 3.5}]]
    return _sampled(host, model, prompt, seen, (16, 4, 4))


def _wrap(host: Host, model: Any, kind: str, wrapper: Callable[..., Any]) -> None:
    model.add_wrapper_with_key(host.at(f"comfy.patcher_extension.WrappersMP.{kind}"), KEY, wrapper)


def _inner(seen: Seen, wanted: dict[str, bool]) -> Callable[..., Any]:
    def wrapper(executor: Any, *positional: Any, **keyword: Any) -> Any:
        out = executor(*positional, **keyword)
        if not wanted["cut"]:
            seen.events.append(("DIFFUSION_MODEL", positional, keyword))
            seen.network = (executor.class_obj, out)
        return out

    return wrapper


@contextmanager
def _watched(module: torch.nn.Module, seen: Seen) -> Iterator[None]:
    """Records a module's output. The host calls the middle block's parts one by one, so its last part is watched."""

    def keep(_: Any, __: Any, out: Tensor) -> None:
        seen.middle = out.clone()

    handle = list(module.children())[-1].register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def _sampled(host: Host, model: Any, prompt: list[Any], seen: Seen, shape: tuple[int, ...]) -> Seen:
    """Runs one step of the pack's own Sampler, as the probe does."""

    class Once(host.at("comfy.samplers.Sampler")):  # type: ignore[misc]
        def sample(self, *arguments: Any) -> Any:
            # The guider drops both at the end, so they are recorded now.
            had = {name: getattr(arguments[0], name, None) for name in ("inner_model", "conds")}
            seen.sampler = (had, *arguments[1:])
            model_wrap, sigmas, extra_args, _, noise, latent = arguments[:6]
            sampling = model_wrap.inner_model.model_sampling
            x = sampling.noise_scaling(sigmas[0], noise, latent, self.max_denoise(model_wrap, sigmas))
            seen.entries = [dict(entry) for entry in model_wrap.conds["positive"]]
            seen.scaled, seen.denoised = x, model_wrap(x, sigmas[0].expand(x.shape[0]), **extra_args)
            return x

    sampling = model.get_model_object("model_sampling")
    sigmas = host.at("comfy.samplers.calculate_sigmas")(sampling, "normal", STEPS)
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(2))
    seen.given = {"noise": noise, "latent": torch.zeros(1, *shape), "sigmas": sigmas}
    guider = host.at("comfy.samplers.CFGGuider")(model)
    guider.inner_set_conds({"positive": prompt})
    guider.set_cfg(1.0)
    with torch.no_grad():
        seen.result = guider.sample(noise, seen.given["latent"], Once(), sigmas, disable_pbar=True)
    return seen


# --- what loading does to a model and its clones ----------------------------------------------------------------------


@dataclass
class Loaded:
    """A clone with a weight patch and an object patch, while it was loaded.

    Attributes:
        own, told, in_network: the patched weight's own value, the first value of get_key_patches, the network's value.
        original, patch: of the object patch.
        standing, backed_up: the object in the network, and the one in the other clone's object_patches_backup.
        seen_by_clone: get_model_object's answer for the patched clone, before it was loaded.
        after: the object in the network once another clone is loaded.
    """

    own: Any = None
    told: Any = None
    in_network: Any = None
    original: Any = None
    patch: Any = None
    standing: Any = None
    backed_up: Any = None
    seen_by_clone: Any = None
    after: Any = None


def loaded(host: Host) -> Loaded:
    """Loads a patched clone, records it, and loads the plain model again."""
    base, found = host.at("patcher"), Loaded()
    key, place = "diffusion_model.input_blocks.0.0.weight", "diffusion_model.middle_block.2"
    weight = base.get_model_object(key)
    found.own, found.original = weight.detach().cpu().clone(), base.get_model_object(place)
    found.patch = torch.nn.Identity()
    clone = base.clone()
    clone.add_patches({key: ("diff", (torch.ones(weight.shape),))}, 1.0)
    clone.add_object_patch(place, found.patch)
    found.seen_by_clone = clone.get_model_object(place)
    load = host.at("comfy.model_management.load_models_gpu")
    load([clone], force_full_load=True)
    try:
        found.in_network = base.model.get_submodule("diffusion_model.input_blocks.0.0").weight.detach().cpu().clone()
        found.told = base.get_key_patches("diffusion_model.input_blocks.0")[key][0][0].detach().cpu().clone()
        found.standing = base.model.get_submodule(place)
        found.backed_up = base.object_patches_backup.get(place)
    finally:
        load([base], force_full_load=True)
    found.after = base.model.get_submodule(place)
    return found


#: Names that a check may pass to `Host.at` beside the host's own modules; each object is made once, on first use.
OBJECTS: dict[str, Callable[[Host], Any]] = {
    "patcher": unet,
    "flux": flux,
    "clip": clip,
    "clip_vision": clip_vision,
    "vae": vae,
    "seen_unet": seen_unet,
    "seen_flux": seen_flux,
    "loaded": loaded,
}
