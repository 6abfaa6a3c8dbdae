"""Where a picture's own prompt stands among others, and whether pictures and prompts belong together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from emoe_core.trial.judges.retrieval import FEWEST, LEVEL, OTHERS, TOP, chance, others, place

PROMPTS = [f"prompt {n}" for n in range(300)]


def test_a_prompt_is_no_other_of_its_own() -> None:
    assert others("A  cat", ["a cat", "dog", "DOG", "a  Cat"]) == ["DOG"]
    assert others("a cat", ["a cat"]) == []


def test_a_hundred_others_are_the_same_in_every_run_and_spread_over_the_file() -> None:
    first = others(PROMPTS[7], PROMPTS)
    assert first == others(PROMPTS[7], list(reversed(PROMPTS))) and len(set(first)) == OTHERS
    assert first != others(PROMPTS[8], PROMPTS)
    counts = Counter(text for own in PROMPTS for text in others(own, PROMPTS))
    assert len(counts) == 300 and max(counts.values()) < 150
    assert others("half \ud800", PROMPTS)


def test_places_and_shares() -> None:
    best, middle = place(0.9, [0.1, 0.2, 0.3, 0.4]), place(0.3, [0.1, 0.3, 0.5, 0.7])
    assert (best.share, best.place) == (1, 1)
    assert (middle.share, middle.place) == (0.375, 3.5)  # one below, one alike, two above
    assert place(0.0, [0.5]).share == 0


@pytest.mark.parametrize("count", [5, 30, 100])
def test_by_chance_a_picture_is_good_as_often_as_is_said(count: int) -> None:
    rng = np.random.default_rng(count)
    found = [place(rng.random(), rng.random(count)) for _ in range(4000)]
    assert np.mean([one.share for one in found]) == pytest.approx(0.5, abs=0.02)
    expected = max(1, int(TOP * (count + 1) / (OTHERS + 1))) / (count + 1)
    assert np.mean([one.within(TOP) for one in found]) == pytest.approx(expected, abs=0.02)


def test_chance_is_small_where_they_belong_together_and_seldom_where_not() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(20, 20)) for _ in range(40)]
    assert np.mean([chance(one) < LEVEL for one in noise]) <= 0.05
    assert chance(noise[0] + 2 * np.eye(20)) < 0.001


def test_groups_that_fit_by_accident_do_not_make_one_space() -> None:
    """Pictures and prompts in two groups, in spaces that have nothing in common."""
    rng, found = np.random.default_rng(2), []
    for _ in range(30):
        group = rng.integers(0, 2, 32)
        pictures, prompts = (3 * rng.normal(size=(2, 64))[group] + rng.normal(size=(32, 64)) for _ in range(2))
        found.append(chance(pictures @ prompts.T) < LEVEL)
    assert np.mean(found) < 0.1


def test_the_fewest_prompts_can_show_it_and_fewer_cannot() -> None:
    assert chance(np.eye(FEWEST)) < LEVEL
    assert chance(np.eye(FEWEST - 2)) > LEVEL
    assert chance(np.zeros((FEWEST, FEWEST))) == 1
