"""A SegMoE mixture of ComfyUI models, made without training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import comfy.utils
from torch import Tensor, nn

from ....errors import EMoEError
from ....experts.sets import Expert, ExpertSet
from ....mixture import router as router_maths
from ....mixture.experts import MixtureSet, check_mixable, network_identity, paths
from ....mixture.layers import of_block, separation
from ..experts import identity
from ..experts.partial import complete
from ..experts.patchers import sampled_shape
from .layers import expert_layer, mixture_model, sparse_layer_names
from .router import Drawing, expert_rows


def build_mixture(
    experts: ExpertSet,
    positive_prompts: str,
    negative_prompts: str,
    latent: dict[str, Any],
    *,
    layers: str,
    top_k: int,
    steps: int,
    cfg: float,
    seed: int,
    clip: Any = None,
) -> MixtureSet:
    """Puts the experts' layers and routers into a clone of the first expert's model.

    Args:
        positive_prompts: what each expert is good at, one line per expert; its router is made from it.
        negative_prompts: what each expert avoids, one line per expert, or one for all.
        latent: gives the size at which the routers are measured.
        layers: "attn", "ff" or "all".
        top_k: how many experts each token is routed to.
        steps, cfg, seed: how each expert draws its prompt.
        clip: the text encoder of the mixture and, for the routers, of every expert; None for the first expert's and each
            one's own.

    Raises:
        EMoEError: experts that cannot stand in one network, prompts that do not match them, bad numbers.
    """
    check_mixable(experts, top_k)
    count = len(experts)
    positives = router_maths.positive_prompts_of(positive_prompts, count)
    negatives = router_maths.negative_prompts_of(negative_prompts, count)
    of_block(layers)
    if not 1 <= steps <= 1000:
        raise EMoEError(f"Build Mixture's gate_steps is {steps}; choose 1 to 1000.")
    clips = _clips(experts, clip)
    first = experts.experts[0]
    for expert in experts.experts:
        complete(expert.model)
    sparse = sparse_layer_names(first.model, layers)
    empty = sampled_shape(first.model, latent["samples"][:1] * 0, latent)
    bar = comfy.utils.ProgressBar(count * steps)
    drawing = Drawing(sparse, empty, steps, cfg, seed, lambda: bar.update(1))
    rows = [
        expert_rows(expert, *clips[i], (positives[i], negatives[i]), drawing)
        for i, expert in enumerate(experts.experts)
    ]
    return assemble(
        experts.experts,
        router_maths.stack_rows(rows),
        lambda i, name: expert_layer(experts.experts[i], first.model, name),
        layers=layers,
        top_k=top_k,
        clip=clips[0],
    )


def assemble(
    experts: Sequence[Expert],
    routers: Mapping[str, Tensor],
    layer_of: Callable[[int, str], nn.Module],
    *,
    layers: str,
    top_k: int,
    clip: tuple[Any, str],
) -> MixtureSet:
    """A mixture set from given routers and layers, in the first expert's network.

    Args:
        clip: the mixture's text encoder and its identity.
    """
    first, names = experts[0], sparse_layer_names(experts[0].model, layers)
    digest = router_maths.routers_digest(routers)
    known = network_identity([expert.identity for expert in experts], layers, top_k, digest)
    model = mixture_model(first.model, names, layer_of, routers, top_k, known)
    place, separating = separation(names)
    network = replace(
        first,
        name="mixture",
        model=model,
        clip=clip[0],
        clip_identity=clip[1],
        identity=known,
        dtype=identity.compute_dtype(model),
        file="",
    )
    return MixtureSet(
        experts=paths(experts, network),
        network=network,
        layers=layers,
        top_k=top_k,
        routers=digest,
        names=tuple(names),
        separated_at=place,
        separating=separating,
    )


def _clips(experts: ExpertSet, clip: Any) -> list[tuple[Any, str]]:
    """A text encoder and its identity for every expert; the first one's is the mixture's."""
    if clip is not None:
        return [(clip, identity.clip_identity(clip, "Build Mixture's clip"))] * len(experts)
    own = [(expert.clip, expert.text_encoder_identity()) for expert in experts.experts]
    spare = next((one for one in own if one[0] is not None), None)
    if spare is None:
        raise EMoEError(
            "Build Mixture has no text encoder for the gates' prompts: none of the experts brings one; connect a CLIP to "
            "its input 'clip'."
        )
    return [spare if one[0] is None else one for one in own]
