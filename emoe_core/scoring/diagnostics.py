"""What a set of experts is good for: kinship, copies, and which taps and estimators are meaningful."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import BRIEF, EMoEError, plain
from ..experts.kin import Kin
from ..experts.kinship import kinship
from ..experts.sets import Expert, ExpertSet
from ..experts.signature import RELATED, relatedness
from ..records.message import Code, Message, dump_all
from ..records.report import Report
from ..stats.effective import Interval
from .comparable import check_comparable
from .estimators import ESTIMATORS
from .presets import DEFAULT, MIDDLE, NOISE_PRED, PRESETS, is_hidden, listed, resolve_tap
from .savings import Price

#: `_copies` says these, with how it knows.
_COPIES = frozenset({Code.COPIES, Code.NEAR_COPIES})
#: Said last: they ask for nothing to be done about the set.
_LATER = frozenset({Code.SPLIT, Code.WORDING_UNKNOWN})
#: Share of the latent's mean square below which two experts hardly disagree.
NEARLY_SAME_LATENTS = 1e-4


@dataclass(frozen=True)
class Diagnosis:
    """The findings on a set of experts.

    Attributes:
        names: the experts' names.
        kinship: the correlation of each pair's weights, [M, M]; 1 on the diagonal, None where it is unknown.
        distance: the mean squared distance of each pair's latents over the mean square, mean over the prompts, [M, M];
            None where no prompts were scored.
        preset: the preset that suits the set, or None where no ensemble score does.
        said, details: what was found, for a person, and what else is known of the experts; `lines` is all of it, with what
            matters most first.
        kin: who descends from whom, merges, and the effective number of experts by their weights.
        answers: the effective number of experts by their answers to the prompts; None where none were asked.
        findings: what the set gets wrong.
        price: what a score costs; None where that was not asked.
    """

    names: tuple[str, ...]
    kinship: tuple[tuple[float | None, ...], ...]
    distance: tuple[tuple[float, ...], ...] | None
    preset: str | None
    said: tuple[str, ...]
    details: tuple[str, ...]
    kin: Kin
    answers: Interval | None = None
    findings: tuple[Message, ...] = ()
    price: Price | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        return (*self.said, *(() if self.price is None else self.price.lines()), *self.details)

    def with_price(self, price: Price) -> "Diagnosis":
        """The same with a price."""
        return replace(self, price=price)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "names": list(self.names),
            "kinship": [list(row) for row in self.kinship],
            "distance": None if self.distance is None else [list(row) for row in self.distance],
            "preset": self.preset,
            "lines": list(self.lines),
            "kin": self.kin.as_dict(),
            "answers": None if self.answers is None else self.answers.as_dict(),
            "findings": dump_all(self.findings),
            "price": None if self.price is None else self.price.as_dict(),
        }


def suitable_preset(experts: ExpertSet, taps: Sequence[str], among: Sequence[str] = (DEFAULT, "fast")) -> str | None:
    """The first of these presets by which the experts can be compared, or None."""
    return next((name for name in among if _refusal(experts, taps, PRESETS[name].tap) is None), None)


def diagnose(
    experts: ExpertSet,
    taps: Sequence[str],
    reports: Sequence[Report] = (),
    kin: Kin | None = None,
    answers: Interval | None = None,
    findings: Sequence[Message] = (),
) -> Diagnosis:
    """Examines a set of experts.

    Args:
        taps: the taps that every expert has.
        reports: scores of some prompts by these experts, for the distances between their latents.
        kin: how they are related, if the caller knows.
        answers, findings: see `Diagnosis`.

    Raises:
        EMoEError: there are no experts.
    """
    if len(experts) == 0:
        raise EMoEError("Expert Diagnostics has no experts; connect Demo Experts, Load Experts or Add Expert.")
    all_of_them = experts.experts
    correlation = tuple(
        tuple(1.0 if a is b else relatedness(a.signature, b.signature) for b in all_of_them) for a in all_of_them
    )
    distance = None
    if reports:
        mean = np.mean([report.pairwise for report in reports], axis=0)
        distance = tuple(tuple(float(value) for value in row) for row in mean)
    preset = suitable_preset(experts, taps)
    kin = kinship(all_of_them) if kin is None else kin
    said = [
        _advice(len(experts), preset),
        *(str(one) for one in findings if one.code not in (*_COPIES, *_LATER)),
        *_copies(all_of_them, correlation, kin, distance),
        f"{len(experts)} experts of family {all_of_them[0].family}",
        *_lineage(all_of_them, correlation),
        *_tree(kin),
        *_effective(kin, answers),
        *_nearest(all_of_them, distance),
        *(str(one) for one in findings if one.code in _LATER),
    ]
    details = [
        "details:",
        *(f"- {_about(expert)}" for expert in all_of_them),
        *_taps(experts, taps),
        *_estimators(all_of_them),
        *_scores(reports),
    ]
    names = tuple(expert.name for expert in all_of_them)
    return Diagnosis(names, correlation, distance, preset, tuple(said), tuple(details), kin, answers, tuple(findings))


def _about(expert: Expert) -> str:
    file = f", {expert.file.split(' ')[0]}" if expert.file else ""
    return f"{expert.name}: predicts {expert.prediction}, computes in {expert.dtype}{file}, identity {expert.identity[:12]}"


def _lineage(experts: Sequence[Expert], kinship: Sequence[Sequence[float | None]]) -> list[str]:
    if len(experts) < 2:
        return []
    clans: list[list[int]] = []
    for i in range(len(experts)):
        own = [clan for clan in clans if any((kinship[i][j] or 0.0) >= RELATED for j in clan)]
        clans = [clan for clan in clans if clan not in own] + [[*(j for clan in own for j in clan), i]]
    pairs = [known for i, j in combinations(range(len(experts)), 2) if (known := kinship[i][j]) is not None]
    if len(pairs) < len(experts) * (len(experts) - 1) // 2:
        return ["lineage: unknown, since weights are packed in a form that cannot be read"]
    span = f"weight correlations {min(pairs):.3f} to {max(pairs):.3f}"
    if len(clans) == 1:
        return [f"lineage: all descend from one base ({span})"]
    named = "; ".join(", ".join(experts[j].name for j in sorted(clan)) for clan in sorted(clans))
    return [f"lineage: {len(clans)} unrelated groups ({span}): {named}"]


def _tree(kin: Kin) -> list[str]:
    lines = kin.lines()
    return ["tree of relatives:", *lines] if lines else []


def _effective(kin: Kin, answers: Interval | None) -> list[str]:
    count = len(kin.names)
    if count < 2:
        return []
    if kin.effective is not None:
        lines = [f"effective number of experts by their weights: {kin.effective} of {count}"]
    else:
        patched = any(one.kind == "patches" for one in kin.copies)
        why = "what patches (LoRAs) change is not read" if patched else "some weights cannot be read exactly"
        lines = [f"effective number of experts by their weights: unknown, since {why}"]
    if answers is not None:
        lines.append(f"effective number of experts by their answers: {answers} of {count}, {answers.units} prompts")
    return lines


def _copies(
    experts: Sequence[Expert],
    kinship: Sequence[Sequence[float | None]],
    kin: Kin,
    distance: Sequence[Sequence[float]] | None,
) -> list[str]:
    found = []
    close = {(one.one, one.other) for one in kin.copies if one.kind == "near"}
    for i, j in combinations(range(len(experts)), 2):
        a, b = experts[i], experts[j]
        pair = f"'{a.name}' and '{b.name}'"
        if a.identity == b.identity:
            found.append(f"copy: {pair} are the same model and cannot disagree; replace one")
        elif distance is not None and distance[i][j] < NEARLY_SAME_LATENTS:
            found.append(
                f"near-identical: the latents of {pair} differ by {distance[i][j]:.1e} of their size; replace one"
            )
        elif a.signature.digest == b.signature.digest:
            found.append(f"{pair} share their weights and differ in patches (LoRAs) only")
        elif (i, j) in close or (j, i) in close:
            found.append(
                f"near-identical: the weights of {pair} correlate by {kinship[i][j]:.6f}; they will hardly disagree"
            )
    return found


def _nearest(experts: Sequence[Expert], distance: Sequence[Sequence[float]] | None) -> list[str]:
    if distance is None or len(experts) < 3:
        return []
    pairs = list(combinations(range(len(experts)), 2))
    near, far = (choose(pairs, key=lambda p: distance[p[0]][p[1]]) for choose in (min, max))
    return [
        f"{word} pair by their latents: '{experts[i].name}' and '{experts[j].name}' ({distance[i][j]:.3g})"
        for word, (i, j) in (("closest", near), ("farthest", far))
    ]


def _scores(reports: Sequence[Report]) -> list[str]:
    if not reports:
        return []
    how = reports[0].settings
    return [
        f"uncertainty of each prompt ({how.estimator} at {how.tap}, {how.noise_samples} noise samples), highest first:",
        *(
            f"- '{plain(one.prompt, BRIEF)}': {one.score:.3g}, response {one.items[0].response:.3g}"
            for one in sorted(reports, key=lambda one: -one.score)
        ),
    ]


def _refusal(experts: ExpertSet, taps: Sequence[str], tap: str) -> str | None:
    """Why these experts cannot be compared at a tap, or None."""
    if len(experts) < 2:
        return "a single expert cannot disagree with itself"
    try:
        check_comparable(experts.experts, resolve_tap(tap, taps))
    except EMoEError as error:
        return str(error)
    return None


def _taps(experts: ExpertSet, taps: Sequence[str]) -> list[str]:
    hidden = [tap for tap in taps if is_hidden(tap)]
    lines = []
    for names, tap in ((hidden, MIDDLE), ([NOISE_PRED] if NOISE_PRED in taps else [], NOISE_PRED)):
        if names:
            refusal = _refusal(experts, taps, tap)
            lines.append(f"taps {listed(names)}: " + ("good" if refusal is None else f"not for this set. {refusal}"))
    if not hidden:
        lines.append("taps inside the network: none; this family has no patch points that EMoE knows")
    return lines


def _estimators(experts: Sequence[Expert]) -> list[str]:
    own = sum(bool(expert.clip_identity) for expert in experts)
    how = "each through its own text encoder" if own == len(experts) else f"{own} of {len(experts)} have a text encoder"
    centred = ", ".join(name for name, one in ESTIMATORS.items() if one.needs_empty)
    alone = ", ".join(name for name, one in ESTIMATORS.items() if one.minimum_experts == 1)
    need = f"estimators {centred} need the empty prompt: " + (
        how if own else "connect one to Uncertainty Score's empty_prompt"
    )
    return [need, f"estimators without an ensemble, for a single expert too: {alone}"]


def _advice(count: int, preset: str | None) -> str:
    if preset is not None:
        return f"advice: preset {preset}"
    if count < 2:
        return "advice: add a second expert; until then only the estimators without an ensemble work"
    return "advice: no preset fits; make sets of experts with one prediction type, or of one base"
