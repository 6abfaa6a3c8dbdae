"""The audit command: what it refuses, and what it writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from emoe_testing.scorers import DigestScorer

from emoe_core.__main__ import main
from emoe_core.audit import cluster
from emoe_core.audit.exports import export
from emoe_core.audit.priorities import read_weights, weight_of
from emoe_core.audit.source import Source
from emoe_core.audit.store import Store
from emoe_core.audit.text import is_english, shared, words
from emoe_core.errors import EMoEError


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    lines = [f'"word{i}, {lang}",{lang},{i},x{i % 3}' for i in range(20) for lang in ("en", "sv")]
    path = tmp_path / "p.csv"
    path.write_text("\n".join(["prompt,language,id,score", *lines, "broken"]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --experts (models or 'demo'), or --server with --workflow"),
        (["--experts", "demo", "--server", "http://x"], "Who scores is not said"),
        (["--server", "http://x"], "--server needs --workflow"),
        (["--server", "http://x", "--workflow", "w", "--engine", "ray"], "--engine ray is for experts"),
        (
            ["--experts", "demo", "--group", "region"],
            "no column 'region' (--group); its columns are language, id, score",
        ),
        (["--experts", "demo", "--id", "key"], "no column 'key' (--id)"),
        (["--experts", "demo", "--reference", "language=fi"], "is no group of 'p.csv'"),
        (["--experts", "demo", "--weight", "sales"], "The weight column 'sales' is not in"),
        (["--experts", "demo", "--weights", "nowhere.csv"], "cannot be read"),
        (["--experts", "demo", "--comfyui", "nowhere"], "there is no ComfyUI there"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["audit", str(prompts), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error
    assert not (tmp_path / "out").exists()


def test_the_command_writes_scores_result_and_exports(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Source, "scorer", lambda self: DigestScorer(str(tmp_path)))
    exports = [word for kind in ("csv", "jsonl", "parquet") for word in ("--export", kind)]
    out = tmp_path / "out"
    arguments = ["audit", str(prompts), "--out", str(out), "--experts", "demo", "--host", "diffusers", "--json"]
    assert main([*arguments, *exports]) == 2  # one row could not be read
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary["prompts"] == 40 and summary["bad_rows"] == 1 and summary["exit_code"] == 2
    assert "line 42: 1 columns instead of 4" in said.err and "group columns: language (2)" in said.err
    assert json.loads((out / "result.json").read_text(encoding="utf-8"))["prompts"] == 40
    with (out / "prompts.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (out / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    from pyarrow import parquet

    table = parquet.read_table(out / "prompts.parquet").to_pylist()
    assert len(rows) == len(lines) == len(table) == 40
    assert rows[1]["prompt"] == lines[1]["prompt"] == table[1]["prompt"] == "word0, sv"
    assert float(rows[1]["score"]) == lines[1]["score"] == table[1]["score"]
    assert rows[1]["file_score"] == "x0" and lines[1]["language"] == "sv" and table[1]["id"] == "0"


def test_a_cluster_that_does_not_start_is_tried_again_and_then_said() -> None:
    """Ray raises a bare Exception where the machine is too busy for its own processes."""
    calls: list[str] = []

    def init(**options: object) -> None:
        calls.append("init")
        raise Exception("The current node timed out during startup.\nmore")

    ray = SimpleNamespace(init=init, shutdown=lambda: calls.append("shutdown"))
    with pytest.raises(EMoEError, match="did not start in 3 attempts .The current node timed out during startup"):
        cluster.start(ray, 2, "local")
    assert calls == ["init", "shutdown"] * 3


def test_an_export_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with Store.open(":memory:") as store, pytest.raises(EMoEError, match="ending that is not written"):
        export(store, tmp_path / "x.xlsx")


def test_weights_are_read_from_a_small_table(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("Language;Weight\nfi;2.5\nsv;0\n", encoding="utf-8")
    weights = read_weights(path)
    assert weight_of(weights, "language", "fi") == 2.5 and weight_of(weights, "language", "sv") == 0
    assert weight_of(weights, "region", "fi") is None
    path.write_text("group,weight\nfi,3\n", encoding="utf-8")
    assert weight_of(read_weights(path), "anything", "fi") == 3
    for text, said in (("language,weight\nfi,-1\n", "Line 2"), ("a,b\n1,2\n", "need two columns"), ("", "is empty")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(EMoEError, match=said):
            read_weights(path)


def test_words_of_any_script() -> None:
    assert words("A cat's Café, No. 5!") == ["a", "cat's", "café", "no", "5"]
    assert words("犬とタワー 富士山の猫") == ["犬", "と", "タワー", "富士山", "の", "猫"]
    assert words("שלום עולם 👩‍🚀") == ["שלום", "עולם"]
    assert shared(words("pizza e 5 gatti"), {"pizza", "e", "5"}) == 0.5 and shared(["a"], {"a"}) is None
    assert is_english("en-GB") and is_english("English") and not is_english("eno")
