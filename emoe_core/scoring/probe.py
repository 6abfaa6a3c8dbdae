"""The probe: the one thing a host must be able to do for the science."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..records.routing import Routing

#: Latents of one prompt: for each tap one tensor [K, B, C, ...] a conditioning entry (K noise samples, B batch items).
#: One entry is the usual case; areas and combined prompts make more. At `noise_pred` it is always one.
Latents = dict[str, list[Tensor]]


@dataclass(frozen=True, eq=False)
class Answer:
    """What one pass of one expert gave.

    Attributes:
        latents: one `Latents` per prompt, or a single one of the empty prompt.
        denoised: per prompt the expert's denoised estimate of the first noise sample, [B, C, ...] in the scale of a LATENT;
            empty where the pass ended before the prediction, or the host does not say.
        routing: where the router of a mixture sent the prompt; None for an ensemble.
    """

    latents: list[Latents]
    denoised: tuple[Tensor, ...] = ()
    routing: Routing | None = None


@dataclass(frozen=True)
class Request:
    """Which latents are wanted: of one expert, for every prompt of the run or for the empty prompt, at these taps."""

    expert: int
    empty: bool
    taps: tuple[str, ...]


class Probe(Protocol):
    """Whoever can run the experts. The maths never knows who answers.

    A probe knows its prompts, its K noise samples and its B latents; it decides how many of them go through the network
    in one call. The answer must not depend on that by more than rounding.
    """

    @property
    def taps(self) -> tuple[str, ...]:
        """The taps that every expert has, e.g. ("mid_in", "mid_out", "noise_pred") or ("block:0", ..., "noise_pred")."""
        ...

    def latents(self, request: Request, advance: Callable[[int], None]) -> Answer:
        """The latents at all the request's taps, from one pass.

        Entries stand in the same order for every expert. `advance(n)` is called when n more (prompt, noise sample) pairs
        are done.

        Raises:
            EMoEError: the model has no such tap, or the conditioning does not fit it.
        """
        ...
