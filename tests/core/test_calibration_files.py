"""Calibration files: what was saved comes back, old files still load, and anything else is refused with the reason."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emoe_core import __version__, demo
from emoe_core.errors import EMoEError
from emoe_core.records.calibration import Calibration
from emoe_core.records.settings import Settings

SETTINGS = Settings(
    ("a" * 64, "b" * 64), ("shared",), "mid_out", "relative", 14.6146, 0, 2, (4, 16, 16), "empty", "float32"
)
MADE = Calibration(
    "mine",
    SETTINGS,
    (0.1, 1 / 3, 2e-7, 0.25),
    ("a", "ä", "猫", "a"),
    "four words",
    (False, True, False, False),
    {"language": ("en", "de", "ja", ""), "kind": ("x", "x", "y", "y")},
)


def signed(body: dict[str, Any]) -> dict[str, Any]:
    """A file's content with a digest that fits, as a stranger with the recipe would write it."""
    body = {key: value for key, value in body.items() if key != "digest"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**body, "digest": hashlib.sha256(text.encode()).hexdigest()}


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    MADE.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == MADE
    assert json.loads((tmp_path / "c.json").read_text("utf-8"))["emoe_calibration"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_a_lone_surrogate_in_a_prompt_is_saved_and_comes_back(tmp_path: Path) -> None:
    made = Calibration("odd", SETTINGS, (0.1,), ("a\ud800b",))
    made.save(tmp_path / "odd.json")
    assert Calibration.load(tmp_path / "odd.json") == made


def test_files_of_version_1_load_and_stay_what_they_are() -> None:
    """The shipped ones are of version 1; without groups nothing newer is written, so older node packs read it too."""
    for path in demo.calibration_files():
        text = path.read_text("utf-8")
        loaded = Calibration.load(path)
        assert (
            json.loads(text)["emoe_calibration"] == 1
            and loaded.groups == {}
            and json.loads(json.dumps(loaded.as_dict())) == json.loads(text)
        )
    assert demo.calibration_files()


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    MADE.save(tmp_path / "c.json")
    whole = (tmp_path / "c.json").read_bytes()
    for length in [*range(0, len(whole), 11), *range(len(whole) - 60, len(whole.rstrip()))]:
        (tmp_path / "c.json").write_bytes(whole[:length])
        with pytest.raises(EMoEError, match="not whole JSON"):
            Calibration.load(tmp_path / "c.json")


def test_every_edit_is_noticed(tmp_path: Path) -> None:
    """A letter changed anywhere: refused, or white space and so the same calibration."""
    MADE.save(tmp_path / "c.json")
    whole = (tmp_path / "c.json").read_text("utf-8")
    rng = random.Random(5)
    refused = 0
    for _ in range(300):
        place, letter = rng.randrange(len(whole)), rng.choice('0123456789abcdefxyz{}[]",:. -e猫\n')
        (tmp_path / "c.json").write_text(whole[:place] + letter + whole[place + 1 :], encoding="utf-8")
        try:
            assert Calibration.load(tmp_path / "c.json") == MADE
        except EMoEError:
            refused += 1
    assert refused > 220


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"emoe_calibration": 3}, "of version 3, and this node pack reads versions 1 to 2; update the node pack"),
        ({"emoe_calibration": "2"}, "of version 2,"),
        ({"emoe_calibration": True}, "of version True"),
        ({"scores": [0.1, "x", 0.3, 0.4]}, "damaged calibration"),
        ({"scores": [0.1, None, 0.3, 0.4]}, "damaged calibration"),
        ({"scores": [0.1, True, 0.3, 0.4]}, "damaged calibration"),
        ({"scores": 5}, "damaged calibration"),
        ({"scores": [0.1]}, "4 prompts for 1 scores"),
        ({"scores": [float("nan"), 1, 2, 3]}, "not a finite number"),
        ({"bad": ["no", "no", "no", "no"]}, "damaged calibration"),
        ({"bad": [True]}, "1 marks for 4 scores"),
        ({"groups": {"language": ["en"]}}, "1 labels of 'language' for 4 scores"),
        ({"groups": ["en"]}, "damaged calibration"),
        ({"scores": [10**400, 1, 2, 3]}, "damaged calibration"),
        ({"reference": "x" * 3_000_000, "name": 5}, "damaged calibration"),
        ({"name": "x" * 3_000_000}, "name has 3000000 letters"),
        ({"settings": {**MADE.as_dict()["settings"], "sigma": 10**400}}, "damaged calibration"),
        ({"settings": {**MADE.as_dict()["settings"], "sigma": "1"}}, "damaged calibration"),
        ({"settings": {**MADE.as_dict()["settings"], "sigma": float("inf")}}, "noise level that is not a finite"),
        ({"name": None}, "damaged calibration"),
        ({"settings": {}}, "settings lack"),
        ({"settings": {**MADE.as_dict()["settings"], "new": 1}}, "unknown field new; update the node pack"),
    ],
)
def test_a_file_with_a_fitting_digest_is_read_with_care(change: dict[str, Any], said: str) -> None:
    with pytest.raises(EMoEError, match=said):
        Calibration.from_dict(signed({**MADE.as_dict(), **change}), "'c.json'")


def test_without_a_fitting_digest_it_was_changed() -> None:
    edited = MADE.as_dict()
    edited["scores"][0] = 0.2
    with pytest.raises(EMoEError, match="was changed after it was saved"):
        Calibration.from_dict(edited)
    del edited["digest"]
    with pytest.raises(EMoEError, match="was changed after it was saved"):
        Calibration.from_dict(edited)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'"text"', b"null", b"7"])
def test_other_json_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(EMoEError, match="not an EMoE calibration"):
        Calibration.load(tmp_path / "c.json")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[" * 100_000, b"hello"])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(EMoEError, match="not whole JSON"):
        Calibration.load(tmp_path / "c.json")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(EMoEError, match="cannot be read"):
            Calibration.load(path)


def test_the_release_that_made_it_is_noted_and_never_compared() -> None:
    made = Calibration("mine", SETTINGS, (1.0, 2.0))
    again = Calibration.from_dict(json.loads(json.dumps(made.as_dict())))
    assert again.made_with == made.made_with == f"emoe {__version__}"
    older = replace(made, made_with="")
    assert "made_with" not in older.as_dict() and Calibration.from_dict(older.as_dict()) == made


@pytest.mark.parametrize("depth", [500, 971, 5000])
def test_a_file_nested_deeply_is_refused(tmp_path: Path, depth: int) -> None:
    whole = json.dumps(MADE.as_dict())
    path = tmp_path / "c.json"
    path.write_text(whole.replace('"four words"', "[" * depth + "]" * depth), encoding="utf-8")
    with pytest.raises(EMoEError, match=r"'c.json' (was changed|is a damaged calibration|is not whole JSON)"):
        Calibration.load(path)


def test_a_field_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    whole = json.dumps(MADE.as_dict())
    for double in ('{"name": "other", ' + whole[1:], whole.replace('"tap":', '"tap": "noise_pred", "tap":')):
        (tmp_path / "c.json").write_text(double, encoding="utf-8")
        with pytest.raises(EMoEError, match="has a field twice"):
            Calibration.load(tmp_path / "c.json")


def test_a_device_is_no_file() -> None:
    with pytest.raises(EMoEError, match="cannot be read"):
        Calibration.load("/dev/zero")


@pytest.mark.parametrize("change", [{"prompts": "abcd"}, {"groups": {"language": "abcd"}}])
def test_a_text_is_no_list_of_letters(change: dict[str, Any]) -> None:
    with pytest.raises(EMoEError, match="damaged calibration"):
        Calibration.from_dict(signed({**MADE.as_dict(), **change}), "'c.json'")
