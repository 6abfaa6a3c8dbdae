"""What sets of experts are worth, as users have them."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

ALPHA = 0.1
REFERENCES = 100
SCORE = "centred_layout"
QUICK_SETS = ("four fine-tunes", "two fine-tunes", "each merged half with the first", "one and its fp8 copy")


def expert(core: ModuleType, name: str, weights: Any) -> Any:
    """What the U-Net's weights tell, as of an expert that was loaded."""
    unet = {key.removeprefix("unet."): weight for key, weight in weights.items() if not key.startswith("text.")}
    mark = core.experts.signature.signature(unet.items())
    return core.experts.sets.Expert(
        name, None, None, mark, mark.digest, "", "small", "EPS", "float32", "", getattr(weights, "kind", "")
    )


class Measured:
    """A source whose experts' answers are kept, since most sets share experts."""

    def __init__(self, source: Any, core: ModuleType) -> None:
        self.source, self.core = source, core
        self._answers: dict[int, tuple[Any, Any]] = {}

    def answers(self, weights: Any) -> Any:
        """The answers of an expert; the weights are kept too, so that their id stays theirs."""
        if id(weights) not in self._answers:
            self._answers[id(weights)] = (weights, self.source.answers(weights))
        return self._answers[id(weights)][1]

    def layout(self, experts: Sequence[Any]) -> Any:
        """The products that `layout` reads."""
        from known_truth.pools import products

        return products(self.core.choosing.products.Products, [self.answers(one).layout for one in experts])

    def groups(self, values: Any) -> tuple[Any, dict[str, Any]]:
        """Values of the fresh known prompts, and of the unknown ones by group."""
        rows = dict(zip(self.source.groups, self.source.parts(values), strict=True))
        return rows["fresh"], {group: rows[group] for group in self.source.unknown}

    def auroc(self, values: Any, unseen: bool = False) -> float:
        """The mean over the groups of unknown prompts; with `unseen`, on those that no choice has seen."""
        from adaptive import auroc

        fresh, others = self.groups(values)
        if unseen:
            others = {group: part[is_kept_back(np.arange(len(part)))] for group, part in others.items()}
        return float(np.mean([auroc(fresh, part) for part in others.values()]))


def is_kept_back(place: Any) -> Any:
    """Whether the prompt at this place of an unknown group is one that no choice sees."""
    return place % 4 > 1


def worth(measured: Measured, experts: Sequence[Any], splits: int, full: Any | None = None) -> dict[str, Any]:
    """What a set of experts is worth.

    Args:
        full: the scores of the set that it is compared with.
    """
    from scipy.stats import spearmanr

    found = measured.layout(experts)
    score = found.scores(SCORE)
    numerator, denominator = found.numerator().mean(axis=1), found.denominator().mean(axis=1)
    kin = measured.core.experts.kinship.kinship([expert(measured.core, str(n), one) for n, one in enumerate(experts)])
    number = measured.core.choosing.effective.effective_number(found.values, kin.same())
    return {
        "experts": len(experts),
        "effective_number": number.value,
        "interval": [number.low, number.high],
        "auroc": measured.auroc(score),
        "auroc_of_numerator": measured.auroc(numerator),
        "auroc_of_denominator": measured.auroc(-denominator),
        "score_and_numerator": float(spearmanr(score, numerator).statistic),
        "score_and_denominator": float(spearmanr(score, -denominator).statistic),
        "rank_correlation": None if full is None else float(spearmanr(score, full).statistic),
        **gate(measured, score, splits),
    }


def gate(measured: Measured, score: Any, splits: int) -> dict[str, Any]:
    """The Gate's promise at `ALPHA` over random splits of the known prompts, and the share of unknown ones that it blocks."""
    from adaptive import promise

    known = measured.source.split(score)[0]
    others = np.concatenate(list(measured.groups(score)[1].values()))
    rng, blocked, caught = np.random.default_rng(0), 0, []
    for _ in range(splits):
        order = rng.permutation(len(known))
        ranked = np.sort(known[order[:REFERENCES]])
        fresh = known[order[REFERENCES]]
        blocked += bool((1 + (ranked >= fresh).sum()) / (REFERENCES + 1) <= ALPHA)
        p_values = (1 + REFERENCES - np.searchsorted(ranked, others, "left")) / (REFERENCES + 1)
        caught.append(float((p_values <= ALPHA).mean()))
    return {"promise": promise(ALPHA, blocked, splits), "blocked_unknown": float(np.mean(caught))}


def sets(measured: Measured, splits: int, quick: bool) -> dict[str, Any]:
    """Every kind of set."""
    from known_truth.variants import kinds

    experts = list(measured.source.experts.values())
    full = measured.layout(experts[:4]).scores(SCORE)
    made: dict[str, Any] = kinds(experts[:4])
    if quick:
        made = {name: made[name] for name in QUICK_SETS}
    if len(experts) >= 8:
        made["eight fine-tunes"] = lambda: experts[:8]
    made |= {name: lambda others=others: others for name, others in measured.source.others.items()}
    found = {}
    for name, make in made.items():
        found[name] = worth(measured, make(), splits, full)
        print(f"  {measured.source.name}: {line(name, found[name])}", flush=True)
    return found


def line(name: str, one: dict[str, Any]) -> str:
    """For a person."""
    return (
        f"{name:34} AUROC {one['auroc']:.3f} (numerator {one['auroc_of_numerator']:.3f}, denominator "
        f"{one['auroc_of_denominator']:.3f}), effective number {one['effective_number']:.2f}, blocked: known "
        f"{one['promise']['blocked']:.3f}{'' if one['promise']['holds'] else ' BROKEN'}, unknown {one['blocked_unknown']:.3f}"
    )


def realistic(found: dict[str, Any]) -> list[str]:
    """All sets as a table of docs/validity.md."""
    from known_truth.document import table

    rows = []
    for source, every in found.get("sets", {}).items():
        for name, one in every.items():
            low, high = one["interval"]
            span = "" if low is None else f" ({low:.2f} to {high:.2f})"
            promise = one["promise"]
            rows.append(
                [
                    source,
                    name,
                    f"{one['auroc']:.3f}",
                    f"{one['auroc_of_numerator']:.2f}",
                    f"{one['auroc_of_denominator']:.3f}",
                    f"{one['rank_correlation']:.2f}",
                    f"{one['effective_number']:.2f}{span}",
                    f"{100 * promise['blocked']:.1f} %{'' if promise['holds'] else ' (broken)'}",
                    f"{100 * one['blocked_unknown']:.0f} %",
                ]
            )
    head = ["experts", "set", "AUROC", "numerator", "denominator", "rank corr.", "effective number", "known", "unknown"]
    return table(head, rows) if rows else []
