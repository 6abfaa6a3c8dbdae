"""A trial's file: what goes in comes out, twice is once, and the last mark counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from emoe_testing.verdicts import SETTINGS

from emoe_core.trial.store import BAD, GOOD, Drawn, Judgement, Reading, Trial, TrialError

LAYOUT = Reading("layout", SETTINGS)
RESPONSE = Reading("response", None)
PICTURES = [
    Drawn(0, "", "a_00001_.png", "emoe", "output", 7, 1.5),
    Drawn(1, "http://other:8188", "b.png", "", "output"),
]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    made = Trial(tmp_path / "trials" / "mine.sqlite3", patience=0.3)
    made.begin({"workflow": {"1": {"class_type": "X"}}, "pictures": 2})
    return made


def fill(trial: Trial) -> int:
    return trial.add("1-ab", 1, "ein Käse", {"language": "de"}, {LAYOUT: 0.25, RESPONSE: 3.0}, PICTURES)


def test_what_goes_in_comes_out(trial: Trial) -> None:
    number = fill(trial)
    found = trial.contents()
    assert found.facts == {"workflow": {"1": {"class_type": "X"}}, "pictures": 2}
    assert found.readings == (LAYOUT, RESPONSE)
    (prompt,) = found.prompts
    assert (prompt.id, prompt.key, prompt.row, prompt.prompt) == (number, "1-ab", 1, "ein Käse")
    assert (prompt.columns, prompt.scores) == ({"language": "de"}, {"layout": 0.25, "response": 3.0})
    first, second = prompt.pictures
    assert (first.filename, first.subfolder, first.seed, first.seconds) == ("a_00001_.png", "emoe", 7, 1.5)
    assert (second.number, second.server, second.seed, second.quality) == (1, "http://other:8188", None, None)


def test_adding_the_same_twice_changes_nothing(trial: Trial) -> None:
    fill(trial)
    before = trial.contents()
    fill(trial)
    assert trial.contents() == before
    assert trial.keys() == {"1-ab": 2}


def test_other_models_or_facts_are_refused(trial: Trial) -> None:
    fill(trial)
    before = trial.contents()
    other = Reading("layout", replace(SETTINGS, noise_seed=99))
    with pytest.raises(TrialError, match="other models or settings"):
        trial.add("2-cd", 2, "dog", {}, {other: 0.5}, [])
    with pytest.raises(TrialError, match="begun with another pictures"):
        trial.begin({"pictures": 3})
    assert trial.contents() == before


def test_the_last_mark_counts_and_a_token_counts_once(trial: Trial) -> None:
    fill(trial)
    picture = trial.contents().prompts[0].pictures[0].id
    first = trial.mark(picture, GOOD, "t1")
    assert trial.mark(picture, GOOD, "t1") == first
    trial.mark(picture, BAD, "t2")
    assert trial.contents().prompts[0].pictures[0].quality == BAD
    assert trial.mark(picture, GOOD, "t1") == first
    assert trial.contents().prompts[0].pictures[0].quality == BAD
    trial.mark(picture, None)
    undone = trial.contents().prompts[0].pictures[0]
    assert (undone.quality, undone.marked, undone.order) == (None, None, None)
    with pytest.raises(TrialError, match="no picture 99"):
        trial.mark(99, GOOD)
    with pytest.raises(TrialError, match="another picture"):
        trial.mark(picture + 1, GOOD, "t1")


def test_judgements_replace_their_own_and_come_all_or_none(trial: Trial) -> None:
    fill(trial)
    picture = trial.contents().prompts[0].pictures[0].id
    assert trial.judge([Judgement(picture, "clip", 0.3, None), Judgement(picture, "csv", 1.0, True)]) == 2
    state = trial.state()
    trial.judge([Judgement(picture, "clip", 0.9, False)])
    assert trial.state() != state
    assert set(trial.contents().judgements) == {
        Judgement(picture, "clip", 0.9, False),
        Judgement(picture, "csv", 1.0, True),
    }
    with pytest.raises(TrialError, match="no picture 99"):
        trial.judge([Judgement(picture, "clip", 0.1, True), Judgement(99, "clip", 0.1, True)])
    assert Judgement(picture, "clip", 0.9, False) in trial.contents().judgements


def test_a_missing_trial_and_a_strangers_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="There is no trial at"):
        Trial(tmp_path / "none.sqlite3").contents()
    (tmp_path / "begun.sqlite3").touch()  # as the first call of another process may have left it just now
    with pytest.raises(TrialError, match="There is no trial at"):
        Trial(tmp_path / "begun.sqlite3").contents()
    (tmp_path / "text.sqlite3").write_text("no database, but long enough to be read as one, is what this file is")
    with pytest.raises(TrialError, match="cannot be read"):
        Trial(tmp_path / "text.sqlite3").contents()
