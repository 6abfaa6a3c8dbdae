"""`python -m emoe_core score`: the demo experts from the command line, without ComfyUI."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emoe_core import demo
from emoe_core.__main__ import main
from emoe_core.records.calibration import Calibration

GATE = ("--policy", "false_block_rate", "--alpha", "0.1")


def score(*words: str | Path) -> int:
    return main(["score", "--experts", "demo", *map(str, words)])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,language\ncandle,en\nxchtgg,none\nant,en\n游乐场滑梯,zh\n", encoding="utf-8")
    return path


def test_a_prompt_is_scored_and_gated(capsys: pytest.CaptureFixture[str]) -> None:
    assert score("--prompt", "candle", "--prompt", "xchtgg", *GATE) == 0
    out, err = capsys.readouterr()
    candle, nonsense = out.splitlines()
    assert candle.startswith("candle: pass: p = 0.135") and "uncertainty 0.199" in candle
    assert nonsense.startswith("xchtgg: block: p = 0.009") and "uncertainty 0.616" in nonsense
    assert "2 prompts: 1 passed, 1 blocked, 0 failed." in err and "Loading weights" not in err


def test_a_rejected_prompt_is_a_failure_only_where_asked() -> None:
    assert score("--prompt", "xchtgg", *GATE, "--fail-on-reject") == 1
    assert score("--prompt", "candle", *GATE, "--fail-on-reject") == 0
    assert score("--prompt", "xchtgg", "--fail-on-reject") == 0  # nothing gates


def test_json_on_stdout_holds_the_score_and_what_stands_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert score("--prompt", "山から日の出", "--preset", "thorough", "--json") == 0
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert row["status"] == "ok" and row["prompt"] == "山から日の出" and "verdict" not in row
    assert all(row[name] > 0 for name in ("score", "stderr", "epistemic", "seed_variance", "response", "guidance"))


def test_a_file_is_scored_once_and_gone_on_from(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.jsonl"
    assert score("--prompts", prompts, "--out", out, *GATE) == 0
    first = lines(out)
    assert [row["prompt"] for row in first] == ["candle", "xchtgg", "ant", "游乐场滑梯"]
    assert [row["status"] for row in first] == ["ok", "blocked", "ok", "blocked"]
    assert first[0]["columns"] == {"language": "en"} and not capsys.readouterr().out

    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]) + whole.splitlines()[2][:40])  # killed in a write
    assert score("--prompts", prompts, "--out", out, *GATE, "--fail-on-reject") == 1
    assert "Going on: 2 of 4 prompts" in capsys.readouterr().err
    again = lines(out)
    assert [row["prompt"] for row in again] == [row["prompt"] for row in first]
    assert [row["score"] for row in again] == pytest.approx([row["score"] for row in first], rel=1e-5)

    assert score("--prompts", prompts, "--out", out, *GATE) == 0
    assert len(lines(out)) == 4  # nothing is left to do
    assert score("--prompts", prompts, "--out", out, "--noise-seed", "5") == 0
    assert len(lines(out)) == 8  # other settings, other scores
    assert len({row["fingerprint"] for row in lines(out)}) == 2


def test_a_calibration_file_gates_and_one_of_other_settings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path.stem: path for path in demo.calibration_files()}
    assert score("--prompt", "xchtgg", "--calibration", files["layout"], "--alpha", "0.1", "--fail-on-reject") == 1
    out = tmp_path / "results.jsonl"
    assert score("--prompt", "ant", "--calibration", files["paper"], "--out", out) == 2
    assert "estimator is centred_layout instead of variance" in capsys.readouterr().err
    assert not out.read_text()  # said before anything was scored


def test_a_calibration_of_other_digests_is_proved_or_refused_with_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (path for path in demo.calibration_files() if path.stem == "fast")
    kept = Calibration.load(path)
    renamed = replace(kept, settings=replace(kept.settings, experts=("a" * 64, *kept.settings.experts[1:])))
    renamed.save(tmp_path / "renamed.json")
    replace(renamed, scores=tuple(one + 0.01 for one in kept.scores)).save(tmp_path / "moved.json")
    how = ("--prompt", "xchtgg", "--preset", "fast", "--alpha", "0.1", "--fail-on-reject", "--json")
    assert score(*how, "--calibration", tmp_path / "renamed.json") == 1
    said = capsys.readouterr()
    assert "proved on 16 of its prompts" in said.err and "calibration proved on 16 of its prompts" in said.out
    assert score(*how, "--calibration", tmp_path / "moved.json") == 2
    assert "was made with other models: on 16 of its prompts the scores differ by 0.01" in capsys.readouterr().err


def test_a_bad_row_is_named_and_the_good_ones_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "ant"}\n{"prompt": \n{"prompt": "candle"}\n', encoding="utf-8")
    out = tmp_path / "results.jsonl"
    assert score("--prompts", path, "--out", out) == 2
    assert "line 2" in capsys.readouterr().err and len(lines(out)) == 2


def test_a_prompt_that_cannot_be_scored_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prompts go together through the experts: the fault of one must not be laid on another."""
    from emoe_core.errors import EMoEError
    from emoe_core.hosts import diffusers as host

    real, faulty = host.score_many, "xchtgg"

    def sometimes(experts: Any, prompts: list[str], *how: Any) -> Any:
        if faulty in prompts:
            raise EMoEError("This one cannot be scored.")
        return real(experts, prompts, *how)

    path, out = tmp_path / "prompts.txt", tmp_path / "results.jsonl"
    path.write_text("ant\ncandle\nxchtgg\nfrog\n", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(host, "score_many", sometimes)
        assert score("--prompts", path, "--out", out) == 2
    assert [row["status"] for row in lines(out)] == ["ok", "ok", "error", "ok"]
    assert lines(out)[2]["error"] == "This one cannot be scored."
    assert "3 passed, 0 blocked, 1 failed" in capsys.readouterr().err
    assert score("--prompts", path, "--out", out) == 0  # what failed is tried again
    assert [row["prompt"] for row in lines(out)] == ["ant", "candle", "xchtgg", "frog", "xchtgg"]


WRONG = [
    (("--prompt", "  "), "A --prompt is empty"),
    (("--prompts", "nowhere.txt"), "cannot be read"),
    (("--prompt", "ant", "--preset", "best"), "There is no preset 'best'"),
    (("--prompt", "ant", "--policy", "guess"), "There is no gate policy 'guess'"),
    (("--prompt", "ant", "--calibration", "nowhere.json"), "cannot be read"),
    (("--prompt", "ant", "--device", "nowhere"), "The device 'nowhere' cannot be used"),
    (("--prompt", "ant", *GATE[:3], "0.001"), "too few for alpha 0.001"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[said[:20] for _, said in WRONG])
def test_what_cannot_be_scored_exits_with_2_and_one_sentence(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(*words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error


def test_results_are_not_mixed_with_other_files(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "notes.jsonl"
    other.write_text('{"a": 1}\n')
    assert score("--prompt", "ant", "--out", other) == 2
    assert "Line 1 of" in capsys.readouterr().err and other.read_text() == '{"a": 1}\n'
    assert score("--prompts", prompts, "--out", prompts) == 2
    assert "which is read" in capsys.readouterr().err
