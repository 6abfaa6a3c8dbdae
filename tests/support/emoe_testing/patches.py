"""Patches as other people's nodes put them into models. Module-level makers, so that every process makes them alike."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch


def strength(amount: float) -> Callable[..., Any]:
    """An attention patch as IPAdapter's, with its strength in a closure."""

    def patch(n: Any, context: Any, value: Any, extra: Any) -> Any:
        return n * (1 + amount), context, value

    return patch


def table(scales: dict[Any, Any]) -> Callable[..., Any]:
    """A patch that looks its numbers up, as FreeU's."""

    def patch(h: Any, skip: Any, options: Any) -> Any:
        return h * scales.get(h.shape[1], 1.0), skip

    return patch


def words(members: set[str]) -> Callable[..., Any]:
    """A patch with sets in it, whose order is another one in every process."""

    def patch(h: Any, options: Any) -> Any:
        return h if options.get("block") in {"input", "middle", "output"} or options.get("x") in members else h * 2

    return patch


class Picture:
    """A patch that is an object with tensors in nested attributes, a lock, and a way back to itself."""

    def __init__(self, seed: int) -> None:
        embedding = torch.randn(1, 4, 64, generator=torch.Generator().manual_seed(seed))
        self.settings = [{"embedding": embedding, "start": 0.2}, ("linear", None, 3)]
        self.lock = threading.Lock()
        self.itself = self

    def __call__(self, q: Any, k: Any, v: Any, extra: Any) -> Any:
        return q

    def method(self, h: Any, options: Any) -> Any:
        """To be used bound."""
        return h


class Layers(torch.nn.Module):
    """An adapter with weights, a buffer and a number of its own."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(4, 4)
        self.scale = scale
        with torch.no_grad():
            self.inner.weight.copy_(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)))
            self.inner.bias.zero_()
        self.register_buffer("mask", torch.zeros(3))


def holding(thing: Any) -> Callable[..., Any]:
    """A patch that closes over anything."""

    def patch(h: Any, options: Any) -> Any:
        return h if thing is None else h

    return patch


def hostile() -> Callable[..., Any]:
    """A closure over things that cannot be read: slots that raise, a class that lies, a tensor without memory, depth."""

    class Raises:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("no")

    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    return holding([Raises(), torch.empty(3, device="meta"), deep, (i for i in range(3)), 10**6000, "\ud800", object()])


def freeu(model: Any, b1: float = 1.1, b2: float = 1.2, version: int = 1) -> Any:
    """The model with the host's FreeU on it, whichever way this host writes its nodes."""
    from comfy_extras.nodes_freelunch import FreeU, FreeU_V2

    node = (FreeU, FreeU_V2)[version - 1]
    made = node.execute if hasattr(node, "execute") else node().patch
    found = made(model, b1, b2, 0.9, 0.2)
    return found.result[0] if hasattr(found, "result") else found[0]


def identities(pack: ModuleType) -> dict[str, str]:
    """Identity of a demo expert's model with each of these patches on it, by a word for the patch."""
    from comfy_extras.nodes_model_advanced import ModelComputeDtype, ModelSamplingDiscrete, ModelSamplingSD3

    experts = pack.emoe_core.hosts.comfyui.experts.load
    (base, *_) = (expert.model for expert in pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts().experts)

    def attention(patch: Any) -> Any:
        model = base.clone()
        model.set_model_attn2_patch(patch)
        return model

    def replaced(patch: Any) -> Any:
        model = base.clone()
        model.set_model_attn2_replace(patch, "middle", 0)
        return model

    def wrapped(amount: float) -> Any:
        model = base.clone()
        model.add_wrapper_with_key("diffusion_model", "other", functools.partial(strength(amount), amount))
        return model

    def rope(scale: float) -> Any:
        model = base.clone()
        if hasattr(model, "set_model_rope_options"):
            model.set_model_rope_options(scale, 0.0, 1.0, 0.0, 1.0, 0.0)
        else:
            model.model_options["transformer_options"]["rope_options"] = {"scale_x": scale}
        return model

    def object_patch(name: str, value: Any) -> Any:
        model = base.clone()
        model.add_object_patch(name, value)
        return model

    models = {"plain": base}
    for kind in ("eps", "v_prediction", "x0", "lcm"):
        models[f"sampling {kind}"] = ModelSamplingDiscrete().patch(base, kind, False)[0]
    models["sampling zsnr"] = ModelSamplingDiscrete().patch(base, "eps", True)[0]
    for shift in (2.0, 3.0):
        models[f"flow {shift}"] = ModelSamplingSD3().patch(base, shift)[0]
    models["flow multiplier"] = ModelSamplingSD3().patch(base, 3.0, 1.0)[0]
    for dtype in ("fp16", "bf16"):
        models[f"dtype {dtype}"] = ModelComputeDtype().patch(base, dtype)[0]
    for number in (1.0, 1.4, 2.0):
        models[f"freeu {number}"] = freeu(base, number, 1.4, version=2)
        models[f"attention {number}"] = attention(strength(number))
        models[f"table {number}"] = attention(table({"b": number, "a": (1, 2), 3: None}))
        models[f"wrapper {number}"] = wrapped(number)
        models[f"rope {number}"] = rope(number)
        models[f"forward {number}"] = object_patch("diffusion_model.forward", strength(number))
        models[f"adapter scale {number}"] = attention(holding(Layers(0, number)))
    for seed in (1, 2):
        models[f"object {seed}"] = replaced(Picture(seed))
        models[f"method {seed}"] = attention(Picture(seed).method)
        models[f"adapter {seed}"] = attention(holding(Layers(seed)))
        models[f"words {seed}"] = attention(words({"sun", "moon", "star", str(seed)}))
        models[f"tensor {seed}"] = attention(holding(Picture(seed).settings))
    models["own model"] = attention(holding([base, base.model.diffusion_model]))
    models["hostile"] = attention(hostile())
    return {word: experts.expert_from_model(model, None, word).identity for word, model in models.items()}
