"""The sparse mixture layer: a router that sends each token to a few experts' layers.

The rule is SegMoE's (Segmind, package `segmoe` 0.0.4, `SparseMoeBlock`), which arXiv 2505.13273 builds on: logits =
router(x); take the k experts with the highest sum of logits over all tokens; softmax over those k per token; weighted sum
of their outputs. Two things differ. Neither changes the result for one image in full precision. Logits are summed in
float32 (in half precision a sum over thousands of tokens can overflow), and the tokens that choose together are those of
one image, not of the whole batch, so that an image does not depend on its neighbours.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EMoEError
from ..records.report import LayerRouting, Routing

#: Gets a layer's name, its router's entropy per row [R] (0 to 1) and each expert's share of the weight per row [R, M].
Record = Callable[[str, Tensor, Tensor], None]


@dataclass(frozen=True, eq=False)
class Assignment:
    """How one network call is routed.

    Attributes:
        groups: the group of each row of the batch; rows of one group choose their experts together.
        paths: for each row, the expert whose output it keeps at the separating layers; None for ordinary routing.
        record: gets every layer's routing.
    """

    groups: tuple[int, ...]
    paths: tuple[int, ...] | None = None
    record: Record | None = None


_assignment: ContextVar[Assignment | None] = ContextVar("emoe_mixture_assignment", default=None)


@contextmanager
def assigned(assignment: Assignment) -> Iterator[None]:
    """Makes every sparse layer that is called inside follow this assignment. Without one, the whole batch chooses together."""
    token = _assignment.set(assignment)
    try:
        yield
    finally:
        _assignment.reset(token)


class SparseMoE(nn.Module):
    """A layer replaced by several experts' versions of it and a router.

    Args:
        name: the layer's name in its network, for records.
        gate: a bias-free linear map from the input's width to the number of experts.
        experts: the experts' versions of the layer.
        top_k: how many of them each token is routed to.
        separates: whether paths are separated here (see `Assignment.paths`).
        identity: digest of weights and router, for hosts that identify what was put into a model.
    """

    def __init__(
        self,
        name: str,
        gate: nn.Module,
        experts: Sequence[nn.Module],
        top_k: int,
        separates: bool = False,
        identity: str = "",
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= len(experts):
            raise EMoEError(f"top_k is {top_k} and there are {len(experts)} experts; choose 1 to {len(experts)}.")
        self.name = name
        self.gate = gate
        self.experts = nn.ModuleList(experts)
        self.top_k = top_k
        self.separates = separates
        self.identity = identity

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The mixture's output for `x` [R, tokens, width], [R, tokens, width out].

        Other arguments (such as a LoRA scale) are dropped, as in SegMoE.
        """
        assignment = _assignment.get()
        logits = self.gate(x)
        chosen = self._choose(logits, assignment)
        weights = torch.softmax(_at(logits, chosen), dim=-1, dtype=torch.float32)
        if assignment is not None:
            if assignment.record is not None:
                entropy, shares = router_entropy(logits), _shares(weights, chosen, len(self.experts))
                assignment.record(self.name, *(_images(values, len(assignment.groups)) for values in (entropy, shares)))
            if assignment.paths is not None and self.separates:
                chosen = _rows(assignment.paths, x, "path").unsqueeze(1)
                weights = weights.new_ones((*x.shape[:-1], 1))
        return self._mix(x, chosen, weights.to(x.dtype))

    def _choose(self, logits: Tensor, assignment: Assignment | None) -> Tensor:
        """Indices of the k experts of each row, [R, k]."""
        totals = logits.float().flatten(1, -2).sum(dim=1)
        if assignment is None:
            return totals.sum(dim=0, keepdim=True).topk(self.top_k, dim=-1).indices.expand(len(totals), -1)
        groups = _rows(assignment.groups, logits, "group")
        summed = totals.new_zeros((max(assignment.groups) + 1, totals.shape[1])).index_add_(0, groups, totals)
        return summed.topk(self.top_k, dim=-1).indices[groups]

    def _mix(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        table = chosen.tolist()
        if all(row == table[0] for row in table):
            return _sum(weights[..., i, None] * self.experts[e](x) for i, e in enumerate(table[0]))
        out: Tensor | None = None
        for index in sorted({e for row in table for e in row}):
            rows = [r for r, row in enumerate(table) if index in row]
            slots = [table[r].index(index) for r in rows]
            at = torch.tensor(rows, device=x.device)
            weight = torch.stack([weights[r, ..., slot] for r, slot in zip(rows, slots, strict=True)])
            part = weight.unsqueeze(-1) * self.experts[index](x[at])
            if out is None:
                out = part.new_zeros((x.shape[0], *part.shape[1:]))
            out.index_add_(0, at, part)
        assert out is not None
        return out


def router_entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax over all experts, mean over tokens, divided by its maximum log M: [R] in [0, 1]."""
    log_p = torch.log_softmax(logits.float(), dim=-1)
    entropy = -(log_p.exp() * log_p).sum(dim=-1) / math.log(logits.shape[-1])
    return entropy.flatten(1).mean(dim=1)


def _at(logits: Tensor, chosen: Tensor) -> Tensor:
    """The chosen experts' logits per token, [R, ..., k]."""
    index = chosen.view(chosen.shape[0], *[1] * (logits.ndim - 2), chosen.shape[1])
    return logits.gather(-1, index.expand(*logits.shape[:-1], -1))


def _shares(weights: Tensor, chosen: Tensor, experts: int) -> Tensor:
    """Mean weight of every expert over the tokens of a row, [R, M]; 0 for those not chosen."""
    mean = weights.flatten(1, -2).mean(dim=1)
    return mean.new_zeros((len(mean), experts)).scatter_(1, chosen, mean)


def _rows(values: tuple[int, ...], x: Tensor, what: str) -> Tensor:
    """An assignment's value for each row of `x`. Nodes that cut an image into tiles make several rows of one image."""
    if x.shape[0] % len(values):
        raise EMoEError(
            f"A mixture layer got {x.shape[0]} rows for {len(values)} images, so it cannot tell each row's {what}; remove "
            "the node that changes the batch inside the network."
        )
    return torch.tensor(values, device=x.device).repeat_interleave(x.shape[0] // len(values))


def _images(values: Tensor, rows: int) -> Tensor:
    """One value per image, from one per row: the mean over an image's tiles."""
    return values.view(rows, -1, *values.shape[1:]).mean(dim=1)


def _sum(parts: Iterator[Tensor]) -> Tensor:
    total = next(parts)
    for part in parts:
        total = total + part
    return total


class RoutingRecorder:
    """Collects what the layers report (see `Assignment.record`) over the network calls of one score.

    Where the routers sent a prompt is a baseline beside the score, and shows a router that never chooses.
    """

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
