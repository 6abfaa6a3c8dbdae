"""The benchmark of choosing: its plants are what they are called, and its figures follow from what was planted."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from emoe_testing.modules import benchmarks

import emoe_core
import emoe_core.choosing.effective
import emoe_core.choosing.products
import emoe_core.choosing.select
import emoe_core.demo
import emoe_core.experts.kinship
import emoe_core.experts.sets
import emoe_core.experts.signature
import emoe_core.trial.look

PLACES = 60


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """`choice` and `known_truth`, only here."""
    with benchmarks("choice", "adaptive"):
        yield


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


class Known:
    """A source whose experts answer random numbers: unknown prompts move them less, and they disagree about them."""

    name = "made up"
    unknown = ("held_out", "nonsense", "typos", "word_salad")

    def __init__(self) -> None:
        self.groups = {group: [f"{group} {n}" for n in range(60)] for group in ("calibration", "fresh", *self.unknown)}
        self.others: dict[str, list[Any]] = {}
        self.texts = [text for texts in self.groups.values() for text in texts]
        generator = torch.Generator().manual_seed(0)
        known = torch.tensor([text.startswith(("calibration", "fresh")) for text in self.texts])
        self.common = (
            torch.randn(len(self.texts), 1, PLACES, generator=generator) * torch.where(known, 2.0, 1.0)[:, None, None]
        )
        self.experts = {f"expert_{n}": {"seed": torch.tensor(float(n))} for n in range(1, 5)}

    def parts(self, rows: Any) -> list[Any]:
        return np.split(rows, np.cumsum([len(texts) for texts in self.groups.values()])[:-1])

    def split(self, rows: Any) -> tuple[Any, dict[str, Any]]:
        found = dict(zip(self.groups, self.parts(rows), strict=True))
        return np.concatenate([found["calibration"], found["fresh"]]), {name: found[name] for name in self.unknown}

    def answers(self, weights: Any) -> Any:
        generator = torch.Generator().manual_seed(int(weights["seed"]))
        own = torch.randn(len(self.texts), 1, PLACES, generator=generator)
        return SimpleNamespace(layout=self.common + 0.5 * own)


def test_sets_are_worth_what_their_answers_are() -> None:
    """The signatures are of one number each, so nothing is known of kinship, and every expert counts."""
    sets = module("choice.sets")
    measured = sets.Measured(Known(), emoe_core)
    experts = list(measured.source.experts.values())
    found = sets.worth(measured, experts, 200, measured.layout(experts).scores(sets.SCORE))
    assert found["effective_number"] == pytest.approx(4, abs=0.2) and found["rank_correlation"] == pytest.approx(1)
    assert found["auroc"] > 0.95 and found["auroc_of_denominator"] > 0.95 > 0.7 > found["auroc_of_numerator"]
    assert found["promise"]["holds"] and found["blocked_unknown"] > 0.8
    half = measured.auroc(-measured.layout(experts).denominator().mean(axis=1), unseen=True)
    assert half == pytest.approx(found["auroc_of_denominator"], abs=0.05)
    table = sets.realistic({"sets": {"made up": {"four": found}}})
    assert len(table) == 3 and table[2].startswith("| made up | four | 1.000 | 0.5") and "broken" not in table[2]


def test_products_are_those_that_choose_experts_keeps() -> None:
    pools = module("known_truth.pools")
    features = [torch.randn(5, 2, 30, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    found = pools.products(emoe_core.choosing.products.Products, features)
    for prompt in range(5):
        stacked = torch.stack(features, dim=2)[prompt].numpy()
        (one,) = (emoe_core.choosing.products.products(list(stacked)),)
        np.testing.assert_allclose(found.square[prompt], one.square[0], rtol=1e-6)
        np.testing.assert_allclose(found.apart[prompt], one.apart[0], rtol=1e-6)


def test_variants_are_what_they_are_called() -> None:
    variants = module("known_truth.variants")
    generator = torch.Generator().manual_seed(0)
    one, other = (
        {
            f"unet.{block}.weight": torch.randn(64, 96, generator=generator)
            for block in ("input_blocks.1", "output_blocks.1")
        }
        for _ in range(2)
    )
    half = variants.merge(one, other, 0.25)
    by_block = variants.by_block(one, other, variants.ENCODER_AND_DECODER)
    for name, weight in one.items():
        torch.testing.assert_close(half[name], 0.75 * weight + 0.25 * other[name])
        assert torch.equal(by_block[name], (weight if "input" in name else other[name]))
        errors = []
        for how in (variants.q8_0, variants.fp8, variants.q4_0):
            rounded = variants.rounded(one, how)
            assert rounded.kind == variants.KINDS[how]
            errors.append(float((rounded[name] - weight).square().mean().sqrt() / weight.std()))
        assert 0 < errors[0] < errors[1] < errors[2] < 0.12
        assert torch.linalg.matrix_rank(variants.low_rank(other, one, 4)[name] - weight, rtol=1e-4) == 4


def test_planted_merges_are_measured_and_found() -> None:
    merges, families = module("choice.merges"), module("known_truth.families")
    family = merges.Family(emoe_core, {str(n): one for n, one in enumerate(families.fine_tunes(4))})
    rng = np.random.default_rng(1)
    assert max(family.error(rng, by_block) for by_block in (False, True) for _ in range(3)) < 0.02
    assert family.alarms() == (0, 12)
    real = emoe_core.experts.kinship.kinship
    blind = SimpleNamespace(
        experts=SimpleNamespace(**{name: getattr(emoe_core.experts, name) for name in ("signature", "sets")})
    )
    blind.experts.kinship = SimpleNamespace(kinship=lambda experts: real(experts[:2]))
    family.core = blind
    assert family.error(rng, False) == 1  # what is not found is no small error


def test_no_planted_expert_is_kept() -> None:
    """In pools of the shipped experts' weights, with answers that are made up."""
    pools, sets = module("choice.pools"), module("choice.sets")
    source: Any = module("known_truth.pools").shipped(emoe_core.demo, 4)
    known = Known()
    known.experts = source.experts
    seeds: dict[int, int] = {}
    answer = known.answers
    known.answers = lambda weights: answer({"seed": seeds.setdefault(id(weights), len(seeds) + 1)})  # type: ignore[method-assign]
    library = pools.Library(sets.Measured(known, emoe_core), True)
    merges = [name for name in library.made_of if name not in library.copies]
    pool = [library.names.index(name) for name in (*source.experts, *merges)]
    kin = emoe_core.experts.kinship.kinship([library.experts[place] for place in pool])
    assert {library.names[pool[one.child]] for one in kin.merges if one.decided} == set(merges)
    rng = np.random.default_rng(0)
    for _ in range(5):
        drawn = library.draw(rng)
        names = [library.names[place] for place in drawn]
        assert len(set(names)) == pools.POOL and set(source.experts) <= set(names)
    found = pools.pools(library, 3, True)
    assert 0 <= found["auroc_below_best_four"] <= found["worst"] and 2 <= found["chosen"] <= 4
