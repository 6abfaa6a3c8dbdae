"""What a set gets wrong, planted and not planted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from emoe_core.choosing.findings import FEWEST_PAIRS, findings, pairs_of_wording
from emoe_core.choosing.products import Products, joined, products
from emoe_core.experts.kin import Copy, Kin, Merge
from emoe_core.experts.sets import Expert
from emoe_core.experts.signature import Signature
from emoe_core.records.message import Code, Message

SENTENCES = [f"the thing number{chr(97 + i)} stands beside a tree{chr(97 + i)} at night" for i in range(FEWEST_PAIRS)]
TAGS = [f"number{chr(97 + i)}, tree{chr(97 + i)}, night" for i in range(FEWEST_PAIRS)]
PLAIN = [f"prompt number {i}" for i in range(12)]


def experts(count: int, rows: tuple[str, ...] = ("diffusion_model.out.weight",)) -> list[Expert]:
    own = Signature("d", "l", np.zeros((1, 64), dtype=np.float32), (), rows)
    return [
        Expert(f"e{i}", None, None, replace(own, digest=str(i)), str(i), "", "SD15", "EPS", "float32")
        for i in range(count)
    ]


def kin(count: int, **known: Any) -> Kin:
    names = tuple(f"e{i}" for i in range(count))
    made = Kin(names, (), (), (), (tuple(range(count)),), (), (), (), None)
    return replace(made, **known)


def answers(count: int, prompts: int, seed: int = 0) -> np.ndarray:
    """Independent experts who agree in part, [prompts, noise samples, experts, dimensions]."""
    random = np.random.default_rng(seed)
    shared = random.normal(size=(prompts, 1, 1, 600))
    own = random.normal(size=(prompts, 1, count, 600)) * 0.5
    size = np.exp(0.5 * random.normal(size=(prompts, 1, 1, 1)))
    return size * (shared + own + 0.1 * random.normal(size=(prompts, 2, count, 600)))


def of(told: np.ndarray) -> Products:
    return joined(products(prompt) for prompt in told)


def said(told: np.ndarray, texts: list[str], **known: Any) -> list[Message]:
    count = told.shape[2]
    layout = of(told)
    return list(findings(experts(count), kin(count, **known), layout, layout, layout, texts))


def codes(messages: list[Message]) -> list[Code]:
    return [one.code for one in messages]


def test_independent_experts_have_no_findings_but_the_split() -> None:
    found = said(answers(4, 12), PLAIN)
    assert codes(found) == [Code.WORDING_UNKNOWN, Code.SPLIT]
    assert codes(said(answers(4, 3), PLAIN[:3])) == [Code.WORDING_UNKNOWN]  # too few to rank
    assert findings(experts(4), kin(4)) == () and findings(experts(1), kin(1)) == ()


def test_a_model_that_stands_alone() -> None:
    told = answers(4, 12)
    told[:, :, 2] = np.random.default_rng(9).normal(size=told[:, :, 2].shape) * 1.5
    (alone,) = (one for one in said(told, PLAIN) if one.code == Code.STANDS_ALONE)
    assert alone.values["name"] == "e2" and alone.values["times"] > 1.7 and alone.values["sure"] > 0.75
    assert "distilled" in str(alone)
    # of another base it has every reason to
    apart = said(told, PLAIN, groups=((0, 1, 3), (2,)))
    assert Code.STANDS_ALONE not in codes(apart)


def test_a_copy_beside_its_original_does_not_make_the_third_one_stand_alone() -> None:
    told = answers(3, 12)
    told[:, :, 1] = told[:, :, 0] * 1.0001
    found = said(told, PLAIN, copies=(Copy(0, 1, "rounding", "float8_e4m3fn"),))
    assert Code.STANDS_ALONE not in codes(found)
    assert Code.STANDS_ALONE in codes(said(told, PLAIN))


@pytest.mark.parametrize("count", [2, 4])
def test_a_model_with_its_guidance_inside(count: int) -> None:
    told = answers(count, 12)
    told[:, :, 1] *= 4
    (strong,) = (one for one in said(told, PLAIN) if one.code == Code.STRONG)
    assert strong.values["name"] == "e1" and strong.values["times"] == pytest.approx(4, abs=0.5)
    assert Code.WEAK not in codes(said(told, PLAIN))


def test_a_model_that_hardly_follows_prompts() -> None:
    told = answers(4, 12)
    told[:, :, 3] *= 0.2
    (weak,) = (one for one in said(told, PLAIN) if one.code == Code.WEAK)
    assert weak.values["name"] == "e3" and weak.values["times"] < 0.3
    shift, prompt = of(answers(2, 4) * 1e-5), of(answers(2, 4))
    (deaf,) = findings(experts(2), kin(2), shift=shift, prompt=prompt)
    assert deaf.code == Code.DEAF and "'e0', 'e1'" in str(deaf)


def test_networks_that_take_the_guidance_as_an_input() -> None:
    flux = experts(2, ("diffusion_model.double_blocks.0.w", "diffusion_model.guidance_in.in_layer.weight"))
    (guided,) = findings(flux, kin(2))
    assert guided.code == Code.GUIDANCE_INPUT and "fast" in str(guided)


def test_sentences_find_their_tags() -> None:
    mixed = ["no pair, at all, here", *(text for pair in zip(SENTENCES, TAGS, strict=True) for text in pair), "alone"]
    assert pairs_of_wording(mixed) == [(2 * i + 1, 2 * i + 2) for i in range(FEWEST_PAIRS)]
    assert pairs_of_wording(["a cat", "a dog"]) == [] and pairs_of_wording(["cat, dog, bird"]) == []


def test_experts_of_tags_beside_experts_of_sentences() -> None:
    """On tags all are alike; sentences are read in one way by two of them and in another way by the others."""
    told = answers(4, 2 * FEWEST_PAIRS)
    other = np.random.default_rng(3).normal(size=(FEWEST_PAIRS, 1, 1, 600))
    told[:FEWEST_PAIRS, :, 2:] += other
    (wording,) = (one for one in said(told, SENTENCES + TAGS) if one.code == Code.WORDING)
    named = [[str(one) for one in wording.values[side]] for side in ("experts", "others")]
    assert sorted(named) == [["'e0'", "'e1'"], ["'e2'", "'e3'"]]
    assert wording.values["sentences"] > wording.values["tags"] + 0.15
    stronger = answers(2, 2 * FEWEST_PAIRS)
    stronger[FEWEST_PAIRS:, :, 1] *= 2.5
    assert Code.WORDING in codes(said(stronger, SENTENCES + TAGS))


def test_wording_that_makes_no_difference() -> None:
    for seed in range(20):
        found = codes(said(answers(2 + seed % 4, 2 * FEWEST_PAIRS, seed), SENTENCES + TAGS))
        assert Code.WORDING not in found and Code.WORDING_UNKNOWN not in found


def test_the_split_of_the_ratio() -> None:
    random = np.random.default_rng(4)
    told = answers(3, 12)
    disagree = told.copy()
    disagree -= disagree.mean(axis=2, keepdims=True)
    shared = np.random.default_rng(5).normal(size=(12, 1, 1, 600))
    by_top = shared + disagree * np.exp(random.normal(size=(12, 1, 1, 1))) / 10
    (split,) = (one for one in said(by_top, PLAIN) if one.code == Code.SPLIT)
    assert split.values["top"] > 0.9 and split.values["count"] == 12
    size = np.exp(random.normal(size=(12, 1, 1, 1)))
    unit = disagree / np.sqrt(np.square(disagree).mean(axis=(1, 2, 3), keepdims=True))
    (split,) = (one for one in said(shared * size + unit / 10, PLAIN) if one.code == Code.SPLIT)
    assert split.values["bottom"] > 0.9 and abs(split.values["top"]) < 0.6


def test_copies_and_merges_in_words() -> None:
    known = kin(
        5,
        copies=(Copy(0, 1, "same"), Copy(0, 2, "near"), Copy(0, 3, "rounding", "nvfp4")),
        merges=(
            Merge(4, (0, 1), (0.25, 0.75), 0.999),
            Merge(4, (0, 1), (0.25, 0.75), 0.999, (("a", (0.1, 0.9)),)),
            Merge(4, (0, 1, 2), (1, 1, -1), 0.999, (), False),
        ),
        unsure=(3,),
    )
    found = findings(experts(5), known)
    assert codes(list(found)) == [
        *(Code.COPIES, Code.NEAR_COPIES, Code.ROUNDED_COPY),
        *(Code.MERGED, Code.MERGED_BLOCKS, Code.EXACT_SUM, Code.UNSURE_MERGE),
    ]
    assert "'e4' is a merge of 'e0' (0.25), 'e1' (0.75)" in str(found[3]) and "nvfp4" in str(found[2])
    assert "e4" in found[3].line("ja")
    twins = kin(2, copies=(Copy(0, 1, "rounding", "float8_e4m3fn"),))
    assert codes(list(findings(experts(2), twins)))[-1] == Code.ONE_MODEL
