"""Does the score mean what it says? The experts' training data is known, so every claim can be counted.

    python benchmarks/validity.py [--quick] [--json FILE] [--png FOLDER] [--prompts N] [--worlds CACHE]

Measures prompts of every group (languages at known training shares, under-sampled and held-out concepts, other words for
the same thing, nonsense, word salad, typos) with every estimator at every tap and with every baseline that needs no
ensemble. Draws the prompts that have a true picture, and says how well each number separates unknown from known prompts and
bad pictures from good ones. All figures have 95 % bootstrap intervals over prompts.

--worlds does the same for every world and split that `python -m tools.worlds --cache CACHE` has trained. Measurements are
kept in the cache, so that a stopped run can continue. The figures of these worlds are compared with earlier trainings'
(`known_truth/trainings.json`): whether they are within the intervals for a further one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

QUICK_PROMPTS, FULL_PROMPTS = 10, 40
QUICK_SEEDS, FULL_SEEDS = (3,), (3, 5)
QUICK_ABLATED = 4
"""Prompts per group in the ablations, which are seven more measurements."""

QUICK_ROUNDS, FULL_ROUNDS = 200, 400
WORLD_PROMPTS, WORLD_ROUNDS = 60, 200
"""Prompts per group in every world, even if the shipped experts get fewer: its nets are small."""

MAIN_SET, OWN_SET = "base_4", "independent_4"
"""The set of experts of a world with full tables, and the set with its own seeds for comparison."""


def kept(folder: Path, name: str, key: Any, make: Any) -> Any:
    """The result of `make`, from the cache if it was made before for the same key."""
    digest = hashlib.sha256(json.dumps([name, key], sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
    path = folder / f"{name}-{digest}.json"
    if path.is_file():
        return json.loads(path.read_text("utf-8"))
    found = make()
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, ensure_ascii=False), "utf-8")
    part.replace(path)
    return found


def say(text: str, _last: list[float] = [0.0]) -> None:  # noqa: B006 - remembers when it last spoke
    """A line of progress, every few seconds."""
    if time.monotonic() - _last[0] > 5:
        _last[0] = time.monotonic()
        print(f"  {text}", file=sys.stderr, flush=True)


def table_of(core: ModuleType, rows: list[Any], columns: Any, quality: Any, rounds: int) -> Any:
    """A table of prompts, scores and qualities, which gives the figures."""
    import numpy as np
    from known_truth.columns import TEXT
    from known_truth.figures import Figures

    arrays = {name: np.array(values, dtype=float) for name, values in columns.items()}
    arrays |= {name: np.array([getattr(row, name) for row in rows], dtype=float) for name in TEXT}
    drawn = {name: np.array([np.nan if x is None else x for x in values]) for name, values in quality.items()}
    return Figures(core, rows, arrays, drawn, rounds)


def shipped(pack: ModuleType, options: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """Figures and scores of the experts that come with the pack."""
    from known_truth.columns import MEASURED
    from known_truth.shipped import Shipped

    source = Shipped(pack)
    rows = source.prompts(options.prompts)
    texts = [row.text for row in rows]
    key = [texts, [expert.identity for expert in source.experts.experts], MEASURED]
    columns = kept(cache, "shipped-scores", key, lambda: source.measure(rows, say))
    seeds = QUICK_SEEDS if options.quick else FULL_SEEDS
    quality = kept(cache, "shipped-pictures", [key, seeds], lambda: source.draw(rows, seeds, say).as_dict())
    ablated = source.prompts(min(QUICK_ABLATED, options.prompts)) if options.quick else rows
    ablations = kept(cache, "shipped-ablations", [key, len(ablated)], lambda: source.ablate(ablated, say))
    table = table_of(pack.emoe_core, rows, columns, quality, options.rounds)
    found: dict[str, Any] = {**table.everything(), "languages": table.order_of_languages()}
    from known_truth.ablations import figures as ablation_figures

    found["ablations"] = ablation_figures(pack.emoe_core, ablated, ablations)
    found["scores"] = by_group(rows, columns)
    return found


def by_group(rows: list[Any], columns: dict[str, list[float]]) -> dict[str, dict[str, list[float]]]:
    """Scores by group and preset, in the order of the group's prompts."""
    from known_truth.columns import PRESETS

    wanted = {**PRESETS, "response": "response", "guidance": "guidance"}
    groups: dict[str, dict[str, list[float]]] = {}
    for index, row in enumerate(rows):
        for name, column in wanted.items():
            groups.setdefault(row.group, {}).setdefault(name, []).append(columns[column][index])
    return groups


def worlds(core: ModuleType, options: argparse.Namespace, cache: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of every trained world: experts of one base, few and many, near copies, and experts of their own seeds.

    Beside the sets: how far down the scores follow the order of the languages (`languages`), and what experts with their own
    seeds add to those of one base (`own_seeds`). And the choice among the candidates for a better estimator.
    """
    sys.path.insert(0, str(ROOT))
    from known_truth import candidates
    from known_truth.columns import BASELINES, MEASURED, PRESETS, TOLD
    from known_truth.figures import VERSION
    from known_truth.prompts import REFERENCE
    from known_truth.worlds import WorldSource, trained

    found: dict[str, Any] = {}
    merits: dict[int, list[Any]] = {}
    for place in trained(options.worlds):
        source = WorldSource(core, place)
        rows = source.prompts(WORLD_PROMPTS)
        sets = source.sets()
        if MAIN_SET not in sets:
            continue
        drawn = [source.key(["expert_1"]), len(rows), FULL_SEEDS]
        quality = kept(cache, "world-pictures", drawn, lambda s=source, r=rows: s.draw(r, FULL_SEEDS).as_dict())
        mine = found.setdefault(source.name, {"reference": place.split.reference, "shares": place.split.rates})
        scores = {}
        for label, names in sets.items():
            say(f"{source.name}: {label}")
            key = [source.key(names), len(rows), MEASURED]
            columns = kept(cache, "world-scores", key, lambda s=source, r=rows, n=names: s.measure(r, n))
            scores[label] = columns[PRESETS[TOLD]]
            table = table_of(core, rows, columns, quality, WORLD_ROUNDS)
            whole = label == MAIN_SET
            if not whole:
                told = (*PRESETS.values(), *BASELINES)
                table.columns = {name: column for name, column in table.columns.items() if name in told}
            asked = [key, drawn, WORLD_ROUNDS, VERSION]
            mine[label] = kept(cache, "world-figures", asked, table.everything if whole else table.brief)
            if whole:
                mine["languages"] = table.order_of_languages()
                table.columns |= candidates.add(table.columns, table.where(REFERENCE), len(names))
                merits.setdefault(place.split.index, []).append(candidates.merit(table))
        if OWN_SET in scores:
            mine["own_seeds"] = table_of(core, rows, scores, quality, WORLD_ROUNDS).over(OWN_SET, MAIN_SET)
    return found, candidates.choose(merits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="write the plots to FOLDER")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the tables into docs/validity.md")
    parser.add_argument("--quick", action="store_true", help="few prompts per group: under 3 minutes on 2 cores")
    parser.add_argument(
        "--prompts", type=int, help=f"prompts per group (default {FULL_PROMPTS}, quick {QUICK_PROMPTS})"
    )
    parser.add_argument("--worlds", type=Path, metavar="CACHE", help="also measure the worlds trained in CACHE")
    parser.add_argument("--keep-training", metavar="LABEL", help="keep the worlds' figures beside earlier trainings'")
    options = parser.parse_args()
    options.prompts = options.prompts or (QUICK_PROMPTS if options.quick else FULL_PROMPTS)
    options.rounds = QUICK_ROUNDS if options.quick else FULL_ROUNDS
    from common import enter_host
    from emoe_host.prepare import cache_dir

    enter_host()
    from emoe_host.inprocess import import_comfyui, load_pack

    cache = cache_dir() / "validity"
    cache.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as base:
        import_comfyui(Path(os.environ["EMOE_BENCHMARK_HOST"]), Path(base))
        import torch

        pack = load_pack(Path(base))
        torch.set_grad_enabled(False)  # as in ComfyUI's executor; else every picture keeps its whole computation graph
        found = shipped(pack, options, cache)
        if options.worlds:
            found["worlds"], found["choice"] = worlds(pack.emoe_core, options, cache)
        from known_truth import document, plots, tables, trainings

        if options.worlds:
            run, every, label = trainings.of_run(found), trainings.kept(), options.keep_training or "this run"
            others = {name: training for name, training in every.items() if name != label}
            found["within_earlier_trainings"] = trainings.within(run, others)
            found["again"] = trainings.summary(every | {label: run})  # a stored training keeps its place
            if options.keep_training:
                trainings.keep(options.keep_training, run)
        print(tables.text(found))
        if options.png:
            for path in plots.save(pack.emoe_core, found, options.png):
                print(f"wrote {path}")
        if options.document:
            document.update(found, options.document)
    print(f"{time.monotonic() - started:.0f} s")
    if options.json:
        found["prompts_a_group"] = options.prompts
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
