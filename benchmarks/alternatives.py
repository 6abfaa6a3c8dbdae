"""Does another score do better than `layout` where `layout` is weak?

    python benchmarks/alternatives.py [--quick] [--json FILE] [--worlds CACHE] [--document FILE]

Scores from the literature, for a set of fixed models and for one, are measured on the same prompts of experts whose training
is known. `rivals/methods.py` lists them. Three figures for each, and its difference to `layout` with a bootstrap interval over
prompts:

    AUROC              the mean over the kinds of unknown prompts, each against well-known names
    never or seldom    how often a prompt that was never shown scores above one that was shown seldom: things, and languages
    order              rank correlation of the languages' shares of the captions and their median scores

Beside them: network calls per prompt as a share of those of `layout`, and whether reference prompts are needed. The best score of
each figure is chosen on the shipped experts and on split 0 of the worlds, and confirmed on the other splits.

--worlds adds the small worlds that `python -m tools.worlds` has trained in CACHE. A set's scores are kept, so that a run with
more worlds measures only those.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

#: Of every group. A prompt takes some 200 network calls.
QUICK_PROMPTS, PROMPTS = 12, 24
SEEDS = (0, 1)
#: Raised when a score is computed in another way.
VERSION = 2


def measured(case: Any, cache: Path, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every score's column, and the pictures' quality, as they were kept or as they are now found."""
    from rivals.methods import scores
    from rivals.passes import ask
    from validity import kept

    def columns() -> dict[str, list[float]]:
        found = scores(ask(case, say), len(case.references))
        return {name: values.tolist() for name, values in found.items()}

    def drawn() -> dict[str, list[float | None]]:
        quality = case.pictures(SEEDS)
        return {name: [None if one != one else one for one in values] for name, values in quality.items()}

    key = [case.name, case.key, case.texts]
    return kept(cache, "rival-scores", [*key, VERSION], columns), kept(cache, "rival-pictures", [*key, SEEDS], drawn)


def figures(core: Any, cases: Sequence[Any], cache: Path, say: Any) -> dict[str, Any]:
    """All sets' figures, and their means."""
    import numpy as np
    from rivals.results import ROUNDS, Results, pictures, plain, summary

    sets: dict[str, Any] = {}
    for case in cases:
        columns, quality = measured(case, cache, say)
        table = Results(core, case.rows, {name: np.array(one) for name, one in columns.items()}, {}, ROUNDS)
        sets[case.name] = {"split": case.split, "prompts": len(case.rows), "methods": table.all()}
        if quality:
            sets[case.name]["pictures"] = pictures(table, quality)
        for name, one in sorted(sets[case.name]["methods"].items(), key=lambda item: -item[1]["auroc"]):
            told = ", ".join(f"{what} {value:+.3f}" for what, value in one.items() if what != "draws")
            say(f"{case.name}: {name:40} {told}")
    return {"alternatives": summary(sets), "sets": plain(sets)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few prompts per group")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--worlds", type=Path, metavar="CACHE", help="also measure the worlds trained in CACHE")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the tables into this document")
    parser.add_argument(
        "--only", metavar="SET", action="append", help='only this set, such as "world B, split 0" (repeatable)'
    )
    options = parser.parse_args()
    from common import enter_host, write

    enter_host()
    from emoe_host.prepare import cache_dir
    from known_truth.document import update
    from rivals import cases
    from rivals.results import alternatives, alternatives_one, alternatives_sets

    import emoe_core.demo
    import emoe_core.experts.sets
    import emoe_core.gating.curves
    import emoe_core.stats.evaluation

    started = time.monotonic()
    cache = cache_dir() / "validity"
    cache.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {text}", flush=True)

    most = QUICK_PROMPTS if options.quick else PROMPTS
    every = [cases.shipped(emoe_core.demo, most)]
    if options.worlds:
        every += cases.worlds(emoe_core, options.worlds, most)
    found = figures(emoe_core, [case for case in every if case.name in (options.only or [case.name])], cache, say)
    write(options.json, found)
    if options.document:
        tables = (alternatives, alternatives_one, alternatives_sets)
        update(found, options.document, {table.__name__: table for table in tables})
    return 0


if __name__ == "__main__":
    sys.exit(main())
