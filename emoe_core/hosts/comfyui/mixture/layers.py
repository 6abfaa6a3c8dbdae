"""A mixture's layers in a ComfyUI model: made from the experts' own, put into a clone as object patches.

Their weights are a separate model that goes with the clone (one of its additional models), so the host moves, offloads,
casts, pages and counts them as it does the network's. They are not part of the network, because the host sets weights
aside by their name in it and puts them back after it has exchanged the layers: a name must mean the same weight whichever
clone is loaded. The experts' weights are shared as long as they are on the offload device, so a mixture needs no second
copy of them.
"""

import copy
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import comfy.float
import comfy.lora
import comfy.model_patcher
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ....errors import EMoEError
from ....experts.sets import Expert
from ....mixture import layers as names
from ....mixture.sparse import Assignment, SparseMoE, assigned
from ..experts.patchers import new_patcher

NETWORK = "diffusion_model."
WRAPPER_KEY = WEIGHTS_KEY = "emoe_mixture"
#: While a score is measured: the plan for a network call of (rows, conditioning entries). Otherwise sampling's own plan.
scoring: ContextVar[Callable[[int, int], Assignment] | None] = ContextVar("emoe_mixture_scoring", default=None)
#: Attributes that the host's loaders put on a module, and take for their own on any.
LOADERS_OWN = frozenset(
    (
        # weights to cast or patch when the layer is called
        *("weight_function", "bias_function", "weight_lowvram_function", "bias_lowvram_function", "seed_key"),
        *("prev_comfy_cast_weights", "comfy_patched_weights", "comfy_force_cast_weights"),
        # places on the card and in pinned memory
        *("_v", "_v_signature", "_v_weight", "_v_bias", "_v_block", "_v_block_faulted", "_prefetch", "_comfy_graph"),
        *("_pin", "_pins", "_pin_state"),
    )
)
_BLOCK = re.compile(r"(input_blocks|output_blocks)\.\d+\.\d+\.transformer_blocks\.\d+")


class HostedSparseMoE(SparseMoE):
    """A sparse layer that looks like the layer it replaces to code that walks through the network's weights.

    Object patches stay in the network, which all clones share, until another clone is loaded. Meanwhile a LoRA loader that
    reads the base model must find the names it knows, or it would silently drop its patches; and a weight of the base model
    that the host puts back must go where it came from.

    Args:
        replaced: the base model's layer.
    """

    def __init__(self, replaced: nn.Module, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("gate", "experts"):  # outside of torch's register of submodules
            self.__dict__[name] = self._modules.pop(name)
        self.__dict__["replaced"] = replaced

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The replaced layer's state dict, under this layer's name."""
        return self.replaced.state_dict(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """The replaced layer's weight or part with that name, where this layer has none."""
        if self._stands_for(name):
            return getattr(self.replaced, name)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """A weight or part of the replaced layer is set there."""
        if self._stands_for(name):
            setattr(self.replaced, name, value)
        else:
            super().__setattr__(name, value)

    def _stands_for(self, name: str) -> bool:
        replaced = self.__dict__.get("replaced")
        return replaced is not None and (name in replaced._parameters or name in replaced._modules)


class MixtureWeights(nn.Module):
    """The weights of a mixture's sparse layers, as one model for the host to load."""

    def __init__(self, layers: Sequence[SparseMoE]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                layer.name.replace(".", "_"): nn.ModuleDict({"gate": layer.gate, "experts": layer.experts})
                for layer in layers
            }
        )


def sparse_layer_names(model: ModelPatcher, layers: str) -> list[str]:
    """The layers of a ModelPatcher's network that a mixture replaces, in the order in which they are called.

    Raises:
        EMoEError: the network is no U-Net with transformer blocks on its way down and up.
    """
    network = model.get_model_object("diffusion_model")
    blocks = names.in_order(name for name, _ in network.named_modules() if _BLOCK.fullmatch(name))
    if not blocks:
        raise EMoEError(
            "Build Mixture's experts have no transformer blocks in down and up blocks: mixtures are made of U-Nets (SD 1.5, "
            "SD 2, SDXL). Use these experts as they are (ensemble)."
        )
    return [f"{block}.{layer}" for block in blocks for layer in names.of_block(layers)]


def expert_layer(expert: Expert, base: ModelPatcher, name: str) -> nn.Module:
    """An expert's own version of one layer, with its LoRAs and other weight patches merged in.

    Args:
        base: the ModelPatcher in which the layer will work; it decides the number format.
    """
    own, key = expert.model, NETWORK + name
    if key in own.object_patches:
        raise EMoEError(
            f"Expert '{expert.name}' has its layer {name} replaced by another node, so it cannot be put into a mixture; use "
            "the expert without that node."
        )
    source = own.get_model_object(key)
    # Scaled 8-bit weights are meaningful only to their own module; plain ones take the base's type.
    scaled = any(hasattr(part, "convert_weight") for part in source.modules())
    template = source if scaled else base.get_model_object(key)
    weights = {n: _own_weight(own, f"{key}.{n}", source, n, p) for n, p in source.named_parameters()}
    return copied_layer(template, weights, expert.name, name, own.offload_device)


def copied_layer(
    template: nn.Module, weights: Mapping[str, Tensor], expert: str, name: str, device: torch.device
) -> nn.Module:
    """A layer like `template` with other weights, which are shared if their type and device allow it.

    Raises:
        EMoEError: the weights' shape differs from the template's.
    """
    known = dict(template.named_parameters())
    shapes = {n: tuple(p.shape) for n, p in known.items()}
    if shapes != {n: tuple(w.shape) for n, w in weights.items()}:
        raise EMoEError(f"Expert '{expert}' has another layer {name} than the first expert; use experts of one family.")
    # With the tensors in the memo, the copy makes new modules without copying a weight.
    layer = _unloaded(template, {id(t): t for t in (*template.parameters(), *template.buffers())})
    for module_name, module in layer.named_modules():
        for own_name, _ in list(module.named_parameters(recurse=False)):
            full = f"{module_name}.{own_name}".lstrip(".")
            value = weights[full].detach().to(device=device, dtype=known[full].dtype)
            setattr(module, own_name, nn.Parameter(value, requires_grad=False))
    return layer


def _unloaded(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A deep copy of a module without the host's loading attributes.

    The template may be on a graphics card right now, whole or in part. A copy with the same place there would show the
    template's weights.
    """
    copied = module.__class__.__new__(module.__class__)
    for name, value in vars(module).items():
        if name == "_modules":
            parts = {own: None if part is None else _unloaded(part, memo) for own, part in value.items()}
            vars(copied)[name] = type(value)(parts)
        elif name not in LOADERS_OWN:
            vars(copied)[name] = copy.deepcopy(value, memo)
    if "prev_comfy_cast_weights" in vars(module):
        vars(copied)["comfy_cast_weights"] = vars(module)["prev_comfy_cast_weights"]
    return copied


def _own_weight(model: ModelPatcher, key: str, source: nn.Module, name: str, loaded: Tensor) -> Tensor:
    """An expert's weight with its patches, whatever is loaded or merged right now."""
    kept, hooked = model.backup.get(key), model.hook_backup.get(key)
    weight = hooked[0] if hooked is not None else kept.weight if kept is not None else loaded
    if key not in model.patches:
        return weight
    module = source.get_submodule(name.rpartition(".")[0])
    convert = getattr(module, f"convert_{name.rpartition('.')[2]}", None)
    store = getattr(module, f"set_{name.rpartition('.')[2]}", None)
    value = weight.detach().to(device=model.offload_device, dtype=torch.float32, copy=True)
    if convert is not None:
        value = convert(value, inplace=True)
    value = comfy.lora.calculate_weight(model.patches[key], value, key)
    seed = comfy.model_patcher.string_to_seed(key)
    if store is not None:
        return store(value, seed=seed, return_weight=True)  # type: ignore[no-any-return]
    return comfy.float.stochastic_rounding(value, weight.dtype, seed=seed)


def mixture_model(
    base: ModelPatcher,
    layer_names: Sequence[str],
    layer_of: Callable[[int, str], nn.Module],
    routers: Mapping[str, Tensor],
    top_k: int,
    identity: str,
) -> ModelPatcher:
    """A clone of `base` with sparse layers in it; `base` itself does not change.

    Args:
        layer_of: gives expert i's version of a layer.
        routers: for each layer, the rows of its router, [M, width].
        identity: the layers' identity, for code that identifies the model later.
    """
    model = base.clone()
    _, separating = names.separation(layer_names)
    layers: list[SparseMoE] = []
    freed = 0
    for name in layer_names:
        rows = routers[name]
        # Weights are cast when used: that is right for every number format and wherever the host keeps them.
        gate = comfy.ops.manual_cast.Linear(rows.shape[1], rows.shape[0], bias=False, dtype=torch.float32, device="cpu")
        gate.weight = nn.Parameter(rows.detach().to("cpu", torch.float32), requires_grad=False)
        experts = [layer_of(index, name) for index in range(rows.shape[0])]
        replaced = base.get_model_object(NETWORK + name)
        layers.append(HostedSparseMoE(replaced, name, gate, experts, top_k, name in separating, identity).eval())
        freed += _bytes(replaced)
        model.add_object_patch(NETWORK + name, layers[-1])
        for key in [key for key in model.patches if key.startswith(f"{NETWORK}{name}.")]:
            del model.patches[key]  # already merged into the first expert's layer
    model.size = base.model_size() - freed
    weights = new_patcher(MixtureWeights(layers), base.load_device, base.offload_device)
    model.set_additional_models(WEIGHTS_KEY, [weights])
    # Weights that the host has loaded for `base` are not the clone's, so it must load again when it switches.
    model.patches_uuid = uuid.uuid4()
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, WRAPPER_KEY, _routed)
    return model


def _bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))


def _routed(executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Wraps each network call: the tokens of one image choose their experts together, whatever else is in the batch.

    Its conditional and unconditional branches are one image, as in SegMoE, when the host runs them in one call.
    """
    entries, measured = entries_of(args, kwargs), scoring.get()
    if measured is not None:
        plan = measured(x.shape[0], entries)
    else:
        images = x.shape[0] // entries
        plan = Assignment(groups=tuple(row % images for row in range(x.shape[0])))
    with assigned(plan):
        return executor(x, *args, **kwargs)


def entries_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many conditioning entries the host put into this call, one after the other."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, dict) and "cond_or_uncond" in value:
            return max(1, len(value["cond_or_uncond"]))
    return 1
