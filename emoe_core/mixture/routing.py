"""Where a mixture's routers sent a prompt: a baseline beside the score, and a sign of a router that never chooses."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import EMoEError
from ..records.routing import LayerRouting, Routing


class RoutingRecorder:
    """Collects what the layers report (see `sparse.Assignment.record`) over the network calls of one score."""

    def __init__(self, paths: int, items: int) -> None:
        self._paths, self._items = paths, items
        self._entropy: dict[str, list[Tensor]] = {}
        self._load: dict[str, list[Tensor]] = {}

    def record(self, name: str, entropy: Tensor, load: Tensor) -> None:
        """One layer of one call; its rows are conditioning entries x paths x items."""
        shape = (-1, self._paths, self._items)
        self._entropy.setdefault(name, []).append(entropy.detach().view(shape).cpu())
        self._load.setdefault(name, []).append(load.detach().view(*shape, load.shape[1]).cpu())

    def summary(self, layers: Sequence[str], separates: frozenset[str], separated_at: str, top_k: int) -> Routing:
        """The means; `layers` gives the order, and layers that were never called (behind the tap) are left out."""
        called = [name for name in layers if name in self._entropy]
        if not called:
            raise EMoEError("No mixture layer was called, so there is no routing to report.")
        entropy = torch.stack([torch.cat(self._entropy[name]) for name in called])
        load = torch.stack([torch.cat(self._load[name]) for name in called])
        return Routing(
            entropy=float(entropy.mean()),
            load=tuple(load.mean(dim=(0, 1, 2, 3)).tolist()),
            items=tuple(entropy.mean(dim=(0, 1, 2)).tolist()),
            separated_at=separated_at,
            top_k=top_k,
            layers=tuple(
                LayerRouting(name, float(e.mean()), tuple(w.mean(dim=(0, 1, 2)).tolist()), name in separates)
                for name, e, w in zip(called, entropy, load, strict=True)
            ),
        )
