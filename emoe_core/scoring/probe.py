"""The probe: the one thing that a host must implement for scoring."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..records.report import Routing

#: Latents of one prompt: per tap one tensor [K, B, C, ...] per conditioning entry (K noise samples, B batch items).
#: One entry is the usual case; areas and combined prompts make more. At `noise_pred` there is always one.
Latents = dict[str, list[Tensor]]


@dataclass(frozen=True, eq=False)
class Answer:
    """The result of one expert's pass.

    Attributes:
        latents: one `Latents` per prompt, or a single one for the empty prompt.
        denoised: per prompt the expert's denoised estimate of the first noise sample, [B, C, ...] in the scale of a LATENT;
            empty where the pass ended before the prediction, or the host does not give it.
        routing: where the router of a mixture sent the prompt; None for an ensemble.
    """

    latents: list[Latents]
    denoised: tuple[Tensor, ...] = ()
    routing: Routing | None = None


@dataclass(frozen=True)
class Request:
    """The wanted latents: of one expert, for every prompt of the run or for the empty prompt, at these taps."""

    expert: int
    empty: bool
    taps: tuple[str, ...]


class Probe(Protocol):
    """Runs the experts for a host. The maths never knows which host answers.

    A probe knows its prompts, its K noise samples and its B latents; it decides how many of them share one call of the
    network. The answer must not depend on that by more than rounding.
    """

    @property
    def taps(self) -> tuple[str, ...]:
        """The taps that every expert has, e.g. ("mid_in", "mid_out", "noise_pred") or ("block:0", ..., "noise_pred")."""

    def latents(self, request: Request, advance: Callable[[int], None]) -> Answer:
        """The latents at all the request's taps, from one pass.

        Entries have the same order for every expert. `advance(n)` is called when n more (prompt, noise sample) pairs
        are done.

        Raises:
            EMoEError: the model has no such tap, or the conditioning does not fit it.
        """
