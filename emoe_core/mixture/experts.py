"""The expert set of a mixture: its experts are the paths through one network."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import EMoEError
from ..experts.sets import Expert, ExpertSet
from ..scoring.comparable import check_comparable

MODE = "mixture"


@dataclass(frozen=True, eq=False, kw_only=True)
class MixtureSet(ExpertSet):
    """The paths of one mixture, in the experts' order.

    Attributes:
        network: the mixture itself; a sampler draws with its `model`. Each path's expert has the same model.
        layers: which layers are sparse: a key of `layers.LAYERS`.
        top_k: how many experts each token is routed to.
        routers: digest of the routers.
        names: the sparse layers, in the order in which they are called.
        separated_at: where the paths separate, in words.
        separating: the layers there.
    """

    network: Expert
    layers: str
    top_k: int
    routers: str
    names: tuple[str, ...]
    separated_at: str
    separating: frozenset[str]

    def add(self, expert: Expert) -> ExpertSet:
        """Refused: a mixture is made as a whole."""
        raise EMoEError(
            f"'{expert.name}' cannot be added to a mixture: its router was made for its own experts. Add it to the experts "
            "before Build Mixture."
        )


def check_mixable(experts: ExpertSet, top_k: int) -> None:
    """An `EMoEError` unless these experts' layers can stand in one network."""
    if isinstance(experts, MixtureSet):
        raise EMoEError("Build Mixture's experts are a mixture already; connect the experts it was made of.")
    if len(experts) < 2:
        raise EMoEError(
            f"Build Mixture has {len(experts)} expert and a mixture needs two or more; add experts with Add Expert or Load "
            "Experts."
        )
    if not 1 <= top_k <= len(experts):
        raise EMoEError(
            f"Build Mixture's top_k is {top_k} and there are {len(experts)} experts; choose 1 to {len(experts)}."
        )
    predictions = {expert.prediction for expert in experts.experts}
    if len(predictions) > 1:
        raise EMoEError(
            f"Build Mixture's experts predict different things ({', '.join(sorted(predictions))}), so one network cannot "
            "hold them; use experts with one prediction type."
        )
    try:
        check_comparable(experts.experts, "mid_out")  # exchanged layers must work on the same features
    except EMoEError as error:
        raise EMoEError(f"Build Mixture cannot put these experts into one network. {error}") from error


def network_identity(experts: Sequence[str], layers: str, top_k: int, routers: str) -> str:
    """Identity of a mixture: its experts' identities in order, the sparse layers and the routers' digest."""
    text = json.dumps(["mixture", list(experts), layers, top_k, routers])
    return hashlib.sha256(text.encode()).hexdigest()


def paths(experts: Sequence[Expert], network: Expert) -> tuple[Expert, ...]:
    """One path per expert: the network with its text encoder, under the expert's name and lineage."""
    return tuple(
        replace(
            network,
            name=expert.name,
            signature=expert.signature,
            identity=hashlib.sha256(f"{network.identity}:{index}:{expert.identity}".encode()).hexdigest(),
            file=expert.file,
            weights=expert.weights,
        )
        for index, expert in enumerate(experts)
    )
