"""What does a score in two stages save, and what does it lose? Against the full score of the preset layout, at equal alpha.

    python benchmarks/adaptive.py [--quick] [--json FILE] [--worlds CACHE]

Every expert's prediction is taken once for every prompt and noise sample. What any set of experts scores on any noise samples
follows from the inner products of these, so all ways to score are compared on the same calls:

    full             all experts on all noise samples
    staged           what Calibrate Gate learns with `staged`: see emoe_core/scoring/stages.py
    both halves      the same without a rule: each half of the experts on its half of the noise samples, always
    one noise sample all experts on the first noise sample
    half the experts the first half of the experts on all noise samples

Each split draws 100 known prompts as reference prompts, of which a third teaches the rule and the others calibrate; the known
prompts left are compared with every group of prompts that the experts know less of. `cost_share` is the mean of two shares of
the full score's network calls, of known and of unknown prompts; the empty prompt's calls are kept from prompt to prompt and not
counted. `auroc_difference` is the full score's mean AUROC over the groups minus that of the other. A promise is broken where the
number of blocked known prompts, one per split, is above the 99.9 % quantile of its binomial distribution.

A set as it comes could be lucky, so all ways are also measured over random orders of its experts and noise samples.
--worlds adds the four fine-tunes of each small world that `python -m tools.worlds` has trained in CACHE. --document writes the
table of all sets into a document.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

import numpy as np  # noqa: E402

from emoe_core.scoring.stages import FEWEST_EXPERTS, LEARNT_FROM, Stages  # noqa: E402

ALPHAS = (0.05, 0.1, 0.2)
QUANTILE = 0.999
REFERENCES = 100
MOST_COST, MOST_LOSS = 0.5, 0.005
KNOWN = ("calibration", "fresh")
#: Of every other group, in a quick run.
QUICK_PROMPTS = 60
BLOCK = 12
SAMPLES = 2
#: The staged score, among the ways to score.
STAGED = "staged"
#: The set of a world that is measured.
FOUR = "base_4"
Products = Any  # [prompts, noise samples, experts, experts]


@dataclass(frozen=True)
class Case:
    """One set of experts and its prompts: inner products of what the prompt changes, by group."""

    name: str
    known: Products
    unknown: dict[str, Products]

    def of(self, experts: Sequence[int], samples: Sequence[int]) -> Case:
        """The same with some of the experts and noise samples, in this order."""

        def part(every: Products) -> Products:
            return every[:, list(samples)][:, :, list(experts)][:, :, :, list(experts)]

        return Case(self.name, part(self.known), {group: part(every) for group, every in self.unknown.items()})


def products(prompts: Any, empty: Any) -> Products:
    """Inner products from predictions [prompts, experts, noise samples, channels, ...] and the empty prompt's."""
    shift = (prompts - empty).double()
    shift = (shift - shift.mean(dim=tuple(range(4, shift.ndim)), keepdim=True)).flatten(3)
    return (shift.permute(0, 2, 1, 3) @ shift.permute(0, 2, 3, 1)).numpy()


def layout(part: Products) -> Any:
    """The preset layout's score of each prompt: variance across experts over mean square, mean over noise samples."""
    experts = part.shape[-1]
    squares = np.einsum("pkii->pk", part)
    apart = experts * squares - part.sum(axis=(2, 3))  # the sum over pairs of squared distances
    return (apart / (experts * (experts - 1)) / (squares / experts)).mean(axis=1)


@dataclass(frozen=True)
class Staged:
    """Both stages' scores of some prompts, and each stage's share of the full score's calls."""

    first: Any
    both: Any
    shares: tuple[float, float]

    @classmethod
    def of(cls, part: Products) -> Staged:
        samples, experts = part.shape[1:3]
        middle, early = experts // 2, samples // 2
        first, second = layout(part[:, :early, :middle, :middle]), layout(part[:, early:, middle:, middle:])
        calls = middle * early, (experts - middle) * (samples - early)
        full = experts * samples
        return cls(first, (first + second) / 2, (calls[0] / full, sum(calls) / full))

    def under(self, rule: Stages) -> tuple[Any, float]:
        """The scores under a rule, and the mean share of the calls."""
        decided = (self.first <= rule.low) | (self.first >= rule.high)
        return np.where(decided, self.first, self.both), float(np.where(decided, *self.shares).mean())


def auroc(known: Any, unknown: Any) -> float:
    """The chance that an unknown prompt scores above a known one, ties counted half."""
    ranked = np.sort(known)
    below = np.searchsorted(ranked, unknown, "left") + np.searchsorted(ranked, unknown, "right")
    return float(below.mean() / 2 / len(ranked))


def staged(case: Case, splits: int, seed: int = 0) -> dict[str, Any]:
    """The staged score over random splits."""
    rng = np.random.default_rng(seed)
    full = layout(case.known), {group: layout(part) for group, part in case.unknown.items()}
    known, unknown = Staged.of(case.known), {group: Staged.of(part) for group, part in case.unknown.items()}
    costs, losses, blocked = [], [], dict.fromkeys(ALPHAS, 0)
    caught: list[list[float]] = []
    groups = np.zeros(len(unknown))
    for _ in range(splits):
        order = rng.permutation(len(known.first))
        references, fresh = order[:REFERENCES], order[REFERENCES:]
        learnt, kept = references[: REFERENCES // LEARNT_FROM], references[REFERENCES // LEARNT_FROM :]
        rule = Stages.learn(known.first[learnt].tolist())
        mine = known.under(rule)[0]
        told = {group: part.under(rule) for group, part in unknown.items()}
        lost = [auroc(full[0][fresh], full[1][g]) - auroc(mine[fresh], told[g][0]) for g in unknown]
        groups += lost
        losses.append(float(np.mean(lost)))
        share = Staged(known.first[fresh], known.both[fresh], known.shares).under(rule)[1]
        costs.append((share, float(np.mean([told[group][1] for group in unknown]))))
        one = mine[fresh[0]]
        p_value = (1 + int((mine[kept] >= one).sum())) / (len(kept) + 1)
        for alpha in ALPHAS:
            blocked[alpha] += p_value <= alpha
        caught.append(
            [_caught(full[0][kept], full[1].values()), _caught(mine[kept], [scores for scores, _ in told.values()])]
        )
    cost_known, cost_unknown = np.mean(costs, axis=0).tolist()
    full_caught, staged_caught = np.mean(caught, axis=0).tolist()
    worst = int(np.argmax(groups))
    return {
        "cost_share": (cost_known + cost_unknown) / 2,
        "cost_known": cost_known,
        "cost_unknown": cost_unknown,
        "auroc_difference": float(np.mean(losses)),
        "worst_group": [list(unknown)[worst], float(groups[worst] / splits)],
        "blocked_unknown": {"full": full_caught, "staged": staged_caught},
        "promise": [promise(alpha, count, splits) for alpha, count in blocked.items()],
    }


def _caught(references: Any, groups: Any) -> float:
    """The mean share of the groups' prompts that a gate of alpha 0.05 blocks."""
    ranked = np.sort(references)
    p_values = [(1 + len(ranked) - np.searchsorted(ranked, scores, "left")) / (len(ranked) + 1) for scores in groups]
    return float(np.mean([(p <= ALPHAS[0]).mean() for p in p_values]))


def promise(alpha: float, count: int, splits: int) -> dict[str, Any]:
    """How often a known prompt was blocked, and the binomial limits."""
    from scipy.stats import binom

    low, high = (int(binom.ppf(q, splits, alpha)) for q in (1 - QUANTILE, QUANTILE))
    return {
        "alpha": alpha,
        "blocked": count / splits,
        "interval": [low / splits, high / splits],
        "holds": bool(count <= high),
    }


def plain(case: Case) -> dict[str, dict[str, float]]:
    """The ways without a rule: their share of the calls, and what they lose."""
    experts, samples = case.known.shape[2], case.known.shape[1]
    half = max(2, experts // 2)
    ways: dict[str, tuple[float, Callable[[Products], Any]]] = {
        "one noise sample": (1 / samples, lambda part: layout(part[:, :1]))
    }
    if half < experts:
        ways["half the experts"] = (half / experts, lambda part: layout(part[:, :, :half, :half]))
    if experts >= FEWEST_EXPERTS:
        ways["both halves"] = (Staged.of(case.known).shares[1], lambda part: Staged.of(part).both)
    return {name: {"cost_share": cost, "auroc_difference": _lost(case, score)} for name, (cost, score) in ways.items()}


def _lost(case: Case, score: Callable[[Products], Any]) -> float:
    """The full score's mean AUROC minus that of another score."""
    means = [np.mean([auroc(one(case.known), one(part)) for part in case.unknown.values()]) for one in (layout, score)]
    return float(means[0] - means[1])


def orders(case: Case, count: int, splits: int) -> dict[str, Any]:
    """All ways over random orders of experts and noise samples."""
    rng, rows = np.random.default_rng(1), []
    experts, samples = case.known.shape[2], case.known.shape[1]
    for number in range(count):
        turned = case.of(rng.permutation(experts), rng.permutation(samples))
        told = staged(turned, splits, number)
        mine = {"cost_share": told["cost_share"], "auroc_difference": told["auroc_difference"]}
        rows.append({STAGED: mine, **plain(turned)})
    return {"orders": count, "ways": {name: _over(rows, name) for name in rows[0]}}


def _over(rows: Sequence[dict[str, dict[str, float]]], way: str) -> dict[str, float]:
    """What one way costs and loses, over all orders."""
    lost = [row[way]["auroc_difference"] for row in rows]
    return {
        "cost_share": float(np.mean([row[way]["cost_share"] for row in rows])),
        "auroc_difference": float(np.mean(lost)),
        "standard_deviation": float(np.std(lost)),
        "within": float(np.mean([one <= MOST_LOSS for one in lost])),
    }


def shipped(pack: ModuleType, most: int | None) -> Case:
    """The experts that come with the pack."""
    import torch
    from emoe_testing.scoring import options

    host = pack.emoe_core.hosts.comfyui
    experts, latent = host.experts.demo_set.embedded_experts(), {"samples": torch.zeros(1, 4, 16, 16)}
    run = host.scoring.score.Run.of(experts, latent, options(host, preset="layout", noise_samples=SAMPLES))
    found: dict[str, Products] = {}
    for group, texts in pack.emoe_core.demo.prompts().items():
        texts = list(texts) if group in KNOWN else list(texts)[:most]
        parts = []
        for start in range(0, len(texts), BLOCK):
            block = [host.prompts.conditioning.encode_for_experts(experts, text) for text in texts[start:][:BLOCK]]
            taken = run.answers(block, (run.tap, run.estimator), lambda *_: None)
            # One entry per prompt, and one item per batch.
            empty = torch.stack([entries[0][:, 0] for entries in taken.empty[run.tap]])
            rows = [torch.stack([entries[0][:, 0] for entries in one[run.tap]]) for one in taken.prompts]
            parts.append(products(torch.stack(rows), empty))
        found[group] = np.concatenate(parts)
        print(f"  shipped experts: {group}", file=sys.stderr, flush=True)
    return Case("shipped", *known_and_others(found))


def known_and_others(found: dict[str, Products]) -> tuple[Products, dict[str, Products]]:
    """The groups that the experts know, together, and the others."""
    known = np.concatenate([found[group] for group in KNOWN if group in found])
    return known, {group: part for group, part in found.items() if group not in KNOWN}


def worlds(core: ModuleType, cache: Path, most: int | None) -> list[Case]:
    """The four fine-tunes of each trained world."""
    from types import SimpleNamespace

    import torch
    from known_truth.worlds import WorldSource, trained

    cases = []
    for place in trained(cache):
        source = WorldSource(core, place)
        if FOUR not in source.sets():
            continue
        lists = {group: texts if group in KNOWN else texts[:most] for group, texts in source.lists.items() if texts}
        asked: Any = [SimpleNamespace(text=text) for texts in lists.values() for text in texts]
        names = source.sets()[FOUR]
        taken = torch.stack([source.passes(name, asked).latents["noise_pred"] for name in names], dim=1)
        every = products(taken[:-1], taken[-1])
        ends = np.cumsum([len(texts) for texts in lists.values()])[:-1]
        found = dict(zip(lists, np.split(every, ends), strict=True))
        cases.append(Case(source.name, *known_and_others(found)))
        print(f"  {source.name}", file=sys.stderr, flush=True)
    return cases


def measure(case: Case, splits: int, count: int) -> dict[str, Any]:
    """Everything about one set of experts."""
    found = {"set": case.name, "experts": case.known.shape[2], "known": len(case.known), "plain": plain(case)}
    if case.known.shape[2] >= FEWEST_EXPERTS:
        found |= staged(case, splits) | {"any_order": orders(case, count, max(20, splits // 20))}
    return found


def keeps(found: dict[str, Any]) -> bool:
    """Whether a set of experts keeps its promise at every alpha."""
    return all(one["holds"] for one in found["promise"])


def holds(found: dict[str, Any]) -> bool:
    """Whether a set of experts keeps all limits."""
    return bool(keeps(found) and found["cost_share"] <= MOST_COST and found["auroc_difference"] <= MOST_LOSS)


def line(found: dict[str, Any]) -> str:
    """For a person."""
    told = [f"{name} {one['cost_share']:.2f}, {one['auroc_difference']:+.4f}" for name, one in found["plain"].items()]
    if "cost_share" in found:
        every = found["any_order"]["ways"][STAGED]
        said = (
            f"staged {found['cost_share']:.3f}, {found['auroc_difference']:+.4f} {'holds' if holds(found) else 'FAILS'}"
        )
        told = [said, f"in any order {every['cost_share']:.3f}, {every['auroc_difference']:+.4f}", *told]
    return f"{found['set']:24} {'; '.join(told)}"


def holds_together(sets: Sequence[dict[str, Any]]) -> bool:
    """Whether the limits are kept in the mean over sets and orders, and every promise by itself."""
    mean, kept = summary(sets)[STAGED], all(map(keeps, sets))
    return bool(kept and mean["cost_share"] <= MOST_COST and mean["auroc_difference"] <= MOST_LOSS)


def summary(sets: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What each way costs and loses in the mean over all sets, each over its random orders."""
    ways = [one["any_order"]["ways"] for one in sets]
    return {
        name: {key: float(np.mean([one[name][key] for one in ways])) for key in ("cost_share", "auroc_difference")}
        for name in ways[0]
    }


def table(figures: dict[str, Any]) -> list[str]:
    """All sets as a table: what each way loses over random orders, and what the staged score costs."""
    from known_truth.document import table as lines

    ways = (STAGED, "both halves", "one noise sample", "half the experts")
    rows = []
    for one in figures["sets"]:
        told = one["any_order"]["ways"]
        rows.append([one["set"], f"{100 * told[STAGED]['cost_share']:.0f} %"])
        rows[-1] += [f"{told[way]['auroc_difference']:.4f} ± {told[way]['standard_deviation']:.4f}" for way in ways]
        rows[-1].append("yes" if keeps(one) else "no")
    mean = figures["mean"]
    rows.append(["**mean**", f"**{100 * mean[STAGED]['cost_share']:.0f} %**"])
    rows[-1] += [f"**{mean[way]['auroc_difference']:.4f}**" for way in ways] + [""]
    head = ["experts", "calls of staged", *(f"loss of {way}" for way in ways), "promise kept"]
    return lines(head, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"at most {QUICK_PROMPTS} prompts of a group")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--worlds", type=Path, metavar="CACHE", help="also measure the worlds trained in CACHE")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the table of sets into this document")
    parser.add_argument("--splits", type=int, default=2000, help="random splits of the known prompts (default 2000)")
    options = parser.parse_args()
    from common import comfyui, enter_host, write

    enter_host()
    started, most = time.monotonic(), QUICK_PROMPTS if options.quick else None
    with comfyui() as pack:
        whole = shipped(pack, most)
        cases = [whole, *(_first(whole, count) for count in (3, 2))]
        if options.worlds:
            cases += worlds(pack.emoe_core, options.worlds, most)
    figures: dict[str, Any] = {"splits": options.splits, "sets": [], "too_few_experts": []}
    for case in cases:
        found = measure(case, options.splits, 24 if options.quick else 96)
        figures["sets" if "cost_share" in found else "too_few_experts"].append(found)
        print(line(found), flush=True)
        write(options.json, figures)
    figures |= {
        "mean": summary(figures["sets"]),
        "holds": holds_together(figures["sets"]),
        "seconds": round(time.monotonic() - started),
    }
    write(options.json, figures)
    if options.document:
        from known_truth.document import update

        update(figures, options.document, {"adaptive": table})
    print(f"{figures['seconds']} s")
    return 0 if figures["holds"] else 1


def _first(case: Case, count: int) -> Case:
    part = case.of(range(count), range(case.known.shape[1]))
    return Case(f"{case.name}, the first {count}", part.known, part.unknown)


if __name__ == "__main__":
    sys.exit(main())
