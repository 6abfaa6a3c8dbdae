"""What a score is worth: known against unknown, seldom against never, and the order of the languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from known_truth.exposure import WELL_SHOWN, Exposure, figure

from .methods import LAYOUT, every

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
        """Column -> figures, and differences to `layout` with their draws."""
        found: Found = {}
        for name in self.columns:
            found[name] = self.values(name)
            if name != LAYOUT:
                found[name]["draws"] = {what: self.draws(name, what) for what in self.groups()}
        return found


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
    """Means over the sets of each side, with intervals of the difference to `layout`.

    Args:
        sets: by name, each with its `split` and the `methods` of `Results.all`.
    """
    found: Found = {}
    for side, is_of in SIDES.items():
        mine = [one["methods"] for one in sets.values() if is_of(one["split"])]
        if not mine:
            continue
        layout = _mean([one[LAYOUT] for one in mine], {})
        found[side] = {
            "sets": [name for name, one in sets.items() if is_of(one["split"])],
            "methods": {name: _mean([one[name] for one in mine], layout) for name in mine[0]},
        }
    if found:
        first = found[next(iter(found))]["methods"]
        found["best"] = {what: max(first, key=lambda name: first[name].get(what, 0)) for what in WHAT}
    return found


def _mean(figures: Sequence[Found], layout: Found) -> Found:
    found = {
        what: float(np.mean([one[what] for one in figures]))
        for what in (*WHAT, "order")
        if all(what in one for one in figures)
    }
    if "draws" in figures[0]:
        for what in figures[0]["draws"]:
            draws = np.mean([one["draws"][what] for one in figures], axis=0)
            found[f"{what}_over_layout"] = figure(found[what] - layout[what], draws)
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


def alternatives(found: Found) -> list[str]:
    """Every score: its price, and its figures on both sides."""
    from known_truth.document import table

    told = found["alternatives"]
    sides = [side for side in SIDES if side in told]
    methods = every()
    first = told[sides[0]]["methods"]
    rows = []
    for name in sorted(first, key=lambda name: (name != LAYOUT, -first[name]["auroc"])):
        ways = [told[side]["methods"][name] for side in sides]
        rows.append(
            [
                f"`{name}`" if name == LAYOUT else name,
                f"{methods[name].price:.2g}",
                "yes" if methods[name].references else "",
                *(f"{one['auroc']:.3f}" for one in ways),
                *(_difference(one) for one in ways),
                *(_together([one.get(what) for one in ways], "{:.2f}") for what in WHAT[1:]),
                _together([one["order"] for one in ways], "{:+.2f}"),
            ]
        )
    titles = {"chosen": "where the choice was made", "confirmed": "the other splits"}
    head = ["score", "calls", "reference prompts", *(f"AUROC, {titles[side]}" for side in sides)]
    head += [f"over `layout`, {titles[side]}" for side in sides]
    head += ["never against seldom: things", "languages", "rank correlation with share"]
    return table(head, rows)


def _difference(one: Found) -> str:
    figures = one.get("auroc_over_layout")
    return f"{figures['value']:+.3f} ({figures['low']:+.3f} to {figures['high']:+.3f})" if figures else ""


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
                    f"`{method}`" if method == LAYOUT else method,
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
    head = ["experts", "score", "AUROC", "never against seldom: things", "languages", "rank correlation with share"]
    return table(head, rows)
