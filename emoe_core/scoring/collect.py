"""Collects every latent that a score needs from a probe, checked and in one shape."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import EMoEError
from ..experts.sets import ExpertSet
from ..records.report import Routing
from . import estimators as est
from .presets import NOISE_PRED
from .probe import Answer, Latents, Probe, Request

#: Called before each pass of an expert and during it, with (done, total, the expert's name).
Progress = Callable[[int, int, str], None]
#: A tap, and the name of an estimator to read it with.
Reading = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Taken:
    """Everything that a score needs.

    Attributes:
        prompts, empty: for each prompt, and for the empty prompt: tap -> per expert one list of entries [K, B, C, ...].
        denoised, routing: the first expert's, see `probe.Answer`.
    """

    prompts: list[dict[str, list[list[Tensor]]]]
    empty: dict[str, list[list[Tensor]]]
    denoised: tuple[Tensor, ...] = ()
    routing: Routing | None = None


def collect(
    probe: Probe,
    experts: ExpertSet,
    samples: int,
    wanted: Sequence[Reading],
    prompts: int,
    progress: Progress | None,
) -> Taken:
    """Every latent that is needed, float32 on the CPU.

    Experts are the outer loop, so that a host short of memory holds one model at a time.
    """
    taps = list(dict.fromkeys(tap for tap, _ in wanted))
    if NOISE_PRED in taps and "mid_out" in probe.taps and "mid_out" not in taps:
        taps.append("mid_out")  # where the baseline is read; the pass runs through it anyway
    empty_taps = tuple(dict.fromkeys(tap for tap, name in wanted if est.estimator(name).needs_empty))
    total = len(experts) * samples * (prompts + bool(empty_taps))
    done = 0
    found: list[dict[str, list[list[Tensor]]]] = [{tap: [] for tap in taps} for _ in range(prompts)]
    empty: dict[str, list[list[Tensor]]] = {tap: [] for tap in empty_taps}
    first: Answer | None = None
    for index, expert in enumerate(experts.experts):

        def advance(count: int, name: str = expert.name) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, total, name if done < total else "")

        for places, request in (
            (found, Request(index, False, tuple(taps))),
            ([empty] if empty_taps else [], Request(index, True, empty_taps)),
        ):
            if not places:
                continue
            advance(0)
            answer = probe.latents(request, advance)
            first = first or answer
            for place, latents in zip(places, answer.latents, strict=True):
                for tap in request.taps:
                    place[tap].append(checked(latents, tap, expert.name))
    return Taken(found, empty) if first is None else Taken(found, empty, first.denoised, first.routing)


def checked(latents: Latents, tap: str, expert: str) -> list[Tensor]:
    """An expert's latents at a tap, float32 on the CPU; an `EMoEError` where there are none, or they are not finite."""
    parts = [part.detach().to(device="cpu", dtype=torch.float32) for part in latents[tap]]
    if not parts:
        raise EMoEError("No part of the conditioning is active at this step; check its timestep range and at_step.")
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        raise EMoEError(
            f"Expert '{expert}' gives NaN or infinite values at '{tap}': its weights are damaged or its precision is too "
            "low. Load another file, or start ComfyUI with a higher precision."
        )
    return parts


def measured_of(
    rows: list[list[Tensor]], empty: list[list[Tensor]] | None, experts: ExpertSet, tap: str
) -> est.Measured:
    """Entries side by side, each tap as [M, K, B, D], and the channel of each of the D dimensions."""
    channels, before = [], 0
    for part in rows[0]:
        count, places = part.shape[2], part[0, 0, 0].numel()
        channels.append(torch.arange(before, before + count).repeat_interleave(places))
        before += count
    return est.Measured(
        _stacked(rows, experts, tap), None if empty is None else _stacked(empty, experts, tap), torch.cat(channels)
    )


def _stacked(rows: list[list[Tensor]], experts: ExpertSet, tap: str) -> Tensor:
    flat = [torch.cat([part.flatten(2) for part in parts], dim=2) for parts in rows]
    for one, expert in zip(flat, experts.experts, strict=True):
        if one.shape != flat[0].shape:
            raise EMoEError(
                f"'{expert.name}' gives a latent of another size at '{tap}' than '{experts.experts[0].name}' "
                f"({one.shape[2]} values instead of {flat[0].shape[2]}); use experts of one model family."
            )
    return torch.stack(flat)
