"""What is a set of experts worth, and does `choose` find the good ones?

    python benchmarks/choosing.py [--quick] [--json FILE] [--worlds CACHE]

Four parts, on experts whose training is known:

    sets      sets as users have them: fine-tunes, merges, quantised copies, differences of low rank, and in the worlds other
              styles, LoRAs and a distilled expert. For each: mean AUROC of `layout` over the groups of prompts that the
              experts were hardly or never shown, the same for the score's numerator (disagreement) and for one over its
              denominator (the guidance's size) alone, the effective number of experts, and the Gate's promise.
    pools     pools of 8 with planted near copies and merges. `planted_kept_share`: in which share of the draws a planted
              expert was kept beside those that it was made from. `auroc_below_best_four`: how far the chosen four are below
              the best four of the pool, found by trying all; the mean over the draws. Both without and with labels.
    merges    `merge_weight_error`: the largest error of a found share, over planted merges of two experts, whole and by
              block, in half precision. `merge_false_alarms`: of so many triples of independent fine-tunes, how many were
              taken for a merge.
    settings  what `choose` recommends on some prompts (with --worlds: on split 0), measured on others (on splits 1 and 2).

--worlds adds the small worlds that `python -m tools.worlds` has trained in CACHE.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

import numpy as np  # noqa: E402

#: What the recommended setting may lose.
ALLOWED = (0.005, 0.02)
ALPHA = 0.1
QUICK_PROMPTS, PROMPTS = 12, 40
SPLITS, QUICK_SPLITS = 2000, 500
REFERENCES = 100
POOL, DRAWS, QUICK_DRAWS = 8, 200, 40
SCORE = "centred_layout"


def expert(core: ModuleType, name: str, weights: Any) -> Any:
    """What the U-Net's weights tell, as of an expert that was loaded."""
    unet = {key.removeprefix("unet."): weight for key, weight in weights.items() if not key.startswith("text.")}
    mark = core.experts.signature.signature(unet.items())
    return core.experts.sets.Expert(name, None, None, mark, mark.digest, "", "small", "EPS", "float32")


# --- sets -------------------------------------------------------------------------------------------------------------


class Measured:
    """A source whose experts' answers are kept, since most sets share experts."""

    def __init__(self, source: Any, core: ModuleType) -> None:
        self.source, self.core = source, core
        self._answers: dict[int, tuple[Any, Any]] = {}

    def answers(self, weights: Any) -> Any:
        """The answers of an expert; the weights are kept too, so that their id stays theirs."""
        if id(weights) not in self._answers:
            self._answers[id(weights)] = (weights, self.source.answers(weights))
        return self._answers[id(weights)][1]

    def layout(self, experts: Sequence[Any]) -> Any:
        """The products that `layout` reads."""
        from known_truth.pools import products

        return products(self.core.choosing.products.Products, [self.answers(one).layout for one in experts])

    def groups(self, values: Any) -> tuple[Any, dict[str, Any]]:
        """Values of the fresh known prompts, and of the unknown ones by group."""
        rows = dict(zip(self.source.groups, self.source.parts(values), strict=True))
        return rows["fresh"], {group: rows[group] for group in self.source.unknown}

    def auroc(self, values: Any, unseen: bool = False) -> float:
        """The mean over the groups of unknown prompts; with `unseen`, on those that no choice has seen."""
        from adaptive import auroc

        fresh, others = self.groups(values)
        if unseen:
            others = {group: part[is_kept_back(np.arange(len(part)))] for group, part in others.items()}
        return float(np.mean([auroc(fresh, part) for part in others.values()]))


def worth(measured: Measured, experts: Sequence[Any], splits: int, full: Any | None = None) -> dict[str, Any]:
    """What a set of experts is worth.

    Args:
        full: the scores of the set that it is compared with.
    """
    from scipy.stats import spearmanr

    found = measured.layout(experts)
    score = found.scores(SCORE)
    numerator, denominator = found.numerator().mean(axis=1), found.denominator().mean(axis=1)
    scaled = found.values.mean(axis=1) / found.denominator().mean(axis=1)[:, None, None]
    number = measured.core.stats.effective.effective(scaled)
    return {
        "experts": len(experts),
        "effective_number": number.value,
        "interval": [number.low, number.high],
        "auroc": measured.auroc(score),
        "auroc_of_numerator": measured.auroc(numerator),
        "auroc_of_denominator": measured.auroc(-denominator),
        "score_and_numerator": float(spearmanr(score, numerator).statistic),
        "score_and_denominator": float(spearmanr(score, -denominator).statistic),
        "rank_correlation": None if full is None else float(spearmanr(score, full).statistic),
        **gate(measured, score, splits),
    }


def gate(measured: Measured, score: Any, splits: int) -> dict[str, Any]:
    """The Gate's promise at `ALPHA` over random splits of the known prompts, and the share of unknown ones that it blocks."""
    from adaptive import promise

    known = measured.source.split(score)[0]
    others = np.concatenate(list(measured.groups(score)[1].values()))
    rng, blocked, caught = np.random.default_rng(0), 0, []
    for _ in range(splits):
        order = rng.permutation(len(known))
        ranked = np.sort(known[order[:REFERENCES]])
        fresh = known[order[REFERENCES]]
        blocked += bool((1 + (ranked >= fresh).sum()) / (REFERENCES + 1) <= ALPHA)
        p_values = (1 + REFERENCES - np.searchsorted(ranked, others, "left")) / (REFERENCES + 1)
        caught.append(float((p_values <= ALPHA).mean()))
    return {"promise": promise(ALPHA, blocked, splits), "blocked_unknown": float(np.mean(caught))}


def sets(measured: Measured, splits: int, quick: bool) -> dict[str, Any]:
    """Every kind of set."""
    from known_truth.variants import kinds

    experts = list(measured.source.experts.values())
    full = measured.layout(experts[:4]).scores(SCORE)
    made: dict[str, Any] = kinds(experts[:4])
    if quick:
        made = {name: made[name] for name in QUICK_SETS}
    if len(experts) >= 8:
        made["eight fine-tunes"] = lambda: experts[:8]
    made |= {name: lambda others=others: others for name, others in measured.source.others.items()}
    found = {}
    for name, make in made.items():
        found[name] = worth(measured, make(), splits, full)
        print(f"  {measured.source.name}: {line(name, found[name])}", flush=True)
    return found


QUICK_SETS = ("four fine-tunes", "two fine-tunes", "each merged half with the first", "one and its fp8 copy")


def line(name: str, one: dict[str, Any]) -> str:
    """For a person."""
    return (
        f"{name:34} AUROC {one['auroc']:.3f} (numerator {one['auroc_of_numerator']:.3f}, denominator "
        f"{one['auroc_of_denominator']:.3f}), effective number {one['effective_number']:.2f}, blocked: known "
        f"{one['promise']['blocked']:.3f}{'' if one['promise']['holds'] else ' BROKEN'}, unknown {one['blocked_unknown']:.3f}"
    )


# --- pools ------------------------------------------------------------------------------------------------------------


class Library:
    """A source's fine-tunes and what is made of them: the pools are drawn from here.

    Attributes:
        made_of: name of a planted expert -> those that it was made from.
        copies: the planted near copies; the other planted ones are merges.
    """

    def __init__(self, measured: Measured, quick: bool) -> None:
        from known_truth import variants

        self.measured = measured
        own = measured.source.experts
        self.weights = dict(own)
        self.made_of: dict[str, tuple[str, ...]] = {}
        names = list(own)
        copied = names[:2] if quick else names
        for name in copied:
            self._plant(f"{name} in fp8", variants.rounded(own[name], variants.fp8), name)
            self._plant(f"{name}, a little further", variants.noisy(own[name], 0.02, names.index(name)), name)
        self.copies = frozenset(self.made_of)
        pairs = list(combinations(names[:4], 2))
        for one, other in pairs[:2] if quick else pairs:
            self._plant(f"half {one}, half {other}", variants.merge(own[one], own[other]), one, other)
            blocks = variants.by_block(own[one], own[other], variants.ENCODER_AND_DECODER)
            self._plant(f"{one} and {other} by block", blocks, one, other)
            if not quick:
                self._plant(f"{one} and a fifth {other}", variants.merge(own[one], own[other], 0.2), one, other)
        self.names = list(self.weights)
        self.products = measured.layout(list(self.weights.values()))
        self.experts = [expert(measured.core, name, weights) for name, weights in self.weights.items()]
        self._values: dict[Any, float] = {}

    def _plant(self, name: str, weights: Any, *made_of: str) -> None:
        self.weights[name], self.made_of[name] = weights, made_of

    def draw(self, rng: Any) -> list[int]:
        """A pool of `POOL`: four fine-tunes, and planted ones of which at least two are copies and one is a merge of them."""
        own = rng.permutation(len(self.measured.source.experts))[:4].tolist()
        here = {self.names[place] for place in own}
        planted = [place for place, name in enumerate(self.names) if here.issuperset(self.made_of.get(name, ("",)))]
        copies = [place for place in planted if self.names[place] in self.copies]
        merges = [place for place in planted if place not in copies]
        count = min(int(rng.integers(1, POOL - 4)), len(merges), POOL - 5)
        chosen = rng.permutation(merges)[:count].tolist()
        chosen += rng.permutation(copies)[: POOL - 4 - count].tolist()
        return [int(place) for place in rng.permutation([*own, *chosen])]

    def value(self, experts: Sequence[int]) -> float:
        """The mean AUROC over the unknown groups, on the prompts that no choice has seen."""
        key = frozenset(experts)
        if key not in self._values:
            self._values[key] = self.measured.auroc(self.products.of(sorted(experts)).scores(SCORE), unseen=True)
        return self._values[key]


def prompts_to_choose(measured: Measured, labels: bool) -> list[Any]:
    """Half of the prompts. Without labels, known prompts and what can be made of them; the other prompts are of no kind."""
    asked, look = measured.core.choosing.record.Asked, measured.core.trial.look
    kinds = {
        "calibration": look.REFERENCE,
        "nonsense": look.NONSENSE,
        "typos": look.NONSENSE,
        "word_salad": look.SHUFFLED,
    }
    wanted = measured.source.unknown if labels else tuple(kinds)
    found = []
    for group, texts in measured.source.groups.items():
        for place, text in enumerate(texts):
            chooses = group == "calibration" or (group in wanted and not is_kept_back(place))
            kind = kinds.get(group, "") if chooses and not labels else ""
            bad = group != "calibration" if chooses and labels else None
            found.append(asked(kind, f"{group} {text}", text, {}, bad))
    return found


def is_kept_back(place: Any) -> Any:
    """Whether the prompt at this place of an unknown group is one that no choice sees."""
    return place % 4 > 1


def pools(library: Library, draws: int, labels: bool) -> dict[str, float]:
    """`choose` on random pools."""
    choosing = library.measured.core.choosing
    halves = choosing.tasks.split(prompts_to_choose(library.measured, labels))
    rng, kept, below, sizes = np.random.default_rng(0), 0, [], []
    for _ in range(draws):
        pool = library.draw(rng)
        part = library.products.of(pool)
        scorer = lambda chosen, part=part: part.of(list(chosen)).scores(SCORE)  # noqa: E731
        kin = library.measured.core.experts.kinship.kinship([library.experts[place] for place in pool])
        out = choosing.kin.joined(choosing.kin.by_weights(kin), choosing.kin.by_answers(part))
        found = choosing.select.select(scorer, halves, len(pool), 4, out)
        four = [pool[place] for place in found.steps[-1].experts]
        names = {library.names[place] for place in four}
        kept += any(names & set(made_of) for name, made_of in library.made_of.items() if name in names)
        best = max(library.value(four_of) for four_of in combinations(pool, 4))
        below.append(best - library.value(four))
        sizes.append(len(found.chosen))
    return {
        "planted_kept_share": kept / draws,
        "auroc_below_best_four": float(np.mean(below)),
        "worst": float(np.max(below)),
        "chosen": float(np.mean(sizes)),
    }


# --- merges -----------------------------------------------------------------------------------------------------------


class Family:
    """Fine-tunes of one base, and what their weights tell of merges."""

    def __init__(self, core: ModuleType, experts: dict[str, Any]) -> None:
        from known_truth.variants import half

        self.core = core
        self.experts = {name: half(weights) for name, weights in experts.items()}
        self.known = {name: expert(core, name, weights) for name, weights in self.experts.items()}

    def error(self, rng: Any, by_block: bool) -> float:
        """Of a merge of two that stand beside a third: how far the found shares are from the planted ones; 1 if not found."""
        from known_truth import variants

        one, other, third = (list(self.experts)[place] for place in rng.permutation(len(self.experts))[:3])
        shares = rng.uniform(0.1, 0.9, 3 if by_block else 1)
        if by_block:
            by_name = dict(zip(("input_blocks", "output_blocks", ""), shares.tolist(), strict=True))
            made = variants.by_block(self.experts[one], self.experts[other], by_name)
        else:
            made = variants.merge(self.experts[one], self.experts[other], float(shares[0]))
        every = [self.known[one], self.known[other], self.known[third], expert(self.core, "merge", variants.half(made))]
        order = rng.permutation(4).tolist()
        found = self.core.experts.kinship.kinship([every[place] for place in order])
        merge = next((each for each in found.merges if order[each.child] == 3 and each.decided), None)
        if merge is None or {order[place] for place in merge.parents} != {0, 1}:
            return 1.0
        of_other = [order[place] for place in merge.parents].index(1)
        told = [weights[of_other] for _, weights in merge.blocks] if by_block else [merge.weights[of_other]]
        if by_block:
            # Every planted share must be found, and no other one.
            return max(
                max((min(abs(share - one) for one in told) for share in shares), default=1.0),
                max((min(abs(share - one) for share in shares) for one in told), default=1.0),
            )
        return abs(told[0] - float(shares[0]))

    def alarms(self) -> tuple[int, int]:
        """Among the fine-tunes themselves: merges that were found, and triples of a child and two parents that were tried."""
        count = len(self.experts)
        found = self.core.experts.kinship.kinship(list(self.known.values()))
        return len(found.merges) + len(found.copies), count * (count - 1) * (count - 2) // 2


def merges(core: ModuleType, sources: Sequence[Any], quick: bool) -> dict[str, Any]:
    """Planted merges, and fine-tunes without any."""
    from known_truth.families import fine_tunes

    families = {source.name: source.experts for source in sources}
    families["small nets"] = {f"fine-tune {n}": one for n, one in enumerate(fine_tunes(8 if quick else 12), 1)}
    errors: list[float] = []
    in_blocks: list[float] = []
    alarms = tried = 0
    for name, experts in families.items():
        family, rng = Family(core, experts), np.random.default_rng(0)
        draws = 10 if quick else 50
        errors += [family.error(rng, False) for _ in range(draws)]
        in_blocks += [family.error(rng, True) for _ in range(draws)]
        found = family.alarms()
        alarms, tried = alarms + found[0], tried + found[1]
        print(
            f"  merges among {name}: error {max(errors):.4f}, by block {max(in_blocks):.4f}, alarms {found}", flush=True
        )
    return {
        "merge_weight_error": max(*errors, *in_blocks),
        "whole": max(errors),
        "by_block": max(in_blocks),
        "planted": len(errors) + len(in_blocks),
        "merge_false_alarms": alarms,
        "triples": tried,
    }


# --- settings ---------------------------------------------------------------------------------------------------------


def record(measured: Measured, samples: int, timesteps: Sequence[int]) -> Any:
    """What Choose Experts would have kept of the first four experts at these noise levels."""
    from known_truth.pools import products

    choosing, source = measured.core.choosing, measured.source
    kind, kept = choosing.products.Products, choosing.record
    experts = list(source.experts.items())[:4]
    settings = measured.core.records.settings.Settings(
        experts=tuple(name for name, _ in experts), text_encoders=("own",), tap="noise_pred", estimator=SCORE, sigma=14.6146,
        noise_seed=0, noise_samples=samples, latent_shape=(4, source.side, source.side), latent="empty", dtype="float32",
    )  # fmt: skip
    found, levels = {}, []
    for number, timestep in enumerate(timesteps):
        answers = [source.answers(weights, tuple(range(samples)), timestep) for _, weights in experts]
        found[number, choosing.products.LAYOUT] = products(kind, [one.layout for one in answers])
        found[number, choosing.products.SHIFT] = products(kind, [one.shift.flatten(2) for one in answers])
        found[number, choosing.products.PROMPT] = products(kind, [one.middle for one in answers])
        side = 8 * source.side
        levels.append(kept.Level(round((999 - timestep) / 50), 20, (side, side), "mid_out", settings))
    candidates = tuple(kept.Candidate(name, "", name, "own", "float32", 0) for name, _ in experts)
    prompts = tuple(kept.Asked("", text, text) for text in source.texts)
    about = kept.About(candidates, tuple(levels), prompts, samples, "layout")
    spent = tuple(tuple(kept.Spent(1, 1.0) for _ in experts) for _ in levels)
    return kept.Record(about, len(prompts), found, spent, None)


def settings(every: Sequence[Measured], quick: bool) -> list[dict[str, Any]]:
    """What is recommended on some prompts, on others: of a world's split 0 on the same world's splits 1 and 2."""
    samples, timesteps = (2, (999,)) if quick else (4, (999, 749))
    records = {one.source.name: record(one, samples, timesteps) for one in every}
    found = []
    for measured in every:
        name, choosing = measured.source.name, measured.core.choosing
        world, _, split = name.partition(", ")
        if split not in ("", "split 0"):
            continue
        judges = [one for one in every if split and one is not measured and one.source.name.startswith(world)]
        halves = choosing.tasks.split(prompts_to_choose(measured, False))
        usable = np.ones(records[name].done, dtype=bool)
        for allowed in ALLOWED:
            told = choosing.sweep.sweep(records[name], halves, [tuple(range(4))], usable, allowed)
            for other in judges or [measured]:
                found.append(kept_promise(told, other, records[other.source.name], not judges, name))
                print(f"  settings: {found[-1]}", flush=True)
    return found


def kept_promise(told: Any, other: Measured, its: Any, unseen: bool, name: str) -> dict[str, Any]:
    """What the recommended setting loses elsewhere."""
    advised, dearest = told.advised, told.dearest
    scores = [its.scores(one.level, one.preset, one.experts, one.samples) for one in (dearest, advised)]
    best, own = (other.auroc(one, unseen) for one in scores)
    return {
        "chosen_on": name,
        "measured_on": other.source.name,
        "allowed": told.allowed,
        "preset": advised.preset,
        "samples": advised.samples,
        "level": its.about.levels[advised.level].name(),
        "cost_share": advised.calls / dearest.calls,
        "loss": best - own,
        "holds": bool(best - own <= told.allowed),
    }


# --- merges -----------------------------------------------------------------------------------------------------------


class Family:
    """Fine-tunes of one base, and what their weights tell of merges."""

    def __init__(self, core: ModuleType, experts: dict[str, Any]) -> None:
        from known_truth.variants import half

        self.core = core
        self.experts = {name: half(weights) for name, weights in experts.items()}
        self.known = {name: expert(core, name, weights) for name, weights in self.experts.items()}

    def error(self, rng: Any, by_block: bool) -> float:
        """Of a merge of two that stand beside a third: how far the found shares are from the planted ones; 1 if not found."""
        from known_truth import variants

        one, other, third = (list(self.experts)[place] for place in rng.permutation(len(self.experts))[:3])
        shares = rng.uniform(0.1, 0.9, 3 if by_block else 1)
        if by_block:
            by_name = dict(zip(("input_blocks", "output_blocks", ""), shares.tolist(), strict=True))
            made = variants.by_block(self.experts[one], self.experts[other], by_name)
        else:
            made = variants.merge(self.experts[one], self.experts[other], float(shares[0]))
        every = [self.known[one], self.known[other], self.known[third], expert(self.core, "merge", variants.half(made))]
        order = rng.permutation(4).tolist()
        found = self.core.experts.kinship.kinship([every[place] for place in order])
        merge = next((each for each in found.merges if order[each.child] == 3 and each.decided), None)
        if merge is None or {order[place] for place in merge.parents} != {0, 1}:
            return 1.0
        of_other = [order[place] for place in merge.parents].index(1)
        told = [weights[of_other] for _, weights in merge.blocks] if by_block else [merge.weights[of_other]]
        if by_block:
            # Every planted share must be found, and no other one.
            return max(
                max((min(abs(share - one) for one in told) for share in shares), default=1.0),
                max((min(abs(share - one) for share in shares) for one in told), default=1.0),
            )
        return abs(told[0] - float(shares[0]))

    def alarms(self) -> tuple[int, int]:
        """Among the fine-tunes themselves: merges that were found, and triples of a child and two parents that were tried."""
        count = len(self.experts)
        found = self.core.experts.kinship.kinship(list(self.known.values()))
        return len(found.merges) + len(found.copies), count * (count - 1) * (count - 2) // 2


def merges(core: ModuleType, sources: Sequence[Any], quick: bool) -> dict[str, Any]:
    """Planted merges, and fine-tunes without any."""
    from known_truth.families import fine_tunes

    families = {source.name: source.experts for source in sources}
    families["small nets"] = {f"fine-tune {n}": one for n, one in enumerate(fine_tunes(8 if quick else 12), 1)}
    errors: list[float] = []
    in_blocks: list[float] = []
    alarms = tried = 0
    for name, experts in families.items():
        family, rng = Family(core, experts), np.random.default_rng(0)
        draws = 10 if quick else 50
        errors += [family.error(rng, False) for _ in range(draws)]
        in_blocks += [family.error(rng, True) for _ in range(draws)]
        found = family.alarms()
        alarms, tried = alarms + found[0], tried + found[1]
        print(
            f"  merges among {name}: error {max(errors):.4f}, by block {max(in_blocks):.4f}, alarms {found}", flush=True
        )
    return {
        "merge_weight_error": max(*errors, *in_blocks),
        "whole": max(errors),
        "by_block": max(in_blocks),
        "planted": len(errors) + len(in_blocks),
        "merge_false_alarms": alarms,
        "triples": tried,
    }


# --- settings ---------------------------------------------------------------------------------------------------------


def record(measured: Measured, samples: int, timesteps: Sequence[int]) -> Any:
    """What Choose Experts would have kept of the first four experts at these noise levels."""
    from known_truth.pools import products

    choosing, source = measured.core.choosing, measured.source
    kind, kept = choosing.products.Products, choosing.record
    experts = list(source.experts.items())[:4]
    settings = measured.core.records.settings.Settings(
        experts=tuple(name for name, _ in experts), text_encoders=("own",), tap="noise_pred", estimator=SCORE, sigma=14.6146,
        noise_seed=0, noise_samples=samples, latent_shape=(4, source.side, source.side), latent="empty", dtype="float32",
    )  # fmt: skip
    found, levels = {}, []
    for number, timestep in enumerate(timesteps):
        answers = [source.answers(weights, tuple(range(samples)), timestep) for _, weights in experts]
        found[number, choosing.products.LAYOUT] = products(kind, [one.layout for one in answers])
        found[number, choosing.products.SHIFT] = products(kind, [one.shift.flatten(2) for one in answers])
        found[number, choosing.products.PROMPT] = products(kind, [one.middle for one in answers])
        side = 8 * source.side
        levels.append(kept.Level(round((999 - timestep) / 50), 20, (side, side), "mid_out", settings))
    candidates = tuple(kept.Candidate(name, "", name, "own", "float32", 0) for name, _ in experts)
    prompts = tuple(kept.Asked("", text, text) for text in source.texts)
    about = kept.About(candidates, tuple(levels), prompts, samples, "layout")
    spent = tuple(tuple(kept.Spent(1, 1.0) for _ in experts) for _ in levels)
    return kept.Record(about, len(prompts), found, spent, None)


def settings(every: Sequence[Measured], quick: bool) -> list[dict[str, Any]]:
    """What is recommended on some prompts, on others: of a world's split 0 on the same world's splits 1 and 2."""
    samples, timesteps = (2, (999,)) if quick else (4, (999, 749))
    records = {one.source.name: (one, record(one, samples, timesteps)) for one in every}
    found = []
    for name, (measured, kept) in records.items():
        world, _, split = name.partition(", ")
        if split not in ("", "split 0"):
            continue
        others = {name: records[name] for name in records if split and name.startswith(world) and name != records}
        judged = {key: value for key, value in others.items() if key != name} or {name: (measured, kept)}
        choosing = measured.core.choosing
        halves = choosing.tasks.split(prompts_to_choose(measured, False))
        for allowed in ALLOWED:
            usable = np.ones(kept.done, dtype=bool)
            told = choosing.sweep.sweep(kept, halves, [tuple(range(4))], usable, allowed)
            advised, dearest = told.advised, told.dearest
            for key, (other, its) in judged.items():

                def value(one: Any, other: Measured = other, its: Any = its) -> float:
                    scores = its.scores(one.level, one.preset, one.experts, one.samples)
                    return other.auroc(scores, unseen=not split)

                row = {
                    "chosen_on": name, "measured_on": key, "allowed": allowed, "preset": advised.preset,
                    "samples": advised.samples, "level": its.about.levels[advised.level].name(),
                    "cost_share": advised.calls / dearest.calls, "loss": value(dearest) - value(advised),
                }  # fmt: skip
                found.append(row | {"holds": bool(row["loss"] <= allowed)})
                print(f"  settings: {found[-1]}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer prompts, sets and draws")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, after every part")
    parser.add_argument("--worlds", type=Path, metavar="CACHE", help="also measure the worlds trained in CACHE")
    parser.add_argument("--part", choices=list(PARTS), action="append", help="only this part (repeatable)")
    options = parser.parse_args()
    from common import enter_host, write

    enter_host()
    from known_truth import pools

    import emoe_core.choosing.select
    import emoe_core.choosing.sweep
    import emoe_core.choosing.tasks
    import emoe_core.demo
    import emoe_core.experts.kinship
    import emoe_core.experts.sets
    import emoe_core.stats.effective
    import emoe_core.trial.look

    started, most = time.monotonic(), QUICK_PROMPTS if options.quick else PROMPTS
    sources = [pools.shipped(emoe_core.demo, most)]
    if options.worlds:
        sources += pools.worlds(emoe_core, options.worlds, most)
    every = [Measured(source, emoe_core) for source in sources]
    figures: dict[str, Any] = {"quick": options.quick}
    for part in options.part or PARTS:
        figures[part] = PARTS[part](every, options.quick)
        figures["seconds"] = round(time.monotonic() - started)
        write(options.json, figures)
    return 0


def _pools(measured: Measured, quick: bool) -> dict[str, Any]:
    library, draws = Library(measured, quick), QUICK_DRAWS if quick else DRAWS
    found = {name: pools(library, draws, name == "labels") for name in ("without_labels", "labels")}
    print(f"  {measured.source.name}, pools: {found}", flush=True)
    return found


PARTS: dict[str, Any] = {
    "sets": lambda every, quick: {
        one.source.name: sets(one, QUICK_SPLITS if quick else SPLITS, quick) for one in every
    },
    "pools": lambda every, quick: {one.source.name: _pools(one, quick) for one in every},
    "settings": lambda every, quick: settings(every, quick),
    "merges": lambda every, quick: merges(every[0].core, [one.source for one in every], quick),
}


if __name__ == "__main__":
    sys.exit(main())
