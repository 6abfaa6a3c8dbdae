"""The probe: the one thing a host must be able to do for the science."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Request:
    """Which latent is wanted: of one expert, on one noise sample, for the prompt or the empty prompt, at one tap."""

    expert: int
    noise_sample: int
    empty: bool
    tap: str


class Probe(Protocol):
    """Whoever can run the experts. The maths never knows who answers."""

    def latents(self, request: Request) -> dict[str, list[Tensor]]:
        """The latents at the request's tap, and at any other tap that the same pass goes by for free.

        Gives for each tap one tensor [B, C, ...] a conditioning entry, in the same order for every expert (one entry is
        the usual case; areas and combined prompts make more). At `noise_pred` it is always one.

        Raises:
            EMoEError: the model has no such tap, or the conditioning does not fit it.
        """
        ...
