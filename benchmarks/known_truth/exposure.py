"""What a table says about exposure: every claim as a figure with a 95 % bootstrap interval over prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .columns import BASELINES, PRESETS, Columns
from .prompts import REFERENCE, WHOLE_GROUPS, WITHOUT_CONCEPT, Prompt
from .resampling import bootstrap

WELL_KNOWN = 8
"""A string counts as known from this many captions on."""

WELL_SHOWN = 0.04
"""A language counts as well shown from this share of the captions on: the fifth of nine has 0.05, the sixth 0.02."""

Figure = dict[str, float]


class Exposure:
    """Figures of one table of prompts and scores.

    Args:
        core: `emoe_core`, for the statistics.
        rows: the prompts.
        columns: name -> one score per prompt, higher for less certain.
        quality: measure -> quality per prompt, NaN where no picture is the right one.
        rounds: bootstrap draws per interval.
    """

    def __init__(
        self, core: ModuleType, rows: Sequence[Prompt], columns: Columns, quality: Columns, rounds: int = 500
    ) -> None:
        self.evaluation, self.curves = core.stats.evaluation, core.gating.curves
        self.rows, self.columns, self.quality, self.rounds = rows, columns, quality, rounds
        self.group = np.array([row.group for row in rows])
        self.share = np.array([row.share for row in rows])
        self.exposure = np.array([row.exposure for row in rows])
        self.languages = [row.language for row in rows]
        self.trained = {row.language: row.share for row in rows if row.share > 0}
        self.unseen = sorted({row.language for row in rows if row.share == 0})

    # --- tools ------------------------------------------------------------------------------------------

    def where(self, *groups: str) -> Any:
        """Indices of the prompts of these groups."""
        return np.flatnonzero(np.isin(self.group, groups))

    def interval(self, statistic: Callable[[list[Any]], float], sets: Sequence[Any]) -> Figure:
        """A statistic of sets of prompt indices, and its interval under resampling each set."""
        low, high = bootstrap(
            lambda drawn: statistic([s[d] for s, d in zip(sets, drawn, strict=True)]),
            [len(s) for s in sets],
            self.rounds,
        )
        return {"value": float(statistic(list(sets))), "low": low, "high": high}

    def auroc_of(self, name: str, known: Any, unknown: Any, minus: str | None = None) -> Figure:
        """AUROC of a column, or its paired difference to another column's."""
        wins = self._wins(name, known, unknown)
        if minus is not None:
            wins = wins - self._wins(minus, known, unknown)
        return self._mean_of_pairs([wins])

    def _wins(self, name: str, known: Any, unknown: Any) -> Any:
        """[known, unknown]: 1 where the unknown prompt scores higher, 0.5 for a tie; its mean is the AUROC."""
        a, b = self.columns[name][known][:, None], self.columns[name][unknown][None]
        return (b > a) + 0.5 * (b == a)

    def _mean_of_pairs(self, tables: Sequence[Any]) -> Figure:
        """Mean over all pairs of all tables, and its interval under resampling rows and columns of each."""
        rng = np.random.default_rng(0)
        total, pairs = np.zeros(self.rounds), sum(table.size for table in tables)
        for table in tables:
            drawn = [rng.multinomial(n, np.full(n, 1 / n), self.rounds).astype(float) for n in table.shape]
            total += ((drawn[0] @ table) * drawn[1]).sum(axis=1)
        low, high = np.quantile(total / pairs, [0.025, 0.975])
        return {"value": sum(float(t.sum()) for t in tables) / pairs, "low": float(low), "high": float(high)}

    # --- exposure ---------------------------------------------------------------------------------------

    def tasks(self) -> dict[str, tuple[Any, Any]]:
        """Known against unknown prompts, by name."""
        known = self.where(REFERENCE)
        found = {
            "unseen_language": self.where(*self.unseen),
            "held_out_concept": self.where("held_out"),
            "held_out_group": self.where(*WHOLE_GROUPS),
            "under_sampled": self.where("under_sampled"),
            "nonsense": self.where("nonsense"),
            "word_salad": self.where("word_salad"),
            "typo": self.where("typos"),
            "keyword": self.where("keywords"),
        }
        return {name: (known, other) for name, other in found.items() if len(other)}

    def held_out_against_under_sampled(self) -> dict[str, Figure]:
        """Column -> how often a thing never shown scores higher than one shown seldom: same language, similar names."""
        seldom, never = self.where("under_sampled"), self.where("held_out")
        return {name: self.auroc_of(name, seldom, never) for name in self.columns} if len(never) and len(seldom) else {}

    def auroc(self) -> dict[str, dict[str, Figure]]:
        """Task -> column -> how well the column tells unknown from known."""
        return {
            task: {name: self.auroc_of(name, *sets) for name in self.columns} for task, sets in self.tasks().items()
        }

    def over(self, name: str, other: str) -> dict[str, Figure]:
        """Task -> paired difference of a column's AUROC to another column's; the mean over the tasks as `mean`."""
        sets = self.tasks()

        def mean(drawn: list[Any]) -> float:
            known, *unknown = drawn
            return float(np.mean([(self._wins(name, known, u) - self._wins(other, known, u)).mean() for u in unknown]))

        every = [self.where(REFERENCE), *(unknown for _, unknown in sets.values())]
        return {task: self.auroc_of(name, *pair, minus=other) for task, pair in sets.items()} | {
            "mean": self.interval(mean, every)
        }

    def auroc_by_language(self) -> dict[str, dict[str, Figure]]:
        """Language -> column -> how well it is separated from the best sampled one."""
        known = self.where(REFERENCE)
        codes = sorted({row.group for row in self.rows if row.group == row.language}, key=self._share_of, reverse=True)
        return {
            code: {"share": {"value": self._share_of(code)}}
            | {name: self.auroc_of(name, known, self.where(code)) for name in self.columns}
            for code in codes
        }

    def _share_of(self, code: str) -> float:
        return next(row.share for row in self.rows if row.language == code)

    def spearman_share(self) -> dict[str, Figure]:
        """Column -> rank correlation of a trained language's share with its median score."""
        return {name: self._order(name, list(self.trained)) for name in self.columns}

    def _order(self, name: str, codes: list[str]) -> Figure:
        """Rank correlation of share and median score among these languages."""
        column, shares = self.columns[name], [self.trained[code] for code in codes]
        return self.interval(
            lambda drawn: self.evaluation.spearman(shares, [float(np.median(column[d])) for d in drawn]),
            [self._of_language(code) for code in codes],
        )

    def _of_language(self, code: str) -> Any:
        return self.where(REFERENCE if code == self.rows[0].language else code)

    def order_of_languages(self) -> dict[str, dict[str, Figure]]:
        """Preset -> how far down the scores follow the order of the languages; `spearman_share` covers all of them.

        `order_well_shown`: rank correlation of share and median score among the trained languages with a share of `WELL_SHOWN`
        or more. `never_against_well`, `never_against_seldom`: AUROC of prompts in languages never shown against prompts in
        the trained ones on either side of it, without the best sampled one.
        """
        well = [code for code, share in self.trained.items() if share >= WELL_SHOWN]  # the best sampled first
        seldom = [code for code in self.trained if code not in well]
        never, found = self.where(*self.unseen), {}
        for preset, name in PRESETS.items():
            if name in self.columns:
                found[preset] = {
                    "order_well_shown": self._order(name, well),
                    "never_against_well": self.auroc_of(name, self.where(*well[1:]), never),
                    "never_against_seldom": self.auroc_of(name, self.where(*seldom), never),
                }
        return found

    def within_language(self) -> dict[str, dict[str, Figure]]:
        """Without the languages' differences: prompts of one language, separated by the string's own exposure.

        `auroc`: never seen against seen at least `WELL_KNOWN` times, over the trained languages that have both, only with
        pairs within a language. `spearman`: of exposure and score in the best sampled language.
        """
        code = np.array(self.languages)
        pairs = []
        for language in self.trained:
            here = np.flatnonzero((code == language) & ~np.isin(self.group, WITHOUT_CONCEPT))
            never, often = here[self.exposure[here] == 0], here[self.exposure[here] >= WELL_KNOWN]
            if len(never) >= 5 and len(often) >= 5:
                pairs.append((often, never))
        best = np.flatnonzero((code == self.rows[0].language) & ~np.isin(self.group, WITHOUT_CONCEPT))

        return {
            "auroc": {
                name: self._mean_of_pairs([self._wins(name, often, never) for often, never in pairs])
                for name in self.columns
            }
            if pairs
            else {},
            "spearman": {
                name: self.interval(
                    lambda s, c=self.columns[name]: self.evaluation.spearman(self.exposure[s[0]], c[s[0]]), [best]
                )
                for name in self.columns
            },
        }

    def regression(self) -> dict[str, dict[str, Figure]]:
        """Column -> standardised weights of a linear model of the score's rank.

        The weight of exposure when tokens, characters and the language's share are held constant: a score that only counted
        tokens would have no weight left on the others.
        """
        causes = {
            "exposure": np.log1p(self.exposure),
            "language_share": self.share,
            "tokens": np.array([row.tokens for row in self.rows], dtype=float),
            "characters": np.array([row.characters for row in self.rows], dtype=float),
        }
        ranked = {name: self.evaluation.ranks(values) for name, values in causes.items()}
        everything = np.arange(len(self.rows))

        rng = np.random.default_rng(0)
        draws = [everything, *(rng.integers(0, len(everything), len(everything)) for _ in range(self.rounds))]

        def weights(name: str, rows: Any) -> Any:
            design = np.stack([_standard(ranked[cause][rows]) for cause in causes], axis=1)
            found, *_ = np.linalg.lstsq(design, _standard(self.evaluation.ranks(self.columns[name])[rows]), rcond=None)
            return found

        found: dict[str, dict[str, Figure]] = {}
        for name in (*PRESETS.values(), *BASELINES):
            if name in self.columns:
                each = np.stack([weights(name, rows) for rows in draws])
                found[name] = {cause: figure(each[0, i], each[1:, i]) for i, cause in enumerate(causes)}
        return found


def figure(value: float, draws: Any) -> Figure:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": float(value), "low": float(low), "high": float(high)}


def _standard(values: Any) -> Any:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else values * 0.0
