"""Mixture or ensemble? The demo experts both ways, beside the routing's entropy and a baseline without an ensemble.

    python benchmarks/mixture.py [--json FILE] [--prompts N] [--layers attn|ff|all] [--top-k K]

Makes a SegMoE mixture of the demo experts, scores prompts of every group of benchmarks/validity.py in both modes, and
prints how well each column separates a group from the well-sampled English names: AUROC, with 95 % bootstrap intervals over
prompts in the JSON file. Entropy has no direction of its own: its column counts a higher entropy as less certain.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from emoe_testing.scoring import score_prompt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from common import enter_host  # noqa: E402
from known_truth.prompts import HOW, LANGUAGES, UNSEEN, spread  # noqa: E402
from known_truth.resampling import bootstrap  # noqa: E402
from known_truth.shipped import GATE_PROMPTS  # noqa: E402

OTHERS = ("under_sampled", "held_out", "faces", "nonsense", "word_salad", "typos")

COLUMNS = ("ensemble fast", "fast", "thorough", "paper", "routing entropy", "response")
Scores = dict[str, dict[str, list[float]]]


def measure(pack: ModuleType, prompts: dict[str, list[str]], layers: str, top_k: int) -> tuple[Scores, dict[str, Any]]:
    """Scores by group and column, and the mixture in words."""
    import torch

    host, presets = pack.emoe_core.hosts.comfyui, pack.emoe_core.scoring.presets.PRESETS
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    experts = host.experts.demo_set.embedded_experts()
    mixture = host.mixture.build.build_mixture(
        experts, GATE_PROMPTS, "", latent, layers=layers, top_k=top_k, steps=25, cfg=7.5, seed=0
    )

    def score(of: Any, positive: Any, preset: str) -> Any:
        chosen = presets[preset]
        how = {**HOW, "tap": chosen.tap, "estimator": chosen.estimator}
        return score_prompt(host, of, positive, latent, **how).report

    found: Scores = {}
    total, done, started = sum(map(len, prompts.values())), 0, time.monotonic()
    loads = []
    for group, texts in prompts.items():
        columns: dict[str, list[float]] = {name: [] for name in COLUMNS}
        for text in texts:
            alone = score(experts, host.prompts.conditioning.encode_for_experts(experts, text), "fast")
            positive = host.prompts.conditioning.encode_for_experts(mixture, text)
            fast, thorough = (score(mixture, positive, preset) for preset in ("fast", "thorough"))
            values = (
                alone.score,
                fast.score,
                thorough.score,
                fast.items[0].epistemic,  # the preset paper's number, from the same pass
                fast.routing.entropy,
                fast.items[0].response,
            )
            for name, value in zip(COLUMNS, values, strict=True):
                columns[name].append(value)
            loads.append(fast.routing.load)
            done += 1
            left = (time.monotonic() - started) / done * (total - done)
            print(f"\r{done} of {total} prompts, {left:.0f} s left   ", end="", file=sys.stderr, flush=True)
        found[group] = columns
    print(file=sys.stderr)
    load = [sum(column) / len(loads) for column in zip(*loads, strict=True)]
    return found, {"layers": layers, "top_k": top_k, "separated_at": mixture.separated_at, "mean_load": load}


def evaluate(pack: ModuleType, scores: Scores) -> dict[str, Any]:
    """AUROC of every group and column, with intervals, and of all unseen languages together."""
    import numpy as np

    ev = importlib.import_module(f"{pack.__name__}.emoe_core.stats.evaluation")
    array = {group: {name: np.array(values) for name, values in cols.items()} for group, cols in scores.items()}
    english = array["fresh"]
    groups: dict[str, Any] = {}
    for group in (*LANGUAGES, *OTHERS):
        other = array[group]
        sizes = [len(english["fast"]), len(other["fast"])]
        groups[group] = {}
        for name in COLUMNS:
            low, high = bootstrap(lambda d, n=name, o=other: ev.auroc(english[n][d[0]], o[n][d[1]]), sizes)
            groups[group][name] = {"auroc": ev.auroc(english[name], other[name]), "low": low, "high": high}
    pooled = {n: ev.auroc(english[n], np.concatenate([array[code][n] for code in UNSEEN])) for n in COLUMNS}
    mean = {n: float(np.mean([groups[group][n]["auroc"] for group in groups])) for n in COLUMNS}
    return {"auroc": groups, "auroc_unseen_languages": pooled, "auroc_mean_over_groups": mean}


def table(figures: dict[str, Any]) -> str:
    """The figures for a person, in Markdown."""
    lines = ["| group | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for group, row in figures["auroc"].items():
        lines.append(f"| {group} | " + " | ".join(f"{row[n]['auroc']:.2f}" for n in COLUMNS) + " |")
    for title, key in (
        ("unseen languages", "auroc_unseen_languages"),
        ("mean over groups", "auroc_mean_over_groups"),
    ):
        lines.append(f"| **{title}** | " + " | ".join(f"{figures[key][n]:.2f}" for n in COLUMNS) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--prompts", type=int, default=40, help="prompts per group, spread over its list (default 40)")
    parser.add_argument("--layers", choices=("attn", "ff", "all"), default="attn", help="mixed layers (default attn)")
    parser.add_argument("--top-k", type=int, default=2, help="experts a layer routes to (default 2)")
    options = parser.parse_args()
    enter_host()
    from emoe_host.inprocess import import_comfyui, load_pack

    with tempfile.TemporaryDirectory() as base:
        import_comfyui(Path(os.environ["EMOE_BENCHMARK_HOST"]), Path(base))
        pack = load_pack(Path(base))
        lists = pack.emoe_core.demo.prompts()
        chosen = {group: spread(lists[group], options.prompts) for group in ("fresh", *LANGUAGES, *OTHERS)}
        started = time.monotonic()
        scores, mixture = measure(pack, chosen, options.layers, options.top_k)
        figures = evaluate(pack, scores) | {"mixture": mixture, "prompts_a_group": options.prompts}
    print(table(figures))
    load = ", ".join(f"{share:.2f}" for share in mixture["mean_load"])
    print(f"separated at {mixture['separated_at']}; mean load {load}; {time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(figures | {"scores": scores}, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
