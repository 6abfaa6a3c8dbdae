"""What a score is worth: known against unknown, seldom against never, and the order of the languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from known_truth.exposure import WELL_SHOWN, Exposure, figure

from .methods import LAYOUT, ONE_MODEL, every

ROUNDS = 1000
Found = dict[str, Any]


class Results(Exposure):
    """Figures of every column of a table, with the draws that means over several tables need."""

    def groups(self) -> dict[str, list[tuple[Any, Any]]]:
        """Figure -> pairs of prompts that score low and high; the figure is the mean of their AUROC."""
        seldom = [code for code, share in self.trained.items() if share < WELL_SHOWN]
        found = {
            "auroc": list(self.tasks().values()),
            "things": [(self.where("under_sampled"), self.where("held_out"))],
            "languages": [(self.where(*seldom), self.where(*self.unseen))],
        }
        return {name: pairs for name, pairs in found.items() if all(len(a) and len(b) for a, b in pairs) and pairs}

    def values(self, name: str) -> Found:
        """A column's figures; `order` is the rank correlation of the languages' shares and their median scores."""
        found = {
            what: float(np.mean([self._wins(name, *pair).mean() for pair in pairs]))
            for what, pairs in self.groups().items()
        }
        column = self.columns[name]
        medians = [float(np.median(column[self._of_language(code)])) for code in self.trained]
        return found | {"order": float(self.evaluation.spearman(list(self.trained.values()), medians))}

    def draws(self, name: str, what: str) -> Any:
        """A figure's difference to `layout` in resamples of the prompts."""
        rng, total, pairs = np.random.default_rng(0), np.zeros(self.rounds), self.groups()[what]
        kept: dict[bytes, Any] = {}
        for low, high in pairs:
            apart = self._wins(name, low, high) - self._wins(LAYOUT, low, high)
            drawn = [_weights(kept, rows, rng, self.rounds) for rows in (low, high)]
            total += ((drawn[0] @ apart) * drawn[1]).sum(axis=1)
        return total / len(pairs)

    def all(self) -> Found:
        """Column -> figures, and the draws of their differences to `layout`."""
        return {
            name: self.values(name) | {"draws": {what: self.draws(name, what) for what in self.groups()}}
            for name in self.columns
        }


def _weights(kept: dict[bytes, Any], rows: Any, rng: Any, rounds: int) -> Any:
    """How often each row is drawn, as a share; the same draws wherever the same rows stand."""
    key = rows.tobytes()
    if key not in kept:
        kept[key] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), rounds) / len(rows)
    return kept[key]


def pictures(table: Results, quality: dict[str, list[float]]) -> Found:
    """What the pictures themselves tell apart: the same figures for how wrong they are, where a prompt has a right one."""
    found: Found = {}
    for measure, values in quality.items():
        table.columns = {measure: -np.array([np.nan if one is None else one for one in values], dtype=float)}
        told = {
            what: float(np.mean([table.auroc_of(measure, *pair)["value"] for pair in pairs]))
            for what, pairs in table.groups().items()
            if what in ("things", "languages")
        }
        found[measure] = told | {"order": table.values(measure)["order"]}
    return found


SIDES = {"chosen": lambda split: split == 0, "confirmed": lambda split: split > 0}
WHAT = ("auroc", "things", "languages")


def summary(sets: dict[str, Found]) -> Found:
    """Means over the sets of each side, with intervals of the difference to `layout`, or to `one_model` for one model's scores.

    Args:
        sets: by name, each with its `split` and the `methods` of `Results.all`.
    """
    found: Found = {}
    for side, is_of in SIDES.items():
        mine = [one["methods"] for one in sets.values() if is_of(one["split"])]
        if mine:
            names = [name for name, one in sets.items() if is_of(one["split"])]
            found[side] = {"sets": names, "methods": {name: _mean(mine, name) for name in mine[0]}}
    if found:
        first = found[next(iter(found))]["methods"]
        found["best"] = {what: max(first, key=lambda name: first[name].get(what, 0)) for what in WHAT}
    return found


def _mean(sets: Sequence[Found], name: str) -> Found:
    """A score's mean figures over some sets."""

    def mean(of: str, what: str) -> float:
        return float(np.mean([one[of][what] for one in sets]))

    rivals = {"over_layout": LAYOUT} | ({"over_one_model": ONE_MODEL} if every()[name].alone else {})
    told = [what for what in WHAT if all(what in one[name] for one in sets)]
    found: Found = {what: mean(name, what) for what in (*told, "order")}
    for way, rival in rivals.items():
        found[way] = {
            what: figure(
                mean(name, what) - mean(rival, what),
                np.mean([one[name]["draws"][what] - one[rival]["draws"][what] for one in sets], axis=0),
            )
            for what in told
        }
    return found


def plain(sets: dict[str, Found]) -> dict[str, Found]:
    """The sets' figures without the draws, for JSON."""
    return {
        name: {
            **one,
            "methods": {
                method: {what: value for what, value in figures.items() if what != "draws"}
                for method, figures in one["methods"].items()
            },
        }
        for name, one in sets.items()
    }


# --- tables ----------------------------------------------------------------------------------------------

TITLES = {"chosen": "where the choice was made", "confirmed": "the other splits"}


def alternatives(found: Found) -> list[str]:
    """Every score: its price, and its figures on both sides; before the table, which sets they are from."""
    told = found["alternatives"]
    where = " ".join(f"{TITLES[side].capitalize()}: {'; '.join(told[side]['sets'])}." for side in SIDES if side in told)
    return [where, "", *_compared(told, LAYOUT, "over_layout", list(every()))]


def alternatives_one(found: Found) -> list[str]:
    """The same for the scores of one model, against the preset `one_model`."""
    alone = [name for name, method in every().items() if method.alone]
    return _compared(found["alternatives"], ONE_MODEL, "over_one_model", alone)


def _compared(told: Found, rival: str, way: str, names: Sequence[str]) -> list[str]:
    from known_truth.document import table

    sides, methods, rows = [side for side in SIDES if side in told], every(), []
    first = told[sides[0]]["methods"]
    shown = [name for name in names if name in first]
    for name in sorted(shown, key=lambda name: (name != rival, -first[name]["auroc"])):
        ways = [told[side]["methods"][name] for side in sides]
        rows.append(
            [
                PRESETS.get(name, name),
                f"{methods[name].price:.3g}",
                "yes" if methods[name].references else "",
                *(f"{one['auroc']:.3f}" for one in ways),
                *("" if name == rival else _span(one[way]["auroc"]) for one in ways),
                *(_together([one.get(what) for one in ways], "{:.2f}") for what in WHAT[1:]),
                _together([one["order"] for one in ways], "{:+.2f}"),
            ]
        )
    head = ["score", "calls", "reference prompts", *(f"AUROC, {TITLES[side]}" for side in sides)]
    head += [f"over {PRESETS[rival]}, {TITLES[side]}" for side in sides]
    return table([*head, *ORDER], rows)


ORDER = ("never against seldom: things", "languages", "rank correlation with share")
PRESETS = {LAYOUT: "`layout`", ONE_MODEL: "guidance of one (`one_model`)"}


def _span(one: Found) -> str:
    return f"{one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"


def _together(values: Sequence[float | None], how: str) -> str:
    return ", ".join("" if value is None else how.format(value) for value in values)


def alternatives_sets(found: Found) -> list[str]:
    """Set by set: `layout`, the best of each figure, and what the pictures themselves tell apart."""
    from known_truth.document import table

    best = list(dict.fromkeys([LAYOUT, *found["alternatives"]["best"].values()]))
    rows = []
    for name, one in found["sets"].items():
        for method in best:
            figures = one["methods"][method]
            rows.append(
                [
                    name if method == LAYOUT else "",
                    PRESETS.get(method, method),
                    f"{figures['auroc']:.3f}",
                    *(f"{figures[what]:.2f}" for what in WHAT[1:]),
                    f"{figures['order']:+.2f}",
                ]
            )
        if "pictures" in one:
            drawn = one["pictures"]["rank"]
            rows.append(
                [
                    "",
                    "how wrong the pictures are",
                    "",
                    *(f"{drawn[what]:.2f}" for what in WHAT[1:]),
                    f"{drawn['order']:+.2f}",
                ]
            )
    return table(["experts", "score", "AUROC", *ORDER], rows)
