"""Candidates with known worth for `choosing`: features of random numbers, with planted copies and merges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emoe_core.choosing.products import Products, joined, products
from emoe_core.choosing.record import About, Asked, Candidate, Level, Spent
from emoe_core.records.settings import Settings
from emoe_core.stats.evaluation import Floats

KINDS = ("reference", "shuffled", "nonsense")


@dataclass(frozen=True, eq=False)
class Pool:
    """Prompts and the products of the experts' features.

    Attributes:
        planted: the place of the planted expert, and `of` those that it is made of; -1 and nothing without one.
    """

    prompts: tuple[Asked, ...]
    products: Products
    planted: int = -1
    of: tuple[int, ...] = ()

    def scores(self, experts: Sequence[int]) -> Floats:
        return self.products.of(experts).scores("centred_layout")


def asked(pairs: int, groups: Sequence[dict[str, str]] = ()) -> tuple[Asked, ...]:
    """Known prompts with two twins each; of pair number i the group is number i modulo their count."""
    return tuple(
        Asked(kind, f"thing {number}", f"thing {number} {kind}", groups[number % len(groups)] if groups else {})
        for number in range(pairs)
        for kind in KINDS
    )


def pool(
    seed: int,
    plant: str = "",
    experts: int = 8,
    pairs: int = 60,
    worth: Sequence[float] | None = None,
    dimensions: int = 300,
    samples: int = 1,
    groups: Sequence[dict[str, str]] = (),
) -> Pool:
    """Experts that deviate from one base, each by an amount of its own that grows where the prompt is unknown.

    Args:
        plant: "copy" or "merge" makes the last of the experts one of another or of two others, at a random place.
        worth: how much each expert's deviation grows; random where not given.
    """
    chance = np.random.default_rng(seed)
    own = experts - bool(plant)
    bias = chance.uniform(0.2, 0.5, own)
    grows = np.asarray(worth) if worth is not None else chance.uniform(0, 1, own)
    first, second = map(int, chance.choice(own, 2, replace=False))
    share = chance.uniform(0.3, 0.7)
    order = chance.permutation(experts)
    prompts, parts = asked(pairs, groups), []
    for one in prompts:
        unknown = {"reference": 0.0, "shuffled": 0.6, "nonsense": 1.0}[one.kind]
        size = bias * np.exp(chance.normal(0, 0.3, own) + chance.normal(0, 0.35) + 0.6 * grows * unknown)
        features = []
        for _ in range(samples):
            each = chance.normal(size=dimensions) + size[:, None] * chance.normal(size=(own, dimensions))
            rest = 0.05 * chance.normal(size=dimensions)
            if plant == "copy":
                each = np.vstack([each, each[first] + bias[first] * rest])
            elif plant == "merge":
                each = np.vstack([each, share * each[first] + (1 - share) * each[second] + rest])
            features.append(each[order])
        parts.append(products(features))
    place = {int(number): here for here, number in enumerate(order)}
    made = (first,) if plant == "copy" else (first, second)
    return Pool(
        prompts,
        joined(parts),
        place[own] if plant else -1,
        tuple(place[number] for number in made) if plant else (),
    )


def about(of: Pool, levels: int = 1, middle: str = "mid_out") -> About:
    """The first line of a choice's file."""
    settings = Settings(
        experts=tuple(f"{number:064x}" for number in range(of.products.experts)),
        text_encoders=tuple(f"{number + 100:064x}" for number in range(of.products.experts)),
        tap="noise_pred",
        estimator="centred_layout",
        sigma=14.6146,
        noise_seed=0,
        noise_samples=of.products.samples,
        latent_shape=(4, 64, 64),
        latent="empty",
        dtype="float32",
    )
    candidates = tuple(
        Candidate(
            f"model {number}",
            f"model {number}.safetensors, sha256 0",
            identity,
            settings.text_encoders[number],
            "float32",
            10**9,
        )
        for number, identity in enumerate(settings.experts)
    )
    steps = tuple(Level(2 * number, 20, (512, 512), middle, settings) for number in range(levels))
    return About(candidates, steps, of.prompts, of.products.samples, "layout")


def spent(experts: int, units: int) -> tuple[Spent, ...]:
    """Half a second per unit, and five seconds of loading."""
    return tuple(Spent(units, 5 + units / 2, 1, 5.5) for _ in range(experts))
