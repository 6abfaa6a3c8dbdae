"""The probe on a mixture: all its paths in one batch through one network.

Implements `emoe_core.scoring.probe.Probe` on top of the probe for single models. For each noise sample row p * B + b is item b on
path p; every row has its item's own noise and routes for itself, so a score depends on nothing else in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from ....errors import EMoEError
from ....experts.sets import ExpertSet
from ....mixture.experts import MixtureSet
from ....mixture.routing import RoutingRecorder
from ....mixture.sparse import Plan
from ....records.routing import Routing
from ....scoring.probe import Latents, Request
from ..mixture.layers import scoring
from ..prompts import conditioning as cond
from .probe import ComfyProbe


@dataclass(frozen=True, eq=False)
class MixtureProbe:
    """Answers for the paths of a mixture (see `emoe_core.scoring.probe.Probe`). Attributes: as those of `ComfyProbe`."""

    experts: MixtureSet
    prompts: list[cond.Conditioning]
    empties: list[cond.Conditioning] | None
    latent: Tensor
    noises: list[Tensor]
    sigmas: Tensor
    empty_key: str
    _inner: ComfyProbe = field(init=False, repr=False)
    _recorder: RoutingRecorder = field(init=False, repr=False)
    _answers: dict[tuple[bool, tuple[str, ...]], Latents] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        paths = len(self.experts)
        inner = ComfyProbe(
            ExpertSet((self.experts.network,)),
            [[self.prompts[0]]],  # one text encoder made all of them
            None if self.empties is None else self.empties[:1],
            _each(self.latent, paths),
            [_each(noise, paths) for noise in self.noises],
            self.sigmas,
            self.empty_key,
        )
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_recorder", RoutingRecorder(paths, self.latent.shape[0]))

    @property
    def taps(self) -> tuple[str, ...]:
        """See `emoe_core.scoring.probe.Probe.taps`."""
        return self._inner.taps

    def latents(self, request: Request, advance: Callable[[int], None]) -> list[Latents]:
        """One path's latents; the network is called for all paths when the first of them is asked for."""
        key = (request.empty, request.taps)
        if key not in self._answers:
            self._answers[key] = self._measure(request)
        advance(len(self.noises))
        paths = len(self.experts)
        return [
            {
                tap: [part.chunk(paths, dim=1)[request.expert] for part in parts]
                for tap, parts in self._answers[key].items()
            }
        ]

    @property
    def estimates(self) -> dict[int, Tensor]:
        """The first path's denoised estimates: see `ComfyProbe.estimates`."""
        paths = len(self.experts)
        return {prompt: estimate.chunk(paths)[0] for prompt, estimate in self._inner.estimates.items()}

    def routing(self) -> Routing:
        """What the gates did with the prompt, over all calls so far."""
        mixture = self.experts
        return self._recorder.summary(mixture.names, mixture.separating, mixture.separated_at, mixture.top_k)

    def _measure(self, request: Request) -> Latents:
        items, paths, calls = self.latent.shape[0], len(self.experts), 0

        def plan(rows: int, entries: int) -> Plan:
            nonlocal calls
            if rows % (entries * paths * items):
                raise EMoEError(
                    "Another node changed the batch inside the mixture's sampling; score without that node."
                )
            calls += 1
            return Plan(
                groups=tuple(range(rows)),
                paths=tuple(row % (paths * items) // items for row in range(rows)),
                record=None if request.empty else self._recorder.record,
            )

        token = scoring.set(plan)
        try:
            (answer,) = self._inner.latents(Request(0, request.empty, request.taps), lambda _: None)
        finally:
            scoring.reset(token)
        if calls == 0 and not request.empty:  # an empty prompt's answer may have been kept
            raise EMoEError(
                "The mixture's paths were not separated: another node replaces the call of its network; score without it."
            )
        return answer


def _each(batch: Tensor, paths: int) -> Tensor:
    return batch.repeat(paths, *[1] * (batch.ndim - 1))
