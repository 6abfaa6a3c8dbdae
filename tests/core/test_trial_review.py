"""What is still to be looked at: unmarked pictures in an order of their own, and how far the marks have come."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from emoe_testing.verdicts import SETTINGS, verdict

from emoe_core.ledger.store import Ledger, LedgerError, Place, Saved, UnknownVerdict
from emoe_core.ledger.sync import saved_pictures
from emoe_core.stats.sequential import place
from emoe_core.trial.review import Item, LedgerSource, Progress, TrialSource, progress, unmarked
from emoe_core.trial.store import BAD, GOOD, Drawn, Reading, Trial, UnknownPicture

LAYOUT, FAST = Reading("layout", SETTINGS), Reading("fast", replace(SETTINGS, noise_seed=5))


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """Six prompts with scores 0.0 to 0.5 and two pictures each, and one that was only scored."""
    made = Trial(tmp_path / "mine.sqlite3", patience=0.3)
    made.begin({})
    for row in range(6):
        drawn = [Drawn(number, "", f"{row}-{number}.png", "", "output") for number in range(2)]
        made.add(f"k{row}", row, f"prompt {row}", {}, {LAYOUT: row / 10, FAST: -row}, drawn)
    made.add("look", 9, "only scored", {"stage": "look", "kind": "nonsense"}, {LAYOUT: 9.0}, [])
    return made


def test_the_order_is_random_and_the_sources_own(trial: Trial) -> None:
    items = TrialSource(trial).items()
    order = [item.id for item in unmarked(items, "trial:mine")]
    assert sorted(order) == [item.id for item in items] == list(range(1, 13)) and order != sorted(order)
    assert [item.id for item in unmarked(reversed(items), "trial:mine")] == order
    assert [item.id for item in unmarked(items, "trial:other")] != order
    assert [item.id for item in unmarked(items, "trial:mine", order[:3])] == order[3:]
    assert not {"score", "scores"} & Item.__dataclass_fields__.keys()


def test_a_mark_takes_a_picture_out_and_undo_brings_it_back_to_its_place(trial: Trial) -> None:
    source = TrialSource(trial)
    order = [item.id for item in unmarked(source.items(), "x")]
    source.mark(order[0], GOOD, "token-01")
    source.mark(order[2], BAD, "token-02")
    assert [item.id for item in unmarked(source.items(), "x")] == [order[1], *order[3:]]
    source.mark(order[0], None, "token-03")
    source.mark(order[0], GOOD, "token-01")  # sent again after the undo
    assert [item.id for item in unmarked(source.items(), "x")] == [*order[:2], *order[3:]]
    with pytest.raises(UnknownPicture):
        source.mark(99, GOOD, "token-04")


def test_progress_counts_pictures_and_waits_with_its_interval(trial: Trial) -> None:
    assert progress(trial) == Progress(0, 0, 12)
    pictures = {item.files[0].filename: item.id for item in TrialSource(trial).items()}
    marks = {"0-0": GOOD, "1-0": GOOD, "1-1": GOOD, "2-0": GOOD, "4-0": BAD, "4-1": GOOD, "5-0": BAD}
    for number, (name, quality) in enumerate(marks.items()):
        trial.mark(pictures[f"{name}.png"], quality, f"token-{number}")
    found = progress(trial)
    assert (found.good, found.bad, found.left) == (5, 2, 5)
    assert found.auroc == pytest.approx((4.5 + 5) / 10)  # bad 0.4 and 0.5; good 0.0, 0.1 twice, 0.2 and 0.4
    assert (found.low, found.high) == (None, None)


def test_the_interval_is_the_one_that_may_be_looked_at_after_every_mark(tmp_path: Path) -> None:
    made = Trial(tmp_path / "many.sqlite3")
    made.begin({})
    scores, bad = [(7 * row) % 40 / 40 for row in range(40)], [(7 * row) % 40 > 24 for row in range(40)]
    for row, (score, is_bad) in enumerate(zip(scores, bad, strict=True)):
        made.add(f"k{row}", row, f"prompt {row}", {}, {LAYOUT: score}, [Drawn(0, "", f"{row}.png", "", "output")])
        made.mark(row + 1, BAD if is_bad else GOOD)
    found, placed = progress(made), place(scores, bad, list(range(40)))
    assert (found.auroc, (found.low, found.high)) == (placed.value, placed.interval())
    assert placed.enough and found.low is not None and 0.5 < found.low < 1


def test_no_interval_before_there_are_some_of_each(trial: Trial) -> None:
    for number in range(1, 5):
        trial.mark(number, GOOD)
    assert progress(trial) == Progress(4, 0, 8)


def test_without_the_usual_reading_the_first_preset_is_told_of(tmp_path: Path) -> None:
    made = Trial(tmp_path / "other.sqlite3")
    made.begin({})
    for row in range(4):
        made.add(
            f"k{row}",
            row,
            f"prompt {row}",
            {},
            {Reading("response", None): -row, FAST: row},
            [Drawn(0, "", "x", "", "output")],
        )
        made.mark(row + 1, BAD if row > 1 else GOOD)
    assert progress(made).auroc == 1.0


# --- the ledger -------------------------------------------------------------------------------------------------------


def saved(*names: str) -> list[Saved]:
    return [Saved("", name, "", "output") for name in names]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite3", patience=0.3)


def test_a_ledger_without_pictures_has_nothing_to_review_and_stays_as_it_is(ledger: Ledger) -> None:
    ledger.add(verdict("cat", 0.3), Place("run"))
    assert ledger.pictures() == {} and LedgerSource(ledger.path).items() == []
    assert LedgerSource(ledger.path).progress() == Progress(0, 0, 0)
    assert ledger.without_pictures(9) == ["run"]
    with contextlib.closing(sqlite3.connect(ledger.path)) as database:
        assert [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name = 'pictures'")] == []


def test_pictures_go_to_the_verdicts_that_they_are_of(ledger: Ledger) -> None:
    one = ledger.add(verdict("one", 0.1), Place("single", "gate"))
    listed = [
        ledger.add(verdict(f"list {i}", score), Place("list", "gate", i)) for i, score in enumerate((0.1, 0.9, 0.2))
    ]
    fewer = [ledger.add(verdict(f"fewer {i}", 0.1), Place("fewer", "gate", i)) for i in range(2)]
    gates = [ledger.add(verdict("gates", 0.1), Place("gates", gate)) for gate in ("a", "b")]
    blocked = ledger.add(verdict("blocked", 0.9), Place("blocked", "gate"))
    assert ledger.without_pictures(9) == ["gates", "fewer", "list", "single"]
    runs = {
        "single": ("a", "b"),
        "list": ("c", "d"),
        "fewer": ("e",),
        "gates": ("f", "g"),
        "blocked": ("h",),
        "x": ("i",),
    }
    assert ledger.add_pictures((run, saved(*names)) for run, names in runs.items()) == 4
    assert ledger.add_pictures((run, saved(*names)) for run, names in runs.items()) == 0
    found = {verdict: [one.filename for one in pictures] for verdict, pictures in ledger.pictures().items()}
    assert found == {one: ["a", "b"], listed[0]: ["c"], listed[2]: ["d"]}  # the second was blocked, and has no picture
    assert not found.keys() & {*fewer, *gates, blocked}
    assert ledger.without_pictures(9) == ["gates", "fewer"]


def test_marks_of_the_ledger_count_once_for_each_token(ledger: Ledger) -> None:
    first, second = (ledger.add(verdict(f"prompt {i}", i / 10), Place(f"run-{i}")) for i in (1, 2))
    ledger.add_pictures((f"run-{i}", saved(f"{i}.png")) for i in (1, 2))
    source = LedgerSource(ledger.path)
    source.mark(first, GOOD, "token-01")
    source.mark(first, BAD, "token-02")
    source.mark(first, GOOD, "token-01")
    assert [item.quality for item in source.items()] == [BAD, None]
    with pytest.raises(LedgerError, match="another picture"):
        source.mark(second, GOOD, "token-01")
    with pytest.raises(UnknownVerdict, match="no verdict 99"):
        source.mark(99, GOOD, "token-03")
    source.mark(second, GOOD, "token-03")  # the refused mark has left no token behind
    found = source.progress()
    assert (found.good, found.bad, found.left, found.auroc) == (1, 1, 0, 0.0)
    assert [row.quality for row in ledger.rows()] == [BAD, GOOD]


def test_scores_of_different_settings_are_not_mixed(ledger: Ledger) -> None:
    other = replace(SETTINGS, noise_seed=3)
    for number, (score, settings) in enumerate(((0.1, SETTINGS), (0.2, SETTINGS), (0.3, SETTINGS), (0.05, other))):
        row = ledger.add(verdict(f"prompt {number}", score, settings=settings), Place(f"run-{number}"))
        ledger.add_pictures([(f"run-{number}", saved("x.png"))])
        ledger.mark([row], GOOD if number in (0, 1) else BAD)
    assert LedgerSource(ledger.path).progress().auroc == 1.0


def test_saved_pictures_are_those_that_a_run_kept() -> None:
    outputs = {
        "save": {
            "images": [{"filename": "a.png", "subfolder": "s", "type": "output"}, {"filename": "b.png", "type": "temp"}]
        },
        "card": {"images": [{"filename": "emoe_card.png", "subfolder": "", "type": "temp"}], "emoe_card": [{}]},
        "odd": {"images": [None, "x", {"type": "output"}]},
        "text": "x",
        "none": {"images": None},
    }
    assert saved_pictures(outputs, "http://a") == [Saved("http://a", "a.png", "s", "output")]
    assert saved_pictures(None, "") == []
