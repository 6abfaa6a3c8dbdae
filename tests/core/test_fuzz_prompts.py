"""Prompt files of any content: rows that can be used, rows with a reason, or one sentence."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from emoe_testing.fuzz import JSON, SCALAR, TEXT, nested, outcome
from emoe_testing.spreadsheets import original
from hypothesis import example, given
from hypothesis import strategies as st

from emoe_core.errors import LONGEST, plain
from emoe_core.gating.reference_prompts import from_file, from_text
from emoe_core.io.kept_scores import KeptScores
from emoe_core.io.spreadsheet import harmless
from emoe_core.prompts import ALIASES, KINDS, load_prompts
from emoe_core.prompts.table import read_table

TEXT_KINDS = [kind for kind in KINDS if kind != ".parquet"]
DEEP = [nested(depth, *pair) for depth in (90, 400, *range(900, 1000, 3), 3000) for pair in ("[]", ('{"a":', "}"))]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        yield Path(made)


def table(rows: list[list[str]], delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


NAME = st.one_of(st.sampled_from((*ALIASES, "Prompt ", "bad", "quality", "language", "image/key", "annotations")), TEXT)
ROWS = st.lists(st.dictionaries(NAME, JSON, max_size=4), max_size=6)
CONTENT = st.one_of(
    st.binary(max_size=300),
    TEXT,
    st.lists(st.lists(TEXT, min_size=1, max_size=4), max_size=6).map(lambda rows: table(rows, ",")),
    st.lists(st.tuples(TEXT, TEXT), max_size=6).map(lambda rows: "prompt,bad\n" + table([list(r) for r in rows], ",")),
    st.lists(st.tuples(TEXT, TEXT), max_size=6).map(
        lambda rows: "\ufeffcaption\tq\r\n" + table([list(r) for r in rows], "\t")
    ),
    ROWS.map(lambda rows: "\n".join(map(json.dumps, rows))),
    ROWS.map(json.dumps),
    ROWS.map(lambda rows: json.dumps({"annotations": rows})),
    JSON.map(json.dumps),
    st.tuples(JSON.map(json.dumps), st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]),
)


def written(folder: Path, content: str | bytes, kind: str) -> Path:
    path = folder / f"p{kind}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


@given(CONTENT, st.sampled_from(TEXT_KINDS))
@example("horse\rrainbow\rant", ".txt")  # a classic Macintosh's
@example("prompt,bad\rhorse,no\r", ".csv")
@example("prompt\nembedding:\ud800\n", ".csv")
@example('{"prompt": "embedding:\\ud800"}', ".jsonl")
@example('{"prompt": "a\\u0000b"}\n{"prompt": "b", "n": ' + "9" * 5000 + "}", ".jsonl")
@example("\n".join(f'{{"prompt": "a", "rest": {deep}}}' for deep in DEEP), ".jsonl")
@example(json.dumps({"x" * 5000: {"caption": [None]}}) + '\n{"prompt": "horse"}', ".jsonl")
@example(json.dumps({"\x1b[2J": {"caption": [None]}}) + '\n{"prompt": "horse"}', ".jsonl")
@example('prompt\n"never closed' + "\nx" * 600, ".csv")
@example('["' + "x" * 70_000 + '", [', ".json")
def test_a_prompt_file_gives_rows_reasons_or_one_sentence(folder: Path, content: str | bytes, kind: str) -> None:
    found = outcome(lambda: load_prompts(written(folder, content, kind)))
    for row in found[0] if found else []:
        assert row.prompt == row.prompt.strip() != "" and "\0" not in row.prompt
        row.prompt.encode("utf-8")
        assert all(isinstance(value, str) for value in row.columns.values())
    for bad in found[1] if found else []:
        assert str(bad) == plain(str(bad)) and len(str(bad)) <= LONGEST


@pytest.mark.parametrize("deep", DEEP, ids=range(len(DEEP)))
@pytest.mark.parametrize("kind", [".json", ".jsonl"])
def test_a_deep_file_gives_rows_reasons_or_one_sentence(folder: Path, deep: str, kind: str) -> None:
    for content in (deep, f'{{"prompt": "a", "rest": {deep}}}', f'[{{"prompt": "a", "rest": {deep}}}, "horse"]'):
        outcome(lambda content=content: load_prompts(written(folder, content, kind)))  # type: ignore[misc]


@given(CONTENT, st.sampled_from(TEXT_KINDS), st.floats())
@example("prompt,bad\nhorse,owls-at-noon\n", ".csv", 0.5)
@example("prompt,quality\nhorse,owls-at-noon\n", ".csv", 0.5)
@example("prompt,bad\nowls-at-noon,yes\nowls-at-noon,no\n", ".csv", 0.5)
def test_reference_prompts_are_consistent_or_refused(
    folder: Path, content: str | bytes, kind: str, bad_below: float
) -> None:
    found = outcome(lambda: from_file(written(folder, content, kind), bad_below), "owls-at-noon")
    if found:
        assert len(set(map(len, [found.prompts, found.places, *found.groups.values()]))) == 1
        assert found.bad == () or len(found.bad) == len(found.prompts)


@given(TEXT, TEXT)
def test_reference_prompts_of_a_text_box_are_consistent_or_refused(one: str, other: str) -> None:
    both = outcome(lambda: from_text(one) + from_text(other))
    if both:
        assert not both.bad or len(both.bad) == len(both.prompts)


@given(st.binary(max_size=200) | TEXT)
def test_a_table_without_prompts_is_read_or_refused(folder: Path, content: str | bytes) -> None:
    for _, cells in outcome(lambda: list(read_table(written(folder, content, ".csv")))) or []:
        assert all(isinstance(cell, str) for cell in cells.values())


PROMPT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), min_size=1).map(str.strip)
COLUMNS = st.dictionaries(
    st.text("abcdefg", min_size=1, max_size=5), st.text(st.characters(exclude_categories=["Cs", "Cc"])), max_size=3
)


@given(st.lists(st.tuples(PROMPT.filter(bool), st.text("ab, \"'\n;", max_size=8)), min_size=1))
def test_what_is_written_as_a_table_or_as_json_is_read_back(folder: Path, rows: list[tuple[str, str]]) -> None:
    names = ["prompt", "note"]
    contents: dict[str, Any] = {
        ".csv": table([names, *map(list, rows)], ","),
        ".tsv": table([names, *map(list, rows)], "\t"),
        ".jsonl": "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows),
        ".json": json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False),
    }
    for kind, content in contents.items():
        good, bad = load_prompts(written(folder, content, kind))
        assert bad == [] and [(row.prompt, row.columns["note"]) for row in good] == rows, kind


@given(SCALAR)
@example("=cmd|' /C calc'!A0")
@example("'=1")
def test_a_cell_that_was_made_harmless_comes_back(cell: Any) -> None:
    kept = harmless(cell)
    if isinstance(cell, str):
        assert original(kept) == cell and not kept.startswith(("=", "+", "-", "@", "\t", "\r"))
    else:
        assert kept is cell


@given(st.dictionaries(TEXT, st.floats(allow_nan=False), max_size=6), st.integers(0, 30))
def test_kept_scores_come_back_and_a_cut_line_costs_itself_alone(
    folder: Path, scores: dict[str, float], cut: int
) -> None:
    kept = KeptScores(folder / "kept.jsonl")
    kept.remove()
    for prompt, score in scores.items():
        kept.add(prompt, score)
    assert kept.read() == scores
    if scores:
        content = kept.path.read_bytes()
        kept.path.write_bytes(content[: max(1, len(content) - cut)])
        kept.add("after", 1.0)
        assert kept.read()["after"] == 1.0
