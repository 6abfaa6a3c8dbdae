"""The probe on a mixture: all its paths in one batch through one network.

Implements `emoe_core.scoring.probe.Probe` on top of the probe for single models. For each noise sample, row p * B + b is item
b on path p. Every row has its item's own noise and routes for itself, so a score depends on nothing else in the batch.
"""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from ....errors import EMoEError
from ....experts.sets import ExpertSet
from ....mixture.experts import MixtureSet
from ....mixture.sparse import Assignment, RoutingRecorder
from ....scoring.price import Meter
from ....scoring.probe import Answer, Request
from ..mixture.layers import scoring
from ..prompts import conditioning as cond
from .probe import ComfyProbe


class MixtureProbe:
    """Answers for the paths of a mixture (see `emoe_core.scoring.probe.Probe`)."""

    def __init__(
        self,
        experts: MixtureSet,
        prompt: list[cond.Conditioning],
        empties: list[cond.Conditioning] | None,
        latent: Tensor,
        noises: list[Tensor],
        seeds: list[int],
        sigmas: Tensor,
        empty_key: str,
        meter: Meter | None = None,
    ) -> None:
        """
        Args:
            prompt: one CONDITIONING per path; the other arguments are those of `ComfyProbe`.
        """
        paths = len(experts)
        self._experts, self._items, self._samples = experts, latent.shape[0], len(noises)
        self._inner = ComfyProbe(
            ExpertSet((experts.network,)),
            [[prompt[0]]],  # one text encoder made all of them
            None if empties is None else empties[:1],
            _each(latent, paths),
            [_each(noise, paths) for noise in noises],
            seeds,
            sigmas,
            empty_key,
            meter=meter or Meter(),
        )
        #: All paths' answers, by request: the network is called for all of them at once.
        self._answers: dict[tuple[bool, tuple[str, ...]], Answer] = {}

    @property
    def taps(self) -> tuple[str, ...]:
        """See `emoe_core.scoring.probe.Probe.taps`."""
        return self._inner.taps

    def latents(self, request: Request, advance: Callable[[int], None]) -> Answer:
        """One path's part; the first request for any path calls the network for all of them."""
        key = (request.empty, request.taps)
        if key not in self._answers:
            self._answers[key] = self._measure(request)
        advance(self._samples)
        paths, answer = len(self._experts), self._answers[key]
        return replace(
            answer,
            latents=[
                {tap: [part.chunk(paths, dim=1)[request.expert] for part in parts] for tap, parts in latents.items()}
                for latents in answer.latents
            ],
            denoised=tuple(estimate.chunk(paths)[request.expert] for estimate in answer.denoised),
        )

    def _measure(self, request: Request) -> Answer:
        mixture, items, paths, calls = self._experts, self._items, len(self._experts), 0
        recorder = RoutingRecorder(paths, items)

        def assign(rows: int, entries: int) -> Assignment:
            nonlocal calls
            if rows % (entries * paths * items):
                raise EMoEError(
                    "Another node changed the batch inside the mixture's sampling; score without that node."
                )
            calls += 1
            return Assignment(
                groups=tuple(range(rows)),
                paths=tuple(row % (paths * items) // items for row in range(rows)),
                record=None if request.empty else recorder.record,
            )

        token = scoring.set(assign)
        try:
            answer = self._inner.latents(Request(0, request.empty, request.taps), lambda _: None)
        finally:
            scoring.reset(token)
        if request.empty:  # its answer may be cached, so that the network was not called
            return answer
        if calls == 0:
            raise EMoEError(
                "The mixture's paths were not separated: another node replaces the call of its network; score without it."
            )
        routing = recorder.summary(mixture.names, mixture.separating, mixture.separated_at, mixture.top_k)
        return replace(answer, routing=routing)


def _each(batch: Tensor, paths: int) -> Tensor:
    return batch.repeat(paths, *[1] * (batch.ndim - 1))
