"""Scoring: ask a probe for every expert's latents, then make a report of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from . import estimators as est
from . import variance as var
from .collect import Progress, Reading, Taken, collect, measured_of
from .errors import EMoEError
from .experts import ExpertSet, check_comparable
from .presets import NOISE_PRED
from .probe import Probe
from .report import Estimate, ItemScore, Report, Settings

BASELINES = ("response", "guidance")


@dataclass(frozen=True, eq=False)
class Scored:
    """A report and the map of where the experts disagree.

    Attributes:
        disagreement: variance across experts at each place of the tap, relative to the mean square, [B, h, w].
    """

    report: Report
    disagreement: Tensor


def score(
    probe: Probe,
    experts: ExpertSet,
    settings: Settings,
    prompt: str = "",
    progress: Progress | None = None,
    also: Sequence[Reading] = (),
) -> Scored:
    """Score the probe's one prompt (a batch of latents gives a score an item); see `score_many`."""
    return score_many(probe, experts, [settings], [prompt], progress, also)[0]


def score_many(
    probe: Probe,
    experts: ExpertSet,
    settings: Sequence[Settings],
    prompts: Sequence[str],
    progress: Progress | None = None,
    also: Sequence[Reading] = (),
    brief: bool = False,
) -> list[Scored]:
    """Score each of the probe's prompts; every expert is run once for all of them.

    Every estimator that can be had from the latents that were measured is in the report (`ItemScore.all`).

    Args:
        settings: one a prompt. Tap, estimator and number of noise samples are read from the first, and all of it goes
            into the reports; they must not differ in these three.
        prompts: the texts, for reports only.
        also: more taps and estimators to measure in the same pass. Estimators of the score's own tap come without asking,
            except for those that need the empty prompt when nothing else needs it.
        brief: measure only what was asked for and the baselines, where scores are all that is kept.

    Raises:
        EMoEError: too few experts for an estimator, experts that cannot be compared at a tap, a latent with NaN or
            infinity, a probe that cannot answer.
    """
    main = settings[0]
    wanted = [(main.tap, main.estimator), *also]
    warnings: list[str] = []
    for tap, name in wanted:
        chosen = _enough_experts(name, experts)
        if chosen.minimum_experts > 1:
            warnings += check_comparable(experts.experts, tap)
    taken = collect(probe, experts, main.noise_samples, wanted, len(prompts), progress)
    comparable = frozenset(tap for tap in taken.prompts[0] if _comparable(experts, tap))
    return [
        _scored(experts, one, text, latents, taken, list(dict.fromkeys(warnings)), wanted, comparable, brief)
        for one, text, latents in zip(settings, prompts, taken.prompts, strict=True)
    ]


def _enough_experts(name: str, experts: ExpertSet) -> est.Estimator:
    chosen = est.estimator(name)
    if len(experts) < chosen.minimum_experts:
        raise EMoEError(
            f"The estimator '{chosen.name}' compares experts and the set has {len(experts)}: add at least "
            f"{chosen.minimum_experts - len(experts)} more with Add Expert, or choose the preset one_model, "
            "which needs only one."
        )
    return chosen


def _scored(
    experts: ExpertSet,
    settings: Settings,
    text: str,
    latents: dict[str, list[list[Tensor]]],
    taken: Taken,
    warnings: list[str],
    wanted: Sequence[Reading],
    comparable: frozenset[str],
    brief: bool,
) -> Scored:
    measured = {tap: measured_of(rows, taken.empty.get(tap), experts, tap) for tap, rows in latents.items()}
    main = measured[settings.tap]
    asked = {tap: {name for where, name in wanted if where == tap} for tap in measured}
    everything = {tap: _estimates(m, asked[tap], tap in comparable, brief) for tap, m in measured.items()}
    parts = var.decompose(main.prompt)
    pairwise = var.pairwise_distances(main.prompt)
    baseline = everything.get("mid_out", everything[settings.tap])["response"]
    guidance = everything.get(NOISE_PRED, {}).get("guidance")
    chosen = everything[settings.tap][settings.estimator]
    items = tuple(
        ItemScore(
            score=chosen[b].score,
            stderr=chosen[b].stderr,
            epistemic=float(parts.epistemic[b]),
            seed_variance=None if parts.seed is None else float(parts.seed[b]),
            response=baseline[b].score,
            guidance=None if guidance is None else guidance[b].score,
            all={tap: {name: found[b] for name, found in here.items()} for tap, here in everything.items()},
        )
        for b in range(main.prompt.shape[2])
    )
    report = Report(
        settings=settings,
        items=items,
        experts=tuple(expert.name for expert in experts.experts),
        files=tuple(expert.file for expert in experts.experts),
        pairwise=tuple(tuple(float(x) for x in row) for row in pairwise),
        warnings=(*warnings, *_copies(pairwise, experts)),
        prompt=text,
        calibrations=experts.calibrations,
    )
    return Scored(report, _disagreement([_largest(parts) for parts in latents[settings.tap]]))


def _estimates(measured: est.Measured, asked: set[str], comparable: bool, brief: bool) -> dict[str, list[Estimate]]:
    """Every estimator that these latents allow, an item; an error only for one that was asked for."""
    found: dict[str, list[Estimate]] = {}
    for name, one in est.ESTIMATORS.items():
        if brief and name not in asked and name not in BASELINES:
            continue
        if name not in asked and (
            (one.needs_empty and measured.empty is None) or (one.minimum_experts > 1 and not comparable)
        ):
            continue
        try:
            found[name] = _estimate(one, measured)
        except EMoEError:
            if name in asked or name == "response":
                raise
    return found


def _comparable(experts: ExpertSet, tap: str) -> bool:
    if len(experts) < 2:
        return False
    try:
        check_comparable(experts.experts, tap)
    except EMoEError:
        return False
    return True


def _estimate(one: est.Estimator, measured: est.Measured) -> list[Estimate]:
    values, stderr = var.summarise(one.compute(measured))
    if not bool(torch.isfinite(values).all()):
        raise EMoEError(
            f"The score '{one.name}' is not a finite number; the experts' latents are too large to compare."
        )
    seeds: list[float | None] = [None] * len(values)
    if one.minimum_experts > 1 and measured.prompt.shape[1] > 1:
        with suppress(EMoEError):  # undefined for the mean of the experts, where they cancel out
            seeds = [float(seed) for seed in one.compute(est.noise_as_experts(measured))[0]]
    return [
        Estimate(float(values[b]), None if stderr is None else float(stderr[b]), seeds[b]) for b in range(len(values))
    ]


def _largest(parts: list[Tensor]) -> Tensor:
    return max(parts, key=lambda part: part[0, 0, 0].numel())


def _disagreement(latents: list[Tensor]) -> Tensor:
    """Relative variance across experts a place, [B, h, w], from one tensor [K, B, C, h, w] an expert."""
    stacked = torch.stack(latents)
    if len(latents) == 1:
        variance = torch.zeros_like(stacked[0])
    else:
        variance = var.across_expert_variance(stacked)
    scale = stacked.square().mean().clamp_min(torch.finfo(torch.float32).tiny)
    places = variance.mean(dim=(0, 2)) / scale
    while places.ndim > 3:  # video latents: mean over frames
        places = places.mean(dim=1)
    return places if places.ndim == 3 else places.reshape(places.shape[0], 1, -1)


def _copies(pairwise: Tensor, experts: ExpertSet) -> list[str]:
    names = [expert.name for expert in experts.experts]
    pairs = [
        f"'{names[i]}' and '{names[j]}'" for i in range(len(names)) for j in range(i) if float(pairwise[i, j]) < 1e-8
    ]
    if not pairs:
        return []
    return [f"These experts are the same model and cannot disagree: {', '.join(pairs)}; replace one of each pair."]
