"""Does the Gate keep its promises? Counted over random splits, with a binomial limit for each count.

    python benchmarks/calibration.py [--json FILE] [--splits N] [--preset NAME] [--simulated-only]

There are two kinds of scores. Simulated ones, where every rate is known exactly: without ties, and rounded so that many are
equal. And the demo experts' scores of the prompts in emoe_core/demo/prompts.json, made once and kept in the cache folder
outside the clone: names in the five best-sampled languages, where a prompt is bad when training saw its exact text less than
three times, according to ground_truth.json. Each split draws a calibration and a fresh prompt at random.

false_block_rate, block_share and bad_pass_rate promise something on average over calibration and prompt: among N splits, the
number whose one fresh prompt goes wrong is binomial with a chance of at most alpha. bad_among_passed promises that at most
a share delta of calibrations gives a threshold whose risk, known exactly here, is above alpha. A promise is broken where
a count lies above the 99.9 % quantile of its binomial distribution.

Two more tables follow: thresholds of groups, by language; and the shares of fresh English prompts, nonsense and languages
never seen that the calibrations shipped with the demo experts block.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from emoe_testing.scoring import score_prompt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

ALPHAS = (0.01, 0.05, 0.1, 0.2)
DELTA = 0.1
SIZES = {"false_block_rate": 300, "block_share": 300, "bad_pass_rate": 300, "bad_among_passed": 1000}
SEEN = 3  # a caption that training saw less often is bad
LANGUAGES = ("en", "fr", "de", "es", "it")
UNSEEN = ("tr", "vi", "hu", "ru", "zh")
QUANTILE = 0.999
HOW = {"add_noise": True, "noise_seed": 0, "steps": 20, "scheduler": "normal", "at_step": 0, "noise_samples": 2}
Draw = Callable[[Any, int], "tuple[Any, Any]"]  # (random generator, how many) -> scores and whether each is bad
Risk = Callable[[float], float]  # threshold -> share of bad among all that pass


def demo_scores(pack: ModuleType, preset: str, folder: Path) -> dict[str, float]:
    """The score of every demo prompt; scores from an earlier run are read from `folder`."""
    import torch

    host, chosen = pack.emoe_core.hosts.comfyui, pack.emoe_core.scoring.presets.PRESETS[preset]
    experts, latent = host.experts.demo_set.embedded_experts(), {"samples": torch.zeros(1, 4, 16, 16)}
    texts = list(dict.fromkeys(text for group in pack.emoe_core.demo.prompts().values() for text in group))

    def report_of(text: str) -> Any:
        positive = host.prompts.conditioning.encode_for_experts(experts, text)
        tap, name = chosen.tap, chosen.estimator
        return score_prompt(host, experts, positive, latent, tap=tap, estimator=name, **HOW).report

    path = folder / f"demo-{preset}-{report_of(texts[0]).settings.fingerprint()}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, float] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:  # the line that an earlier run was writing when it died
            continue
        found[entry["prompt"]] = entry["score"]
    missing, started = [text for text in texts if text not in found], time.monotonic()
    with path.open("a", encoding="utf-8") as file:
        for done, text in enumerate(missing, 1):
            found[text] = report_of(text).score
            file.write(
                "\n" * (done == 1) + json.dumps({"prompt": text, "score": found[text]}, ensure_ascii=False) + "\n"
            )
            file.flush()
            left = (time.monotonic() - started) / done * (len(missing) - done)
            print(f"\r{preset}: {done} of {len(missing)} prompts, {left:.0f} s left   ", end="", file=sys.stderr)
    return {text: found[text] for text in texts}


def simulated(levels: int) -> tuple[Draw, Risk]:
    """Uniform scores s, bad with chance 0.6 s^3: of all with s <= t, the share 0.15 t^3 is bad. `levels` makes ties."""
    import numpy as np

    def draw(rng: Any, count: int) -> tuple[Any, Any]:
        raw = rng.random(count)
        return np.ceil(raw * levels) / levels if levels else raw, rng.random(count) < 0.6 * raw**3

    def risk(limit: float) -> float:
        passes = max((k / levels for k in range(levels + 1) if k / levels <= limit), default=0.0) if levels else limit
        return 0.15 * min(max(passes, 0.0), 1.0) ** 3

    return draw, risk


def finite(scores: Any, bad: Any) -> tuple[Draw, Risk]:
    """A population to draw from with replacement, so that its own shares are the truth."""

    def draw(rng: Any, count: int) -> tuple[Any, Any]:
        chosen = rng.integers(0, len(scores), count)
        return scores[chosen], bad[chosen]

    return draw, lambda limit: float(bad[scores <= limit].mean()) if (scores <= limit).any() else 0.0


def count_wrong(pack: ModuleType, policy: str, alpha: float, draw: Draw, risk: Risk, splits: int) -> dict[str, Any]:
    """How often a policy's promise goes wrong over the splits, and how often it may."""
    import numpy as np
    from scipy.stats import binom

    core, rng = pack.emoe_core, np.random.default_rng(1)
    rule, part, wrong, none = core.gating.policies.POLICIES[policy].threshold, core.records.calibration.Part, 0, 0
    for _ in range(splits):
        scores, bad = draw(rng, SIZES[policy])
        try:
            limit = rule(part("split", tuple(scores.tolist()), tuple(bad.tolist())), alpha, DELTA)
        except core.errors.EMoEError:
            none += 1
            continue
        fresh, is_bad = (values[0] for values in draw(rng, 1))
        while policy == "false_block_rate" and is_bad:  # its promise is about good prompts
            fresh, is_bad = (values[0] for values in draw(rng, 1))
        wrong += {
            "false_block_rate": fresh > limit,
            "block_share": fresh > limit,
            "bad_pass_rate": is_bad and fresh <= limit,
            "bad_among_passed": risk(limit) > alpha + 1e-12,
        }[policy]
    promised = DELTA if policy == "bad_among_passed" else alpha
    most = int(binom.ppf(QUANTILE, splits, promised))
    low = float(binom.ppf(1 - QUANTILE, splits, promised)) / splits
    return {
        "policy": policy,
        "alpha": alpha,
        "promised": promised,
        "wrong": int(wrong) / splits,
        "interval": [low, most / splits],
        "holds": bool(wrong <= most),
        "no_threshold": none / splits,
    }


def groups(pack: ModuleType, columns: dict[str, Any], splits: int, alpha: float = 0.1) -> list[dict[str, Any]]:
    """For each language's good prompts, the shares blocked by the common and by its own threshold; 60 prompts per language."""
    import numpy as np
    from scipy.stats import binom

    core, rng = pack.emoe_core, np.random.default_rng(2)
    settings = core.records.calibration.Calibration.load(core.demo.calibration_files()[0]).settings
    labels = tuple(name for name in columns for _ in range(60))
    pooled, own = dict.fromkeys(columns, 0), dict.fromkeys(columns, 0)
    for _ in range(splits):
        drawn = {name: values[rng.integers(0, len(values), 61)] for name, values in columns.items()}
        scores = tuple(float(s) for values in drawn.values() for s in values[:60])
        calibration = core.records.calibration.Calibration("split", settings, scores, groups={"language": labels})
        limit = core.gating.policies.false_block_rate(calibration, alpha)
        for name, values in drawn.items():
            pooled[name] += int(values[60] > limit)
            own[name] += int(
                values[60] > core.gating.policies.false_block_rate(calibration.part("language", name), alpha)
            )
    most = int(binom.ppf(QUANTILE, splits, alpha))
    return [
        {
            "language": name,
            "pooled": pooled[name] / splits,
            "own": own[name] / splits,
            "most": most / splits,
            "holds": own[name] <= most,
        }
        for name in columns
    ]


def shipped(pack: ModuleType, preset: str, scores: dict[str, float]) -> list[dict[str, Any]]:
    """The shares of fresh English names, nonsense and languages never seen that the shipped calibration blocks."""
    from scipy.stats import betabinom

    core = pack.emoe_core
    path = next(path for path in core.demo.calibration_files() if path.stem == preset)
    calibration, prompts = core.records.calibration.Calibration.load(path), core.demo.prompts()
    rows = []
    for alpha in ALPHAS:
        limit, n = core.gating.policies.false_block_rate(calibration, alpha), len(calibration.scores)
        blocked = {
            name: [scores[text] > limit for group in wanted for text in prompts[group]]
            for name, wanted in (("fresh", ("fresh",)), ("nonsense", ("nonsense",)), ("unseen_languages", UNSEEN))
        }
        k, count = math.floor(alpha * (n + 1) + 1e-9), len(blocked["fresh"])
        most = int(betabinom.ppf(QUANTILE, count, k, n + 1 - k))  # the calibration is a single draw as well
        rows.append(
            {"alpha": alpha, **{name: sum(hits) / len(hits) for name, hits in blocked.items()}}
            | {"most_fresh": most / count, "holds": sum(blocked["fresh"]) <= most}
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--splits", type=int, default=2000, help="random splits per line (default 2000)")
    parser.add_argument("--preset", default="layout", help="preset of the demo's scores (default layout)")
    parser.add_argument(
        "--simulated-only", action="store_true", help="leave out the demo experts, which take some minutes"
    )
    options = parser.parse_args()
    from common import enter_host

    enter_host()
    from emoe_host.inprocess import import_comfyui, load_pack
    from emoe_host.prepare import cache_dir

    with tempfile.TemporaryDirectory() as base:
        import_comfyui(Path(os.environ["EMOE_BENCHMARK_HOST"]), Path(base))
        pack = load_pack(Path(base))
        scores = {} if options.simulated_only else demo_scores(pack, options.preset, cache_dir() / "benchmarks")
        figures = measure(pack, scores, options)
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return 0 if figures["all_hold"] else 1


def measure(pack: ModuleType, scores: dict[str, float], options: argparse.Namespace) -> dict[str, Any]:
    """Every figure of the tables."""
    import numpy as np

    kinds = {"simulated": simulated(0), "simulated, ties": simulated(20)}
    found: dict[str, Any] = {"splits": options.splits, "preset": options.preset, "delta": DELTA, "sizes": SIZES}
    if scores:
        prompts, seen = pack.emoe_core.demo.prompts(), dict[str, int]()
        for concept in pack.emoe_core.demo.ground_truth()["concepts"]:
            for text, times in concept["exposure"].items():
                seen[text] = seen.get(text, 0) + times
        known = {name: prompts[name] for name in LANGUAGES[1:]} | {"en": prompts["calibration"] + prompts["fresh"]}
        texts = [text for group in known.values() for text in group]
        bad = np.array([seen.get(text, 0) < SEEN for text in texts])
        kinds["demo experts"] = finite(np.array([scores[text] for text in texts]), bad)
        found["demo_population"] = {"prompts": len(texts), "bad": int(bad.sum())}
        good = {n: np.array([scores[t] for t in known[n] if seen.get(t, 0) >= SEEN]) for n in LANGUAGES}
        found["groups"] = groups(pack, good, options.splits)
        found["shipped"] = shipped(pack, options.preset, scores)
    found["policies"] = [
        {"scores": kind, **count_wrong(pack, policy, alpha, draw, risk, options.splits)}
        for kind, (draw, risk) in kinds.items()
        for policy in SIZES
        for alpha in ALPHAS
    ]
    rows = [*found["policies"], *found.get("groups", []), *found.get("shipped", [])]
    return found | {"all_hold": all(row["holds"] for row in rows)}


def table(figures: dict[str, Any]) -> str:
    """The figures for a person."""
    lines = [f"{'scores':16} {'policy':17} {'alpha':>5} {'promised':>9} {'measured':>9} {'at most':>8} {'none':>6}"]
    for row in figures["policies"]:
        lines.append(
            f"{row['scores']:16} {row['policy']:17} {row['alpha']:5} {row['promised']:9} {row['wrong']:9.4f} "
            f"{row['interval'][1]:8.4f} {row['no_threshold']:6.1%} {'' if row['holds'] else 'BROKEN'}"
        )
    for row in figures.get("groups", []):
        lines.append(
            f"{row['language']}: of its good prompts at alpha 0.1 blocked by all {row['pooled']:.1%}, by its own threshold "
            f"{row['own']:.1%} (at most {row['most']:.1%}) {'' if row['holds'] else 'BROKEN'}"
        )
    for row in figures.get("shipped", []):
        lines.append(
            f"shipped calibration, alpha {row['alpha']}: blocks {row['fresh']:.1%} of fresh English names (at most "
            f"{row['most_fresh']:.1%}), {row['nonsense']:.1%} of nonsense, {row['unseen_languages']:.1%} of languages never "
            f"seen {'' if row['holds'] else 'BROKEN'}"
        )
    return "\n".join([*lines, f"all hold: {figures['all_hold']}"])


if __name__ == "__main__":
    sys.exit(main())
