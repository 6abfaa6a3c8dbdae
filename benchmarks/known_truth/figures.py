"""What a table says about failed pictures and about the ensemble's gain, and all figures together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .columns import LENGTHS, MEAN, PRESETS, SINGLE
from .exposure import Exposure, Figure, figure
from .prompts import REFERENCE

AREAS = ("aurc", "augrc", "auarc")
VERSION = 2
"""Raised when figures are computed in another way, or for more columns, so that stored ones are made again."""

COVERAGES = tuple(i / 20 for i in range(1, 21))


class Figures(Exposure):
    """All figures of one table."""

    def judged(self) -> dict[str, Any]:
        """Sets of prompts with a true picture: all of them, those in the best sampled language, and its plain names."""
        right = np.flatnonzero(~np.isnan(self.quality["top1"]))
        code = np.array(self.languages)[right]
        return {
            "all": right,
            "within_language": right[code == self.rows[0].language],
            "trained_languages": right[np.isin(self.group[right], (REFERENCE, *self.trained))],
        }

    def failures(self) -> dict[str, Any]:
        """For each set: chance of failure, and column -> AUROC of failure and the areas under the risk curves."""
        found: dict[str, Any] = {}
        for label, rows in self.judged().items():
            risk = 1 - self.quality["top1"]
            failed = risk[rows] > 0.5
            if failed.all() or not failed.any():
                found[label] = {"prompts": len(rows), "failed": float(failed.mean())}
                continue
            good, bad = rows[~failed], rows[failed]
            measured = {
                name: {"fail_auroc": self.auroc_of(name, good, bad)} | self._areas(name, rows, risk)
                for name in self.columns
            }
            ends = {"random": self.curves.at_random(failed), "oracle": self.curves.by_oracle(failed)}
            measured |= {
                name: {area: {"value": getattr(curve, area)} for area in AREAS} for name, curve in ends.items()
            }
            found[label] = {"prompts": len(rows), "failed": float(failed.mean()), "columns": measured}
        return found

    def _areas(self, name: str, rows: Any, risk: Any) -> dict[str, Figure]:
        column, failed = self.columns[name], risk > 0.5
        rng = np.random.default_rng(0)

        def areas(s: Any) -> list[float]:
            curve = self.curves.by_score(column[s], failed[s])
            return [float(getattr(curve, area)) for area in AREAS]

        each = np.array([areas(rows[rng.integers(0, len(rows), len(rows))]) for _ in range(self.rounds)])
        return {area: figure(value, each[:, i]) for i, (area, value) in enumerate(zip(AREAS, areas(rows), strict=True))}

    def risk_by_coverage(self) -> dict[str, list[float]]:
        """Column, `random` and `oracle` -> share of bad pictures among the passed, at the coverages `COVERAGES`."""
        rows = self.judged()["all"]
        failed = self.quality["top1"][rows] < 0.5
        if failed.all() or not failed.any():
            return {}
        curves = {name: self.curves.by_score(self.columns[name][rows], failed) for name in self.columns}
        curves |= {"random": self.curves.at_random(failed), "oracle": self.curves.by_oracle(failed)}
        return {name: curve.risk_at(np.array(COVERAGES)).tolist() for name, curve in curves.items()}

    def quartiles(self) -> dict[str, dict[str, list[Figure]]]:
        """Measure of quality -> preset -> its mean in each quarter of the prompts, the most certain first."""
        rows = self.judged()["all"]
        found: dict[str, dict[str, list[Figure]]] = {}
        for measure, quality in self.quality.items():
            for preset, name in PRESETS.items():
                if name not in self.columns:
                    continue
                ordered = rows[np.argsort(self.columns[name][rows], kind="stable")]
                found.setdefault(measure, {})[preset] = [
                    self.interval(lambda s, q=quality: float(np.mean(q[s[0]])), [part])
                    for part in np.array_split(ordered, 4)
                ]
        return found

    # --- does the ensemble earn its cost? ---------------------------------------------------------------

    def failed(self) -> dict[str, tuple[Any, Any]]:
        """Prompts whose picture came out right against the others, for each set that has both."""
        found = {}
        for label, rows in self.judged().items():
            bad = self.quality["top1"][rows] < 0.5
            if bad.any() and not bad.all():
                found[label] = (rows[~bad], rows[bad])
        return found

    def gain(self) -> dict[str, dict[str, Any]]:
        """Task -> preset -> paired difference of its AUROC to the best number from one model, and the name of that number.

        Also the same over the better of two lengths of the text (`over_length`), and over the experts' mean guidance,
        which costs as much as the ensemble and uses no disagreement (`over_mean_guidance`).
        """
        sets = dict(self.tasks()) | {f"failure_{label}": pair for label, pair in self.failed().items()}
        found: dict[str, dict[str, Any]] = {}
        for task, pair in sets.items():
            single, length = (self._best(names, pair) for names in (SINGLE, LENGTHS))
            found[task] = {"best_rival": single, "longer": length, "over_length": {}, "over_mean_guidance": {}}
            for preset, name in PRESETS.items():
                if name in self.columns:
                    found[task][preset] = self.auroc_of(name, *pair, minus=single)
                    found[task]["over_length"][preset] = self.auroc_of(name, *pair, minus=length)
                    found[task]["over_mean_guidance"][preset] = self.auroc_of(name, *pair, minus=MEAN)
        return found

    def _best(self, names: Sequence[str], pair: tuple[Any, Any]) -> str:
        value = {n: self.evaluation.auroc(self.columns[n][pair[0]], self.columns[n][pair[1]]) for n in names}
        return max(value, key=lambda n: value[n])

    def brief(self) -> dict[str, Any]:
        """The figures of sets of experts that are only compared with others."""
        failed = self.failed().get("all")
        return {
            "auroc": self.auroc(),
            "spearman_share_score": self.spearman_share(),
            "fail_auroc": {name: self.auroc_of(name, *failed) for name in self.columns} if failed else {},
        }

    def everything(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        failures = self.failures()
        overall = failures["all"].get("columns", {})
        return {
            "prompts": len(self.rows),
            "auroc": self.auroc(),
            "auroc_by_language": self.auroc_by_language(),
            "held_out_against_under_sampled": self.held_out_against_under_sampled(),
            "spearman_share_score": self.spearman_share(),
            "within_language": self.within_language(),
            "regression": self.regression(),
            "fail_auroc": {name: f["fail_auroc"] for name, f in overall.items() if "fail_auroc" in f},
            **{area: {name: f[area] for name, f in overall.items()} for area in AREAS},
            "failures": failures,
            "risk_by_coverage": self.risk_by_coverage(),
            "quality_by_quartile": self.quartiles(),
            "ensemble_gain": self.gain(),
        }
