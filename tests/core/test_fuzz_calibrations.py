"""Calibration files of any content, with a digest that fits: a calibration that can be used, or one sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from emoe_testing.fuzz import JSON, TEXT, nested, outcome
from hypothesis import example, given
from hypothesis import strategies as st

from emoe_core import demo
from emoe_core.errors import LONGEST, plain
from emoe_core.records.calibration import Calibration
from emoe_core.records.settings import Settings

SECRET = "owls-at-noon"
WHOLE = Calibration.load(next(iter(demo.calibration_files()))).as_dict()
SETTINGS = Settings(
    ("a" * 64, "b" * 64), ("shared",), "mid_out", "relative", 14.6146, 0, 2, (4, 16, 16), "empty", "float32"
)
FIELDS = [key for key in WHOLE if key != "digest"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        yield Path(made)


def signed(body: dict[str, Any]) -> dict[str, Any]:
    """With a digest that fits, as whoever knows the recipe writes it."""
    body = {key: value for key, value in body.items() if key != "digest"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**body, "digest": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}


def used(made: Calibration) -> None:
    """What nodes do with a calibration."""
    assert made.line() == plain(made.line()) and len(made.line()) <= LONGEST
    assert 0 < made.p_value(0.1) <= 1 and 0 <= made.percentile(0.1) <= 100
    hash(made)
    hash(made.settings.question())
    made.settings.fingerprint()
    SETTINGS.differences(made.settings)
    for column, labels in made.groups.items():
        for label in labels:
            outcome(lambda column=column, label=label: made.find_group(f"{column}={label}"))  # type: ignore[misc]
            made.part(column, label)
    again = Calibration.from_dict(json.loads(json.dumps(made.as_dict())))
    assert again == made and again.digest == made.digest


ODD = st.one_of(JSON, st.lists(JSON, max_size=4), st.just(SECRET), st.just([SECRET]), st.just({"a": SECRET}))


@given(
    st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=2),
    st.dictionaries(st.sampled_from([*asdict(SETTINGS)]), ODD, max_size=2),
)
@example({"scores": [10**400]}, {})
@example({"scores": [1.0], "prompts": [SECRET, SECRET], "bad": []}, {})
@example({"scores": [SECRET]}, {})
@example({"name": SECRET, "prompts": SECRET, "scores": [1.0] * len(SECRET), "bad": []}, {})  # a text for a list
@example({"emoe_calibration": SECRET}, {})
@example({"name": "x" * 3_000_000}, {})
@example({"name": "\ud800\x1b[2J"}, {})
@example({"reference": "x" * 3_000_000}, {})
@example({"settings": SECRET}, {})
@example({}, {"experts": [{"a": [SECRET]}]})
@example({}, {"sigma": 10**400})
@example({}, {"sigma": SECRET})
@example({}, {"sigma": True})
@example({}, {"latent_shape": SECRET})
@example({}, {"tap": {"a": 1}, "noise_seed": [SECRET]})
def test_a_stranger_with_the_recipe_gets_a_calibration_or_one_sentence(
    fields: dict[str, Any], settings: dict[str, Any]
) -> None:
    body = {**WHOLE, **fields}
    if isinstance(body["settings"], dict):
        body["settings"] = {**body["settings"], **settings}
    text = json.dumps(signed(body))
    secrets = [] if SECRET in str(fields.get("name")) else [SECRET]  # a name may be told
    made = outcome(lambda: Calibration.from_dict(json.loads(text), "'c.json'"), *secrets)
    if made is not None:
        used(made)


@given(
    st.binary(max_size=200)
    | JSON.map(json.dumps)
    | st.tuples(st.integers(0, 3000), TEXT).map(lambda cut: json.dumps(WHOLE)[: cut[0]] + cut[1])
)
@example("")
@example('{"name": "a", "name": "b"}')
@example("[" * 200_000)
@example(nested(971))
@example(nested(971, '{"a":', "}"))
@example('{"emoe_calibration": 1, "scores": ' + nested(971) + "}")
@example('{"emoe_calibration": ' + "9" * 5000 + "}")
@example(b"\xff\xfe\0")
def test_a_damaged_file_is_one_sentence(folder: Path, content: bytes | str) -> None:
    path = folder / "c.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    outcome(lambda: Calibration.load(path))


@given(
    TEXT,
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), TEXT, st.booleans(), TEXT), min_size=1, max_size=8
    ),
    TEXT,
)
def test_what_can_be_made_is_saved_and_comes_back(
    folder: Path, name: str, rows: list[tuple[float, str, bool, str]], column: str
) -> None:
    scores, prompts, bad, labels = zip(*rows, strict=True)
    made = outcome(lambda: Calibration(name, SETTINGS, scores, prompts, "", bad, {column: labels}))
    if made is not None:
        made.save(folder / "made.json")
        assert Calibration.load(folder / "made.json") == made
        used(made)
