"""An expert's rows of a mixture's routers: the expert draws its own prompt, and the inputs of the layers are recorded.

The method is that of `segmoe` 0.0.4 (see `emoe_core.mixture.router`): 25 DDPM steps with guidance, the inputs of the last
step. Here all noise, that of the steps included, comes from a seed, so the same experts and prompts give the same routers
on every host and device. (The host's own noise for the steps differs on a graphics card, and on a processor in newer
releases.)
"""

import hashlib
import json
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....errors import EMoEError
from ....experts.sets import Expert
from ....io.log import timed
from ....mixture.router import router_row
from ..experts.patchers import on_processor
from ..prompts.conditioning import Conditioning, check_width, encode
from .layers import entries_of

WRAPPER_KEY = "emoe_gates"
SAMPLER, SCHEDULER = "ddpm", "ddim_uniform"
_KEPT = 4

Rows = dict[str, Tensor]
# Measured rows, kept as long as the expert: a new top_k, or a run after a cancelled one, draws nothing again.
_measured: weakref.WeakKeyDictionary[Expert, OrderedDict[str, Rows]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Drawing:
    """How the experts draw their prompts.

    Attributes:
        layers: names within the network, from `layers.sparse_layer_names`.
        latent: an empty latent of the size to draw, [1, C, h, w].
        steps, cfg, seed: as in KSampler.
        step_done: called after every step.
    """

    layers: Sequence[str]
    latent: Tensor
    steps: int
    cfg: float
    seed: int
    step_done: Callable[[], None]


def expert_rows(expert: Expert, clip: Any, clip_identity: str, prompts: tuple[str, str], drawing: Drawing) -> Rows:
    """The router row of every layer for one expert, float32 on the CPU.

    Args:
        prompts: the expert's positive and negative prompt.
    """
    layers, latent = drawing.layers, drawing.latent
    plain = [*prompts, clip_identity, sorted(layers), list(latent.shape), drawing.steps, drawing.cfg, drawing.seed]
    key = hashlib.sha256(json.dumps(plain).encode()).hexdigest()
    kept = _measured.setdefault(expert, OrderedDict())
    if key in kept:
        for _ in range(drawing.steps):
            drawing.step_done()
        return kept[key]
    positive, negative = (encode(clip, text) for text in prompts)
    check_width(positive, expert)
    with timed("drew the router's prompt of '%s'", expert.name):
        rows = _measure(expert, positive, negative, drawing)
    if missing := [name for name in layers if name not in rows]:
        raise EMoEError(
            f"Expert '{expert.name}' did not call its layer {missing[0]} while it drew its router prompt; another node on "
            "its MODEL skips parts of the network: use the expert without it."
        )
    kept[key] = rows
    while len(kept) > _KEPT:
        kept.popitem(last=False)
    return rows


def _measure(expert: Expert, positive: Conditioning, negative: Conditioning, drawing: Drawing) -> Rows:
    model, rows = expert.model.clone(), {}
    latent, seed = drawing.latent, drawing.seed
    sigmas = comfy.samplers.calculate_sigmas(
        on_processor(model).get_model_object("model_sampling"), SCHEDULER, drawing.steps
    )
    last = float(sigmas[-2])

    def look(executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """At the last step, puts read-only hooks on the network's layers for the length of this one call."""
        options = next(v for v in (*args, *kwargs.values()) if isinstance(v, dict) and "cond_or_uncond" in v)
        branches = options["cond_or_uncond"]
        if float(options["sigmas"].max()) > last * 1.001 or 0 not in branches:
            return executor(x, *args, **kwargs)
        first = branches.index(0) * (x.shape[0] // entries_of(args, kwargs))

        def reader(name: str) -> Callable[[Any, tuple[Any, ...]], None]:
            def read(_: Any, inputs: tuple[Any, ...]) -> None:
                rows[name] = router_row(inputs[0][first]).cpu()

            return read

        handles = []
        try:
            for name in drawing.layers:
                handles.append(executor.class_obj.get_submodule(name).register_forward_pre_hook(reader(name)))
            return executor(x, *args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()

    def after_step(*_: Any) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        drawing.step_done()

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, WRAPPER_KEY, look)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(drawing.cfg)
    noise = comfy.sample.prepare_noise(latent, seed)
    with torch.no_grad():
        guider.sample(
            noise,
            latent,
            comfy.samplers.ksampler(SAMPLER, {"noise_sampler": _noise_of_steps(latent, seed, model.load_device)}),
            sigmas,
            callback=after_step,
            disable_pbar=True,
            seed=seed,
        )
    return rows


def _noise_of_steps(latent: Tensor, seed: int, device: torch.device) -> Callable[[Any, Any], Tensor]:
    """The noise source of a sampler's steps; the noise is made on the CPU, wherever it is used."""
    generator = torch.Generator().manual_seed(seed)
    return lambda sigma, next_sigma: torch.randn(latent.shape, generator=generator).to(device)
