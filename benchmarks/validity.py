"""Does the score mean what it says? The demo experts' training data is known, so every claim can be counted.

    python benchmarks/validity.py [--json FILE] [--prompts N]

Scores prompts of every group (languages at known training shares, under-sampled and held-out concepts, nonsense, word
salad, typos) under the presets and beside the baselines that need no ensemble, and prints how well each tells a group
from the well-sampled English names: AUROC with 95 % bootstrap intervals over prompts. `gain` is the paired difference
to the better of the two baselines.
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

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

LANGUAGES = ("fr", "de", "es", "it", "fi", "pl", "sw", "ja", "tr", "vi", "hu", "ru", "zh")
UNSEEN = ("tr", "vi", "hu", "ru", "zh")
OTHERS = ("under_sampled", "held_out", "faces", "nonsense", "word_salad", "typos")
ENSEMBLE = ("fast", "thorough", "paper")
BASELINES = ("response", "guidance")
HOW = {"add_noise": True, "noise_seed": 0, "steps": 20, "scheduler": "normal", "at_step": 0, "noise_samples": 2}


def measure(pack: ModuleType, prompts: dict[str, list[str]]) -> dict[str, dict[str, list[float]]]:
    """Scores by group and column."""
    import torch

    host, presets = pack.emoe_core.hosts.comfyui, pack.emoe_core.presets.PRESETS
    experts = host.embedded.embedded_experts()
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    found: dict[str, dict[str, list[float]]] = {}
    total, done, started = sum(map(len, prompts.values())), 0, time.monotonic()
    for group, texts in prompts.items():
        columns: dict[str, list[float]] = {name: [] for name in (*ENSEMBLE, *BASELINES)}
        for text in texts:
            positive = host.conditioning.encode_for_experts(experts, text)
            for name in ENSEMBLE:
                chosen = presets[name]
                report = host.scoring.score_prompt(
                    experts, positive, latent, tap=chosen.tap, estimator_name=chosen.estimator, **HOW
                ).report
                columns[name].append(report.score)
                if name == "thorough":
                    columns["response"].append(report.items[0].response)
                    columns["guidance"].append(report.items[0].guidance)
            done += 1
            left = (time.monotonic() - started) / done * (total - done)
            print(f"\r{done} of {total} prompts, {left:.0f} s left   ", end="", file=sys.stderr, flush=True)
        found[group] = columns
    print(file=sys.stderr)
    return found


def evaluate(pack: ModuleType, scores: dict[str, dict[str, list[float]]], shares: dict[str, float]) -> dict[str, Any]:
    """Every figure of the table, with intervals."""
    import numpy as np

    ev = importlib.import_module(f"{pack.__name__}.emoe_core.evaluation")
    array = {group: {name: np.array(values) for name, values in cols.items()} for group, cols in scores.items()}
    english = array["fresh"]
    groups: dict[str, dict[str, Any]] = {}
    for group in (*LANGUAGES, *OTHERS):
        other, row = array[group], {}
        sizes = [len(english["fast"]), len(other["fast"])]
        for name in (*ENSEMBLE, *BASELINES):
            low, high = ev.bootstrap(lambda d, n=name, o=other: ev.auroc(english[n][d[0]], o[n][d[1]]), sizes)
            row[name] = {"auroc": ev.auroc(english[name], other[name]), "low": low, "high": high}
        best = max(BASELINES, key=lambda n: row[n]["auroc"])
        for name in ENSEMBLE:

            def gain(d: Any, n: str = name, o: Any = other, best: str = best) -> float:
                mine, base = (ev.auroc(english[c][d[0]], o[c][d[1]]) for c in (n, best))
                return float(mine - base)

            low, high = ev.bootstrap(gain, sizes)
            value = row[name]["auroc"] - row[best]["auroc"]
            row[f"gain_{name}"] = {"over": best, "gain": value, "low": low, "high": high}
        groups[group] = row
    trained = [code for code in ("en", *LANGUAGES) if shares[code] > 0]
    ladder: dict[str, Any] = {}
    for name in (*ENSEMBLE, *BASELINES):
        columns = [array["fresh" if code == "en" else code][name] for code in trained]

        def rho(drawn: Any, columns: Any = columns) -> float:
            medians = [float(np.median(c[d])) for c, d in zip(columns, drawn, strict=True)]
            return float(ev.spearman([shares[code] for code in trained], medians))

        low, high = ev.bootstrap(rho, [len(c) for c in columns])
        ladder[name] = {"spearman": rho([np.arange(len(c)) for c in columns]), "low": low, "high": high}
    pooled = {
        name: ev.auroc(english[name], np.concatenate([array[code][name] for code in UNSEEN]))
        for name in (*ENSEMBLE, *BASELINES)
    }
    return {"auroc": groups, "auroc_unseen_languages": pooled, "spearman_share_score": ladder, "languages": trained}


def table(figures: dict[str, Any], shares: dict[str, float]) -> str:
    """The figures for a person."""
    names = (*ENSEMBLE, *BASELINES)
    lines = [f"{'AUROC against English':24}" + "".join(f"{name:>18}" for name in names) + "   gain of thorough"]
    for group, row in figures["auroc"].items():
        title = f"{group} {shares[group]:.3f}" if group in shares else group
        cells = "".join(
            f"{row[n]['auroc']:6.2f} [{row[n]['low']:.2f},{row[n]['high']:.2f}]"[:18].rjust(18) for n in names
        )
        gain = row["gain_thorough"]
        lines.append(
            f"{title:24}{cells}   {gain['gain']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}] over {gain['over']}"
        )
    lines.append(
        f"{'Spearman share, median':24}"
        + "".join(f"{figures['spearman_share_score'][n]['spearman']:18.2f}" for n in names)
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--prompts", type=int, default=40, help="prompts a group, spread over its list (default 40)")
    options = parser.parse_args()
    if not os.environ.get("EMOE_BENCHMARK_HOST"):
        from emoe_host.prepare import prepare

        host = prepare()
        os.environ |= {"EMOE_BENCHMARK_HOST": str(host.comfyui)}
        os.execv(str(host.python), [str(host.python), __file__, *sys.argv[1:]])
    from emoe_host.inprocess import import_comfyui, load_pack

    with tempfile.TemporaryDirectory() as base:
        import_comfyui(Path(os.environ["EMOE_BENCHMARK_HOST"]), Path(base))
        pack = load_pack(Path(base))
        lists = pack.emoe_core.demo.prompts()
        truth = pack.emoe_core.demo.ground_truth()
        shares = {code: float(language["share"]) for code, language in truth["languages"].items()}
        chosen = {group: spread(lists[group], options.prompts) for group in ("fresh", *LANGUAGES, *OTHERS)}
        started = time.monotonic()
        scores = measure(pack, chosen)
        figures = evaluate(pack, scores, shares) | {"prompts_a_group": options.prompts}
    print(table(figures, shares))
    print(f"{time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(figures | {"scores": scores}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def spread(prompts: list[str], count: int) -> list[str]:
    """At most `count` prompts at even distances through the list."""
    return prompts if len(prompts) <= count else [prompts[i * len(prompts) // count] for i in range(count)]


if __name__ == "__main__":
    main()
