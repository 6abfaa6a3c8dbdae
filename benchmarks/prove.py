"""Does a trial's page keep its word? Simulated trials, looked at after every mark.

    python benchmarks/prove.py [--quick] [--json FILE] [--document docs/prove.md]

Each simulated trial marks pictures one after another, bad ones with a given share, and asks after every mark what the page
would say. For each kind of trial the table counts how often "it foresees" was ever said, how often the true AUROC was ever
outside the interval, after how many marks (median) it was said, and how often a number of one model that is just as good was
ever called clearly better or worse. A second table has the interval's width by number of pictures.

The scores are normal, the bad ones moved up and perhaps spread wider; exponential, which are skewed; or rounded, so that many are
equal. With several pictures per prompt, prompts are good or bad by nature, and each picture follows its prompt with a chance of
80 %; otherwise its label is drawn anew.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from emoe_core.stats.sequential import difference, place  # noqa: E402

EDGE = 0.55  # the rule's: emoe_core.trial.evidence.EDGE
WIDTHS = (25, 50, 75, 100, 150, 200, 300, 500)
BEGIN, END = "<!-- figures:simulated -->", "<!-- /figures:simulated -->"


@dataclass(frozen=True)
class Kind:
    """A kind of trial.

    Attributes:
        spread: of the bad pictures' scores, where that of the good ones is 1.
        shape: "normal", "skewed" or "tied".
        each: pictures per prompt.
    """

    auroc: float
    bad: float = 0.3
    shape: str = "normal"
    spread: float = 1.0
    each: int = 1

    @property
    def label(self) -> str:
        said = [f"AUROC {self.auroc:g}", f"{100 * self.bad:.0f} % bad"]
        said += [self.shape] if self.shape != "normal" else []
        said += [f"bad spread {self.spread:g} times as wide"] if self.spread != 1 else []
        said += [f"{self.each} pictures per prompt"] if self.each > 1 else []
        return ", ".join(said)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Any, Any, Any, Any]:
        """Scores, an equally good other score, whether each picture is bad, and its prompt, [count] each."""
        prompts = np.arange(count) // self.each
        fate = rng.random(count)[prompts] < self.bad  # a prompt's nature
        bad = np.where(rng.random(count) < 0.8, fate, rng.random(count) < self.bad) if self.each > 1 else fate
        return self._scores(rng, fate, prompts), self._scores(rng, fate, prompts), bad, prompts

    def _scores(self, rng: np.random.Generator, bad: Any, prompts: Any) -> Any:
        if self.shape == "skewed":
            return rng.exponential(size=len(bad))[prompts] * np.where(bad, self.auroc / (1 - self.auroc), 1.0)
        shift = NormalDist().inv_cdf(self.auroc) * math.sqrt(1 + self.spread**2)
        found = rng.normal(size=len(bad))[prompts] * np.where(bad, self.spread, 1.0) + shift * bad
        return np.round(found) if self.shape == "tied" else found

    def truth(self) -> float:
        """The AUROC of pictures, which rounding and pictures that do not follow their prompt change."""
        if self.shape != "tied" and self.each == 1:
            return self.auroc
        rng = np.random.default_rng(1)
        scores, _, bad, prompts = self.draw(rng, 2_000_000)
        return place(scores, bad, prompts).value


KINDS = (
    *(Kind(0.5, bad) for bad in (0.1, 0.3, 0.5)),
    Kind(0.5, shape="tied"),
    Kind(0.5, spread=3.0),
    Kind(0.5, each=2),
    *(Kind(EDGE, bad) for bad in (0.1, 0.3, 0.5)),
    Kind(EDGE, shape="skewed"),
    Kind(EDGE, shape="tied"),
    *(Kind(EDGE, bad, spread=3.0) for bad in (0.1, 0.3)),
    Kind(EDGE, each=2),
    *(Kind(0.8, bad) for bad in (0.1, 0.3, 0.5)),
    Kind(0.8, shape="skewed"),
    Kind(0.8, shape="tied"),
    Kind(0.8, each=2),
    Kind(0.7),
    Kind(0.9),
)
QUICK = (Kind(0.5), Kind(EDGE, 0.5, shape="tied"), Kind(0.8))


def simulate(kind: Kind, trials: int, marks: int, seed: int = 0) -> dict[str, Any]:
    """Trials of a kind, with a look after every mark."""
    truth, said, missed, different = kind.truth(), [], 0, 0
    for number in range(trials):
        rng = np.random.default_rng([seed, number])
        scores, other, bad, prompts = kind.draw(rng, marks)
        first, out, apart = math.inf, False, False
        for seen in range(10, marks + 1):
            found = place(scores[:seen], bad[:seen], prompts[:seen])
            if not found.enough:
                continue
            if first > marks and found.value > EDGE and found.excludes(EDGE):
                first = seen
            out = out or found.excludes(truth)
            if not apart and seen % 5 == 0:
                gap = difference(found, place(other[:seen], bad[:seen], prompts[:seen]))
                apart = gap.high < 0 or gap.low > 0
        said.append(first)
        missed, different = missed + out, different + apart
    median = float(np.median(said))
    return {
        "kind": kind.label,
        "auroc": truth,
        "trials": trials,
        "marks": marks,
        "said": sum(one <= marks for one in said) / trials,
        "missed": missed / trials,
        "apart": different / trials,
        "median": median if math.isfinite(median) else None,
    }


def widths(trials: int, sizes: Sequence[int] = WIDTHS, seed: int = 0) -> list[dict[str, Any]]:
    """The median width of the interval by number of pictures, at AUROC 0.8 and 0.65, and shares of bad ones."""
    rows = []
    for size in sizes:
        row: dict[str, Any] = {"pictures": size}
        for auroc, bad in ((0.8, 0.3), (0.8, 0.1), (0.65, 0.3)):
            ends = []
            for number in range(trials):
                rng = np.random.default_rng([seed, number, size])
                scores, _, is_bad, prompts = Kind(auroc, bad).draw(rng, size)
                ends.append(place(scores, is_bad, prompts).interval())
            row[f"{auroc}/{bad}"] = float(np.median([high - low for low, high in ends]))
        rows.append(row)
    return rows


def document(figures: dict[str, Any]) -> str:
    """The tables of docs/prove.md."""
    lines = [
        f"{figures['trials']} simulated trials of each kind, a look after every mark, up to {figures['marks']} marks "
        '(`python benchmarks/prove.py`). *Said* is how often "it foresees" was ever said. *Missed* is how often the true AUROC '
        "was ever outside the interval. *Apart* is how often an equally good number of one model was ever called clearly "
        "better or worse, with a look after every fifth mark. *Median* is the number of marks after which it was said.",
        "",
        "| kind of trial | true AUROC of the pictures | said | missed | apart | median |",
        "|---|---|---|---|---|---|",
    ]
    for row in figures["simulated"]:
        shares = (f"{100 * row[name]:.1f} %" for name in ("said", "missed", "apart"))
        median = "" if row["median"] is None else f"{row['median']:.0f}"
        lines.append(f"| {row['kind']} | {row['auroc']:.3f} | {' | '.join(shares)} | {median} |")
    lines += [
        "",
        "The width of the interval (upper bound minus lower bound, median) by number of marked pictures:",
        "",
        "| pictures | AUROC 0.8, 30 % bad | AUROC 0.8, 10 % bad | AUROC 0.65, 30 % bad |",
        "|---|---|---|---|",
    ]
    for row in figures["widths"]:
        cells = (f"{row[name]:.2f}" for name in ("0.8/0.3", "0.8/0.1", "0.65/0.3"))
        lines.append(f"| {row['pictures']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few kinds and few trials")
    parser.add_argument("--json", metavar="FILE", help="where the figures go")
    parser.add_argument("--document", metavar="FILE", help="the page whose tables are written anew")
    args = parser.parse_args()
    kinds, trials, marks = (QUICK, 60, 120) if args.quick else (KINDS, 1000, 400)
    started, rows = time.monotonic(), []
    for kind in kinds:
        rows.append(simulate(kind, trials, marks))
        print(f"{time.monotonic() - started:6.0f} s  {json.dumps(rows[-1])}", flush=True)
    sizes = WIDTHS[:4] if args.quick else WIDTHS
    figures = {"trials": trials, "marks": marks, "simulated": rows, "widths": widths(trials // 3, sizes)}
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if args.document:
        path = Path(args.document)
        before, _, rest = path.read_text("utf-8").partition(BEGIN)
        path.write_text(f"{before}{BEGIN}\n{document(figures)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
