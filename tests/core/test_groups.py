"""Thresholds of groups, and the reference prompts that groups come from."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from emoe_core.errors import EMoEError
from emoe_core.gating.gate import Verdict, decide
from emoe_core.gating.policies import bad_among_passed, block_share, false_block_rate
from emoe_core.gating.reference_prompts import from_file, from_text
from emoe_core.records.calibration import Calibration
from emoe_core.records.report import ItemScore, Report
from emoe_core.records.settings import Settings

SETTINGS = Settings(
    ("a" * 64, "b" * 64), ("shared",), "mid_out", "relative", 14.6146, 0, 2, (4, 16, 16), "empty", "float32"
)


def grouped() -> Calibration:
    """English scores 0 to 49, Japanese 100 to 129, three Finnish ones; the column `kind` repeats one of the labels."""
    scores = [float(i) for i in range(50)] + [100.0 + i for i in range(30)] + [50.0, 51.0, 52.0]
    labels = ("en",) * 50 + ("ja",) * 30 + ("fi",) * 3
    kinds = ("noun",) * 40 + ("fi",) * 43
    return Calibration("words", SETTINGS, tuple(scores), groups={"language": labels, "kind": kinds})


def gate(score: float, group: str, policy: str = "false_block_rate", alpha: float = 0.1, **more: float) -> Verdict:
    item = ItemScore(score, None, score, None, 1.0, None)
    report = Report(SETTINGS, (item,), ("x", "y"), ("", ""), ((0, 1), (1, 0)), prompt="cat", calibrations=(grouped(),))
    return decide(report, policy, alpha=alpha, group=group, **more)  # type: ignore[arg-type]


def test_a_group_has_its_own_threshold_and_p_value() -> None:
    """60 is far out for English and far in for Japanese; pooled it is nothing special."""
    english, japanese, pooled = gate(60, "en"), gate(60, " language = ja "), gate(60, "")
    assert (english.verdict, japanese.verdict, pooled.verdict) == ("block", "pass", "pass")
    assert (english.p_value, japanese.p_value, pooled.p_value) == (1 / 51, 1.0, 31 / 84)
    assert english.percentile == 100 and japanese.percentile == 0
    assert english.threshold == 45 and english.group_threshold and english.group == "en"
    assert "threshold of the group language=en" in english.reason and "group" not in pooled.reason
    assert pooled.as_dict()["group"] == "" and english.as_dict()["group_threshold"] is True


def test_a_group_too_small_is_judged_by_all_with_a_word() -> None:
    seen = gate(60, "language=fi")
    assert not seen.group_threshold and seen.threshold == gate(60, "").threshold
    assert "the group 'language=fi' has 3 good prompts, too few for a threshold of its own" in seen.reason
    assert gate(60, "language=fi", alpha=0.3).group_threshold


def test_an_unknown_group_is_judged_by_all_with_a_word() -> None:
    for name in ("sw", "language=sw", "tongue=ja", "language="):
        seen = gate(60, name)
        assert not seen.group_threshold and f"the group '{name}' is not in the calibration" in seen.reason


def test_a_label_of_two_columns_must_be_named_whole() -> None:
    with pytest.raises(EMoEError, match=r"'fi' is in the columns language and kind .* write language=fi"):
        gate(60, "fi")
    assert gate(60, "kind=fi").group_threshold


def test_other_policies_know_groups_too() -> None:
    assert gate(60, "ja", "block_share").verdict == "pass" and gate(60, "en", "block_share").verdict == "block"
    raw = gate(60, "ja", "raw_threshold", threshold=50)
    assert raw.verdict == "block" and raw.p_value == 31 / 84 and not raw.group_threshold


def test_a_group_of_bad_prompts_only() -> None:
    """No good prompt to compare with: the pooled threshold; and no threshold that lets few bad ones pass: an error."""
    scores, bad = tuple(float(i) for i in range(120)), (False,) * 80 + (True,) * 40
    calibration = Calibration("c", SETTINGS, scores, bad=bad, groups={"g": ("a",) * 80 + ("b",) * 40})
    item = ItemScore(3.0, None, 3.0, None, 1.0, None)
    report = Report(SETTINGS, (item,), ("x", "y"), ("", ""), ((0, 1), (1, 0)))
    seen = decide(report, "false_block_rate", alpha=0.1, calibrations=(calibration,), group="b")
    assert not seen.group_threshold and "the group 'b' has 0 good prompts, too few" in seen.reason
    with pytest.raises(EMoEError, match="No threshold of the calibration 'c, g=b'"):
        decide(report, "bad_among_passed", alpha=0.1, calibrations=(calibration,), group="b")
    assert decide(report, "bad_pass_rate", alpha=0.1, calibrations=(calibration,), group="a").threshold == 79


@pytest.mark.parametrize("policy", [false_block_rate, block_share])
def test_every_group_keeps_its_rate(policy: Callable[..., float]) -> None:
    """Two groups of very different scores, 1500 fresh prompts each: the group's own threshold blocks at most alpha."""
    rng = random.Random(11)
    alpha, rounds = 0.2, 1500
    blocked = {"a": 0, "b": 0}
    for _ in range(rounds):
        scores = [rng.gauss(0, 1) for _ in range(30)] + [rng.gauss(3, 2) for _ in range(20)]
        calibration = Calibration("c", SETTINGS, tuple(scores), groups={"g": ("a",) * 30 + ("b",) * 20})
        blocked["a"] += rng.gauss(0, 1) > policy(calibration.part("g", "a"), alpha)
        blocked["b"] += rng.gauss(3, 2) > policy(calibration.part("g", "b"), alpha)
    slack = 4 * (alpha * (1 - alpha) / rounds) ** 0.5
    for name, count in (("a", 30), ("b", 20)):
        assert alpha - 1 / (count + 1) - slack <= blocked[name] / rounds <= alpha + slack


def test_bad_among_passed_of_a_group() -> None:
    scores = tuple(float(i) for i in range(200))
    calibration = Calibration(
        "c", SETTINGS, scores, bad=tuple(i >= 150 for i in range(200)), groups={"g": ("a", "b") * 100}
    )
    assert 150 < bad_among_passed(calibration.part("g", "a"), 0.1) < 160


# --- reference prompts ------------------------------------------------------------------------------------------------


def test_a_text_box_of_prompts() -> None:
    read = from_text(" cat \n\n# not me\ndog\r\ncat\n! 猫\n!#x")
    assert read.prompts == ("cat", "dog", "猫") and read.bad == (False, False, True) and read.groups == {}
    assert from_text("cat\ndog").bad == ()
    with pytest.raises(EMoEError, match=r"as good and as bad \(line 1 of prompts and line 2 of prompts\)"):
        from_text("cat\n!cat")


def test_columns_of_a_file(tmp_path: Path) -> None:
    """Labels that come back are groups; numbers of rows, free text and marks are not."""
    path = tmp_path / "p.csv"
    rows = ["id,Prompt,language,Bad,note,model"]
    rows += [f"{i},prompt {i},{'en' if i % 2 else 'de'},{'yes' if i == 3 else ''},note {i},m" for i in range(6)]
    path.write_text("\n".join(rows), encoding="utf-8")
    read = from_file(path)
    assert read.prompts == tuple(f"prompt {i}" for i in range(6)) and read.bad == tuple(i == 3 for i in range(6))
    assert read.groups == {"language": ("de", "en") * 3, "model": ("m",) * 6} and read.skipped == ()


def test_quality_as_words_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    values = ['"good"', '"bad"', "0.2", "0.31", '"0.3"', '"so so"']
    path.write_text("\n".join(f'{{"prompt": "p{i}", "quality": {v}}}' for i, v in enumerate(values)), encoding="utf-8")
    read = from_file(path, bad_below=0.3)
    assert read.prompts == ("p0", "p1", "p2", "p3", "p4") and read.bad == (False, True, True, False, False)
    assert [str(row) for row in read.skipped] == [
        "line 6: quality is neither good nor bad nor a number; write one of them"
    ]
    assert from_file(path, bad_below=1).bad == (False, True, True, True, True)
    with pytest.raises(EMoEError, match="bad_below is nan"):
        from_file(path, float("nan"))


def test_a_plain_list_takes_marks_as_the_text_box_does(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("# words\ncat\n!猫\n", encoding="utf-8")
    read = from_file(path)
    assert read.prompts == ("cat", "猫") and read.bad == (False, True)


def test_text_and_file_together(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("prompt,language\npizza,en\npizza,it\ncat,en\ngatto,it\npizza,it\n", encoding="utf-8")
    both = from_text("dog\n!xq\ncat") + from_file(path)
    assert both.prompts == ("dog", "xq", "cat", "pizza", "pizza", "cat", "gatto")
    assert both.bad == (False, True, False, False, False, False, False)
    assert both.groups == {"language": ("", "", "", "en", "it", "en", "it")}
    with pytest.raises(EMoEError, match=r"as good and as bad \(line 1 of prompts and line 4 of the file\)"):
        from_text("!cat") + from_file(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "prompt,bad\ncat,maybe\n",
            r"no usable row \(the first one, line 2: bad is neither yes nor no; write one of them\)",
        ),
        ("word,bad\ncat,no\n", "no prompt column"),
        ("prompt\n", "holds no prompt"),
    ],
)
def test_files_with_nothing_to_use(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "p.csv").write_text(content, encoding="utf-8")
    with pytest.raises(EMoEError, match=said):
        from_file(tmp_path / "p.csv")
    with pytest.raises(EMoEError, match="cannot be read"):
        from_file(tmp_path / "missing.csv")
