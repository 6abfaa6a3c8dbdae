"""Prompt files: what is read, and what is said of what is not."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emoe_core import prompts
from emoe_core.errors import EMoEError
from emoe_core.prompts import BadRow, load_prompts, read_prompts

Write = Callable[..., Path]
BOM = b"\xef\xbb\xbf"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return _write


def texts(path: Path) -> list[str]:
    return [row.prompt for row in load_prompts(path)[0]]


@pytest.mark.parametrize("start", [b"", BOM], ids=["plain", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_txt_has_a_prompt_a_line(write: Write, start: bytes, end: str) -> None:
    path = write("p.txt", start + end.join(["# animals", "a horse", "", "  馬, 'quoted'  ", "# end", "дом"]).encode())
    rows, bad = load_prompts(path)
    assert [(row.row, row.line, row.prompt) for row in rows] == [
        (1, 2, "a horse"),
        (2, 4, "馬, 'quoted'"),
        (3, 6, "дом"),
    ]
    assert not bad


@pytest.mark.parametrize("start", [b"", BOM], ids=["plain", "bom"])
@pytest.mark.parametrize("header", ["prompt", "Prompts", "CAPTION", "best_caption", "Text"])
def test_csv_finds_its_prompt_column_under_any_usual_name(write: Write, start: bytes, header: str) -> None:
    content = f'{header},language,Quality\n"a dog, a ""cat""",en,1\n5" nails,de,\n'
    rows, bad = load_prompts(write("p.csv", start + content.encode()))
    assert [row.prompt for row in rows] == ['a dog, a "cat"', '5" nails'] and not bad
    assert [row.columns for row in rows] == [{"language": "en", "Quality": "1"}, {"language": "de", "Quality": ""}]


def test_the_first_of_several_usual_names_is_the_prompt(write: Write) -> None:
    (row,) = load_prompts(write("p.csv", "text,caption,prompt\na,b,c\n"))[0]
    assert row.prompt == "c" and row.columns == {"text": "a", "caption": "b"}


def test_tsv_and_spreadsheets_with_semicolons(write: Write) -> None:
    assert texts(write("p.tsv", "Prompt\tCategory\na, b; c\tx\n")) == ["a, b; c"]
    assert texts(write("p.csv", "id;prompt\n1;a, b\n")) == ["a, b"]


def test_a_quoted_field_may_span_lines(write: Write) -> None:
    rows, bad = load_prompts(write("p.csv", 'prompt,n\n"two\nlines",1\nnext,2\n'))
    assert [(row.row, row.line, row.prompt) for row in rows] == [(1, 2, "two\nlines"), (2, 4, "next")] and not bad


def test_a_quote_that_is_never_closed_costs_its_own_row_only(write: Write) -> None:
    rows, bad = load_prompts(write("p.csv", 'prompt,n\n"open,1\nsecond,2\n"third\nrow",3\n"fourth",4\n'))
    assert [row.prompt for row in rows] == ["second", "third\nrow", "fourth"]
    assert bad == [BadRow(1, 2, 'a quote (") is opened and never closed')]


def test_many_open_quotes_do_not_end_the_reading(write: Write) -> None:
    rows, bad = load_prompts(write("p.csv", "prompt,n\n" + '"open,1\n' * 1501 + "good,2\n"))
    assert [row.prompt for row in rows][-1] == "good" and len(rows) + len(bad) <= 1502 and bad


def test_bad_rows_of_a_table_are_named_and_the_good_ones_kept(write: Write) -> None:
    path = write("p.csv", b"prompt,n\ngood,1\n,2\na,b,c\nbad \xff,4\nlast,5\n")
    rows, bad = load_prompts(path)
    assert [(row.row, row.prompt) for row in rows] == [(1, "good"), (5, "last")]
    assert [(b.row, b.line) for b in bad] == [(2, 3), (3, 4), (4, 5)]
    assert "empty" in bad[0].reason and "3 columns instead of 2" in bad[1].reason and "UTF-8" in bad[2].reason
    assert str(bad[0]) == "line 3: the prompt is empty"


def test_a_long_prompt_is_read_whole(write: Write) -> None:
    assert texts(write("p.csv", f"prompt,n\n{'x' * 200_000},1\n")) == ["x" * 200_000]


@pytest.mark.parametrize("start", [b"", BOM], ids=["plain", "bom"])
def test_jsonl(write: Write, start: bytes) -> None:
    lines = [
        json.dumps({"Caption": "a", "seed": 7, "quality": 0.5, "tags": ["x"], "none": None, "on": True}),
        "",
        "{not json",
        "[1]",
        '{"seed": 1}',
        '{"prompt": 5}',
        '{"prompt": " "}',
        '{"prompt": "b"}',
    ]
    rows, bad = load_prompts(write("p.jsonl", start + "\n".join(lines).encode()))
    assert [row.prompt for row in rows] == ["a", "b"]
    assert rows[0].columns == {"seed": "7", "quality": "0.5", "tags": '["x"]', "on": "true"}
    assert [b.line for b in bad] == [3, 4, 5, 6, 7]
    assert all("\n" not in b.reason for b in bad) and "not JSON" in bad[0].reason and "no prompt" in bad[2].reason


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.txt", "", "holds no prompt"),
        ("p.txt", "# only a comment\n", "holds no prompt"),
        ("p.csv", "", "holds no prompt"),
        ("p.csv", "prompt,n\n", "holds no prompt"),
        ("p.csv", "prompt,n\n,1\n", "line 2: the prompt is empty"),
        ("p.csv", "words,n\na,1\n", "no prompt column"),
        ("p.tsv", "a caption\tnot a url\n", "no prompt column"),
        ("p.jsonl", "{}\n", "line 1: no prompt"),
        ("p.txt", "a".encode("utf-16"), "UTF-16"),
        ("p.xlsx", "prompt", "a kind that is not read"),
    ],
)
def test_a_file_without_prompts_is_one_clear_error(write: Write, name: str, content: str | bytes, said: str) -> None:
    path = write(name, content)
    with pytest.raises(EMoEError) as error:
        load_prompts(path)
    assert said in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    for name in ("p.txt", "p.csv"):
        with pytest.raises(EMoEError, match="cannot be read"):
            load_prompts(tmp_path / name)


def test_rows_come_one_by_one(write: Write) -> None:
    """The first row is there before the rest is looked at, so a file of any size does."""
    bad: list[BadRow] = []
    rows: Iterator[Any] = read_prompts(write("p.csv", "prompt,n\nfirst,1\n,2\nlast,3\n"), bad)
    assert next(rows).prompt == "first" and not bad
    assert next(rows).prompt == "last" and len(bad) == 1


def test_parquet_says_what_it_needs(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pyarrow(name: str, *args: Any, **options: Any) -> Any:
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    with pytest.raises(EMoEError, match="needs pyarrow"):
        load_prompts(write("p.parquet", "x"))


def test_the_kinds_are_those_that_are_promised() -> None:
    assert set(prompts.KINDS) == {".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("txt", "# mine\nred fox\n\nblue fox\n"),
        ("csv", "prompt,language\nred fox,en\n\nblue fox,de\n"),
        ("csv", '\ufeffprompt;language\nred fox;en\n\n"blue fox";de\n'),
        ("tsv", "prompt\tlanguage\nred fox\ten\n\nblue fox\tde"),
        ("jsonl", '{"prompt": "red fox"}\n\n\n{"prompt": "blue fox"}\n'),
        ("json", '[\n"red fox",\n\n"blue fox"]\n'),
    ],
)
def test_lines_end_as_any_system_ends_them(tmp_path: Path, kind: str, content: str, end: str) -> None:
    path = tmp_path / f"p.{kind}"
    path.write_bytes(content.replace("\n", end).encode())
    rows, bad = load_prompts(path)
    assert [row.prompt for row in rows] == ["red fox", "blue fox"] and not bad
    assert kind == "json" or [row.line for row in rows] == [2 if kind != "jsonl" else 1, 4]
