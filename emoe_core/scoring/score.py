"""Scoring: asks a probe for every expert's latents and makes a report of them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import EMoEError
from ..experts.sets import ExpertSet
from ..records.message import Code, Message
from ..records.report import Estimate, ItemScore, Maps, Report, Routing
from ..records.settings import Settings
from . import estimators as est
from . import variance as var
from .collect import Progress, Reading, Taken, collect, measured_of
from .comparable import check_comparable
from .presets import NOISE_PRED, is_hidden
from .probe import Probe
from .variance import disagreement

#: Mean squared distance of two experts, over the mean square of what the prompt changes, that is rounding.
SAME = 1e-8
BASELINES = ("response", "guidance")


@dataclass(frozen=True, eq=False)
class Scored:
    """A report and its maps."""

    report: Report
    maps: Maps


def score_many(
    probe: Probe,
    experts: ExpertSet,
    settings: Sequence[Settings],
    prompts: Sequence[str],
    progress: Progress | None = None,
    also: Sequence[Reading] = (),
    brief: bool = False,
) -> list[Scored]:
    """Scores each of the probe's prompts; every expert runs once for all of them.

    The reports hold every estimator that the measured latents allow (`ItemScore.all`).

    Args:
        settings: one per prompt. All of them go into the reports; tap, estimator and number of noise samples are read from
            the first and must be the same in all.
        prompts: the texts, for reports only.
        also: more taps and estimators to measure in the same pass; one that is undefined for a prompt is left out of its
            report. Estimators at the score's own tap are included anyway, except those that need the empty prompt when
            nothing else needs it.
        brief: measure only what was asked for and the baselines, when only scores are kept.

    Raises:
        EMoEError: too few experts for an estimator, experts that cannot be compared at a tap, a latent with NaN or
            infinity, a probe that cannot answer.
    """
    main = settings[0]
    wanted = [(main.tap, main.estimator), *also]
    warnings: list[Message] = []
    for tap, name in wanted:
        chosen = _enough_experts(name, experts)
        if chosen.minimum_experts > 1:
            warnings += check_comparable(experts.experts, tap)
    taken = collect(probe, experts, main.noise_samples, wanted, len(prompts), progress)
    comparable = frozenset(tap for tap in taken.prompts[0] if _comparable(experts, tap))
    return [
        _scored(experts, one, text, number, taken, list(dict.fromkeys(warnings)), wanted, comparable, brief)
        for number, (one, text) in enumerate(zip(settings, prompts, strict=True))
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
    number: int,
    taken: Taken,
    warnings: list[Message],
    wanted: Sequence[Reading],
    comparable: frozenset[str],
    brief: bool,
) -> Scored:
    latents = taken.prompts[number]
    measured = {tap: measured_of(rows, taken.empty.get(tap), experts, tap) for tap, rows in latents.items()}
    main = measured[settings.tap]
    asked = {tap: {name for where, name in wanted if where == tap} for tap in measured}
    own = {settings.tap: settings.estimator}
    everything = {tap: _estimates(m, asked[tap], own.get(tap), tap in comparable, brief) for tap, m in measured.items()}
    parts = var.decompose(main.prompt)
    pairwise = var.pairwise_distances(main.prompt)
    alike = _alike(main, settings.tap)
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
        messages=(*warnings, *_copies(alike, experts)),
        prompt=text,
        calibrations=experts.calibrations,
        alike=alike,
    )
    if taken.routing is not None:
        report = _with_routing(report, taken.routing)
    reads = est.estimator(settings.estimator)
    empty = taken.empty[settings.tap] if reads.needs_empty else None
    denoised = taken.denoised[number] if taken.denoised else None
    return Scored(report, Maps(_places(latents[settings.tap], empty, reads.layout), denoised))


def _with_routing(report: Report, routing: Routing) -> Report:
    """The report with its routing, and each item's entropy among its baselines as estimator `routing_entropy`."""
    items = tuple(
        replace(item, all={**item.all, "routing": {"routing_entropy": Estimate(entropy, None, None)}})
        for item, entropy in zip(report.items, routing.items, strict=True)
    )
    return replace(report, items=items, routing=routing)


def _estimates(
    measured: est.Measured, asked: set[str], own: str | None, comparable: bool, brief: bool
) -> dict[str, list[Estimate]]:
    """Every estimator that these latents allow, per item; an error only for the score's own and the baseline."""
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
            if name in (own, "response"):
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
        with suppress(EMoEError):  # undefined where the experts cancel out in their mean
            seeds = [float(seed) for seed in one.compute(est.noise_as_experts(measured))[0]]
    return [
        Estimate(float(values[b]), None if stderr is None else float(stderr[b]), seeds[b]) for b in range(len(values))
    ]


def _places(latents: list[list[Tensor]], empty: list[list[Tensor]] | None, layout: bool) -> Tensor:
    """The map of the largest conditioning entry, minus the empty prompt's latents where it has the same entry."""
    largest = max(range(len(latents[0])), key=lambda entry: latents[0][entry][0, 0, 0].numel())
    prompt = [parts[largest] for parts in latents]
    if empty is None or any(len(parts) <= largest or parts[largest].shape != prompt[0].shape for parts in empty):
        return disagreement(prompt, layout=layout)
    return disagreement(prompt, [parts[largest] for parts in empty], layout)


def _alike(measured: est.Measured, tap: str) -> tuple[tuple[int, int], ...]:
    """Pairs of experts that give the same latents but for rounding."""
    told = measured.prompt if measured.empty is None else measured.prompt - measured.empty
    flat = told.float().flatten(1)
    # Of a prediction without the empty prompt's, nearly all may be the noise that every expert was given.
    allowed = SAME if measured.empty is not None or is_hidden(tap) else SAME**2
    bound = allowed * float(flat.square().mean())
    return tuple(
        (i, j) for i in range(len(flat)) for j in range(i) if float((flat[i] - flat[j]).square().mean()) <= bound
    )


def _copies(alike: Sequence[tuple[int, int]], experts: ExpertSet) -> list[Message]:
    names = [expert.name for expert in experts.experts]
    pairs = [Message.of(Code.PAIR, one=names[i], other=names[j]) for i, j in alike]
    return [Message.of(Code.COPIES, pairs=pairs)] if pairs else []
