"""What is a set of experts worth, and does `choose` find the good ones?

    python benchmarks/choosing.py [--quick] [--json FILE] [--worlds CACHE]

Four parts, on experts whose training is known:

    sets      sets as users have them: fine-tunes, merges, quantised copies, differences of low rank, and in the worlds other
              styles, LoRAs and a distilled expert. For each: mean AUROC of `layout` over the groups of prompts that the
              experts were hardly or never shown, the same for the score's numerator (disagreement) and for one over its
              denominator (the guidance's size) alone, the effective number of experts (copies
              count once), and the Gate's promise.
    pools     pools of 8 with planted near copies and merges. `planted_kept_share`: in which share of the draws a planted
              expert was kept beside those that it was made from. `auroc_below_best_four`: how far the chosen four are below
              the best four of the pool, found by trying all; the mean over the draws. Both without and with labels.
    merges    `merge_weight_error`: the largest error of a found share, over planted merges of two experts, whole and by
              block, in half precision. `merge_false_alarms`: of so many triples of independent fine-tunes, how many were
              taken for a merge.
    settings  what `choose` recommends on some prompts (with --worlds: on split 0), measured on others (on splits 1 and 2).

--worlds adds the small worlds that `python -m tools.worlds` has trained in CACHE. Their styles, LoRAs and distilled expert are
its part 3: `python -m tools.worlds --cache CACHE --world B --split 0 --part 0 --part 3`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

SPLITS, QUICK_SPLITS = 2000, 500
DRAWS = 200
QUICK_PROMPTS, PROMPTS = 12, 40


def all_sets(every: Sequence[Any], quick: bool) -> dict[str, Any]:
    from choice.sets import sets

    return {"sets": {one.source.name: sets(one, QUICK_SPLITS if quick else SPLITS, quick) for one in every}}


def all_pools(every: Sequence[Any], quick: bool) -> dict[str, Any]:
    from choice.pools import Library, pools

    found: dict[str, Any] = {}
    for one in every:
        library = Library(one, quick)
        found[one.source.name] = {way: pools(library, DRAWS, way == "labels") for way in ("without_labels", "labels")}
        print(f"  pools of {one.source.name}: {found[one.source.name]}", flush=True)
    rows = [row for source in found.values() for row in source.values()]
    worst = {key: max(row[key] for row in rows) for key in ("planted_kept_share", "auroc_below_best_four")}
    return {**worst, "pools": found}


def all_merges(every: Sequence[Any], quick: bool) -> dict[str, Any]:
    from choice.merges import merges

    return merges(every[0].core, [one.source for one in every], quick)


def all_settings(every: Sequence[Any], quick: bool) -> dict[str, Any]:
    from choice.settings import settings

    return {"settings": settings(every, quick)}


PARTS: dict[str, Callable[[Sequence[Any], bool], dict[str, Any]]] = {
    "sets": all_sets,
    "pools": all_pools,
    "merges": all_merges,
    "settings": all_settings,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer prompts, sets and planted experts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, after every part")
    parser.add_argument("--worlds", type=Path, metavar="CACHE", help="also measure the worlds trained in CACHE")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the table of sets into this document")
    parser.add_argument("--part", choices=list(PARTS), action="append", help="only this part (repeatable)")
    options = parser.parse_args()
    from common import enter_host, write

    enter_host()
    from choice.sets import Measured
    from known_truth import pools

    import emoe_core.choosing.effective
    import emoe_core.choosing.select
    import emoe_core.choosing.sweep
    import emoe_core.demo
    import emoe_core.experts.kinship
    import emoe_core.trial.look

    started, most = time.monotonic(), QUICK_PROMPTS if options.quick else PROMPTS
    sources = [pools.shipped(emoe_core.demo, most)]
    if options.worlds:
        sources += pools.worlds(emoe_core, options.worlds, most)
    every = [Measured(source, emoe_core) for source in sources]
    figures: dict[str, Any] = {"quick": options.quick}
    for part in options.part or PARTS:
        figures |= PARTS[part](every, options.quick)
        figures["seconds"] = round(time.monotonic() - started)
        write(options.json, figures)
    if options.document:
        from choice.sets import realistic
        from known_truth.document import update

        update(figures, options.document, {"realistic": realistic})
    return 0


if __name__ == "__main__":
    sys.exit(main())
