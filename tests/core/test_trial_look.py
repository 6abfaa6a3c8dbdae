"""Known against unknown: how the prompts are made, and what is computed of their scores."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from emoe_testing.verdicts import SETTINGS

from emoe_core.errors import EMoEError
from emoe_core.prompts import load_prompts
from emoe_core.stats.evaluation import auroc, partial_spearman
from emoe_core.trial.look import LookPrompt, look_at, look_prompts, rated_prompts
from emoe_core.trial.store import Reading, Trial

LAYOUT = Reading("layout", SETTINGS)


def test_twins_have_the_words_or_the_lengths_of_their_prompt() -> None:
    found = look_prompts(30, ("ja", "fi"), 10)
    assert found == look_prompts(30, ("ja", "fi"), 10)
    by = {(one.kind, one.pair): one.text for one in found if one.language == "en"}
    for pair in {pair for kind, pair in by if kind == "reference"}:
        known, shuffled, nonsense = (by[kind, pair] for kind in ("reference", "shuffled", "nonsense"))
        assert sorted(shuffled.split()) == sorted(known.split()) and shuffled != known
        assert [len(word) for word in nonsense.split()] == [len(word) for word in known.split()]
        assert not {word for word in nonsense.split() if len(word) > 3} & set(known.split())
    names = [one for one in found if one.kind in ("name", "language")]
    assert {one.language for one in names} == {"en", "ja", "fi"} and len(names) == 30
    assert len({one.key for one in found}) == len(found)


def test_own_prompts_take_the_scenes_place_and_short_ones_have_no_other_order() -> None:
    found = look_prompts(9, (), 0, ["a tall red house", "dog", "red dog"])
    assert [(one.kind, one.text) for one in found if one.kind != "nonsense"][0] == ("reference", "a tall red house")
    assert [one.kind for one in found].count("shuffled") == 1
    with pytest.raises(EMoEError, match="no language 'xx'"):
        look_prompts(1, ("xx",), 5)


def test_a_rated_file_is_read_as_pqpp_has_it(tmp_path: Path) -> None:
    path = tmp_path / "rated.csv"
    path.write_text("image_id,best_caption,score\n1,a lake,2.0\n2,a bus,none\n3,a bed,0.5\n4,a man,1\n")
    rows = load_prompts(path)[0]
    assert [(one.text, one.rating) for one in rated_prompts(rows)] == [("a lake", 2.0), ("a bed", 0.5), ("a man", 1.0)]
    assert [one.text for one in rated_prompts(rows, 2)] == ["a lake", "a bed"]
    path.write_text("prompt,language\na lake,en\n")
    with pytest.raises(EMoEError, match="no column of ratings"):
        rated_prompts(load_prompts(path)[0])
    path.write_text("prompt,quality\na lake,good\n")
    with pytest.raises(EMoEError, match="'quality' is a number"):
        rated_prompts(load_prompts(path)[0])


def fill(trial: Trial, prompts: list[LookPrompt], score: dict[str, float]) -> None:
    for one in prompts:
        trial.add(one.key, 0, one.text, one.columns(len(one.text)), {LAYOUT: score[one.key]}, [])


def test_separations_are_auroc_or_pairs_won(tmp_path: Path) -> None:
    chance = random.Random(1)
    prompts = look_prompts(20, ("de",), 12)
    level = {"reference": 0.0, "name": 0.0, "shuffled": 0.3, "nonsense": 2.0, "language": 0.2}
    score = {one.key: level[one.kind] + chance.random() for one in prompts}
    trial = Trial(tmp_path / "t.sqlite3")
    trial.begin({})
    fill(trial, prompts, score)
    trial.note({"controls": {"matching": None, "rounding": None}})
    found = look_at(trial.contents())
    assert found is not None and found.passed
    by = {one.kind: one for one in found.separations}
    assert set(by) == {"shuffled", "nonsense", "de"}

    def scores(kind: str) -> list[float]:
        return [score[one.key] for one in prompts if one.kind == kind]

    assert by["shuffled"].auroc == pytest.approx(auroc(scores("reference"), scores("shuffled")))
    assert by["nonsense"].auroc == 1.0 and by["nonsense"].low > 0.8 and not by["nonsense"].paired
    won = np.mean([a > b for a, b in zip(scores("language"), scores("name"), strict=True)])
    assert by["de"].paired and by["de"].auroc == pytest.approx(won)
    lines = [str(one) for one in found.messages("layout", "first")]
    assert any(line.startswith("nonsense: AUROC 1.00") for line in lines) and any(
        "of 12 pairs" in line for line in lines
    )
    assert look_at(Trial(tmp_path / "t.sqlite3").contents()) == found


def test_ratings_correlate_with_the_length_held(tmp_path: Path) -> None:
    """The score only counts words here, and so does the rating: with the length held, nothing is left."""
    chance = random.Random(2)
    prompts = [LookPrompt("rated", str(n), "w" * (5 + n % 40), rating=-(n % 40) + chance.random()) for n in range(120)]
    trial = Trial(tmp_path / "t.sqlite3")
    trial.begin({})
    fill(trial, prompts, {one.key: n % 40 + 2 * chance.random() for n, one in enumerate(prompts)})
    found = look_at(trial.contents())
    assert found is not None
    (fit,) = found.rated
    assert fit.rho < -0.95 and fit.partial is not None and abs(fit.partial) < 0.25


def test_partial_correlation_is_that_of_the_residuals() -> None:
    """Independent: correlate what is left of the ranks after a straight line through the held ranks."""
    random_numbers = np.random.default_rng(3)
    held = random_numbers.permutation(60).astype(float)
    x, y = held + 20 * random_numbers.normal(size=60), -held + 20 * random_numbers.normal(size=60)

    def left(values: np.ndarray) -> np.ndarray:
        of, by = values.argsort().argsort().astype(float), held.argsort().argsort().astype(float)
        return of - np.polyval(np.polyfit(by, of, 1), by)

    assert partial_spearman(x, y, held) == pytest.approx(np.corrcoef(left(x), left(y))[0, 1])
    assert np.isnan(partial_spearman(held, y, held))
    assert partial_spearman(x, y, np.ones(60)) == pytest.approx(partial_spearman(x, y, np.zeros(60)))
