"""Scoring: ask a probe for every expert's latents, then make a report of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import estimators as est
from .errors import EMoEError
from .experts import ExpertSet, check_comparable
from .probe import Probe, Request
from .report import ItemScore, Report, Settings

#: Called before each model call with (calls done, calls in all, what comes next).
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Scored:
    """A report and the map of where the experts disagree.

    Attributes:
        disagreement: variance across experts at each place of the tap, relative to the mean square, [B, h, w].
    """

    report: Report
    disagreement: Tensor


def score(
    probe: Probe, experts: ExpertSet, settings: Settings, prompt: str = "", progress: Progress | None = None
) -> Scored:
    """Score one prompt (a batch of latents gives a score an item).

    Args:
        settings: tap, estimator and number of noise samples are read from here; all of it goes into the report.
        prompt: the text, for reports only.

    Raises:
        EMoEError: too few experts for the estimator, experts that cannot be compared at this tap, a latent with NaN or
            infinity, a probe that cannot answer.
    """
    chosen = est.estimator(settings.estimator)
    if len(experts) < chosen.minimum_experts:
        raise EMoEError(
            f"The estimator '{chosen.name}' compares experts and the set has {len(experts)}: add at least "
            f"{chosen.minimum_experts - len(experts)} more with Add Expert, or choose preset custom with the "
            "estimator 'response', which needs only one."
        )
    warnings = check_comparable(experts.experts, settings.tap) if chosen.minimum_experts > 1 else []
    taken = _collect(probe, experts, settings, chosen.needs_empty, progress)
    main = taken.prompt[settings.tap]
    main_empty = taken.empty.get(settings.tap)

    values, stderr = est.summarise(chosen.compute(main, main_empty))
    if not bool(torch.isfinite(values).all()):
        raise EMoEError("The score is not a finite number; the experts' latents are too large to compare.")
    parts = est.decompose(main)
    # The middle block is the baseline's place; a pass through the whole network goes by it anyway.
    response, _ = est.summarise(est.estimator("response").compute(taken.prompt.get("mid_out", main), None))
    guidance: list[float | None] = [None] * main.shape[2]
    if "noise_pred" in taken.empty:
        guidance = _guidance(taken.prompt["noise_pred"], taken.empty["noise_pred"])
    pairwise = est.pairwise_distances(main)
    warnings += _copies(pairwise, experts)

    items = tuple(
        ItemScore(
            score=float(values[b]),
            stderr=None if stderr is None else float(stderr[b]),
            epistemic=float(parts.epistemic[b]),
            seed_variance=None if parts.seed is None else float(parts.seed[b]),
            response=float(response[b]),
            guidance=guidance[b],
        )
        for b in range(main.shape[2])
    )
    report = Report(
        settings=settings,
        items=items,
        experts=tuple(expert.name for expert in experts.experts),
        files=tuple(expert.file for expert in experts.experts),
        pairwise=tuple(tuple(float(x) for x in row) for row in pairwise),
        warnings=tuple(warnings),
        prompt=prompt,
        calibrations=experts.calibrations,
    )
    return Scored(report, taken.disagreement)


@dataclass(frozen=True, eq=False)
class _Taken:
    prompt: dict[str, Tensor]
    empty: dict[str, Tensor]
    disagreement: Tensor


def _collect(
    probe: Probe, experts: ExpertSet, settings: Settings, needs_empty: bool, progress: Progress | None
) -> _Taken:
    """Every latent that is needed, each tap as [M, K, B, D] float32 on the CPU.

    Experts are the outer loop, so that a host short of memory holds one model at a time.
    """
    passes = (False, True) if needs_empty else (False,)
    samples = settings.noise_samples
    total = len(experts) * samples * len(passes)
    rows: dict[tuple[bool, str], list[list[Tensor]]] = {}
    places: list[Tensor] = []
    done = 0
    for index, expert in enumerate(experts.experts):
        here: list[Tensor] = []
        for empty in passes:
            for sample in range(samples):
                if progress is not None:
                    progress(done, total, expert.name)
                answer = probe.latents(Request(index, sample, empty, settings.tap))
                for tap, tensors in answer.items():
                    parts = [part.detach().to(device="cpu", dtype=torch.float32) for part in tensors]
                    _check_finite(parts, expert.name, tap)
                    row = rows.setdefault((empty, tap), [[] for _ in experts.experts])[index]
                    row.append(torch.cat([part.flatten(1) for part in parts], dim=1))
                    if tap == settings.tap and not empty:
                        here.append(_largest(parts))
                done += 1
        places.append(torch.stack(here))
    if progress is not None:
        progress(done, total, "")
    # A tap that only some experts answered for free (see `Probe`) has nothing to be compared with.
    whole = {key: row for key, row in rows.items() if all(len(one) == samples for one in row)}
    stacked = {key: _stack(row, experts, key[1]) for key, row in whole.items()}
    return _Taken(
        {tap: latents for (empty, tap), latents in stacked.items() if not empty},
        {tap: latents for (empty, tap), latents in stacked.items() if empty},
        _disagreement(places),
    )


def _stack(rows: list[list[Tensor]], experts: ExpertSet, tap: str) -> Tensor:
    first = rows[0][0].shape
    for row, expert in zip(rows, experts.experts, strict=True):
        if row[0].shape != first:
            raise EMoEError(
                f"'{expert.name}' gives a latent of another size at '{tap}' than '{experts.experts[0].name}' "
                f"({row[0].shape[1]} values instead of {first[1]}); use experts of one model family."
            )
    return torch.stack([torch.stack(row) for row in rows])


def _check_finite(parts: list[Tensor], expert: str, tap: str) -> None:
    if not parts:
        raise EMoEError("No part of the conditioning is active at this step; check its timestep range and at_step.")
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        raise EMoEError(
            f"Expert '{expert}' gives NaN or infinite values at '{tap}': its weights are damaged or its precision is too "
            "low. Load another file, or start ComfyUI with a higher precision."
        )


def _largest(parts: list[Tensor]) -> Tensor:
    return max(parts, key=lambda part: part[0, 0].numel())


def _disagreement(latents: list[Tensor]) -> Tensor:
    """Relative variance across experts a place, [B, h, w], from one tensor [K, B, C, h, w] an expert."""
    stacked = torch.stack(latents)
    if len(latents) == 1:
        variance = torch.zeros_like(stacked[0])
    else:
        variance = est.across_expert_variance(stacked)
    scale = stacked.square().mean().clamp_min(torch.finfo(torch.float32).tiny)
    places = variance.mean(dim=(0, 2)) / scale
    while places.ndim > 3:  # video latents: mean over frames
        places = places.mean(dim=1)
    return places if places.ndim == 3 else places.reshape(places.shape[0], 1, -1)


def _guidance(prompt: Tensor, empty: Tensor) -> list[float | None]:
    """As the estimator, an item; None instead of an error for a prompt without any effect: only a baseline here."""
    values, _ = est.summarise(1 / est.mean_square((prompt - empty)[:1]))
    return [float(value) if bool(torch.isfinite(value)) else None for value in values]


def _copies(pairwise: Tensor, experts: ExpertSet) -> list[str]:
    names = [expert.name for expert in experts.experts]
    pairs = [
        f"'{names[i]}' and '{names[j]}'" for i in range(len(names)) for j in range(i) if float(pairwise[i, j]) < 1e-8
    ]
    if not pairs:
        return []
    return [f"These experts are the same model and cannot disagree: {', '.join(pairs)}; replace one of each pair."]
