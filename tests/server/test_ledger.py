"""The ledger on a live server: what the Gate writes down, what it does not, and what the command makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.graphs import BLOCK, PASS, Graph, gated, node, scored

from emoe_core.ledger.store import Ledger
from emoe_core.records.calibration import Calibration

ROOT = Path(__file__).resolve().parents[2]


def kept(limit: float, tag: str, **changes: Any) -> Graph:
    graph = gated(limit, tag)
    graph["gate"]["inputs"] |= {"ledger": True, **changes}
    return graph


@pytest.fixture
def ledger(default_server: Any) -> Iterator[Ledger]:
    """The ledger of the default server, moved away at the test's end."""
    path = Path(default_server.user) / "emoe" / "ledger.sqlite3"
    assert not path.exists()
    yield Ledger(path)
    for file in path.parent.glob("ledger.sqlite3*"):
        file.unlink()


def command(ledger: Ledger, action: str, *more: str) -> tuple[int, str, str]:
    line = [sys.executable, "-m", "emoe_core", "ledger", action, "--db", str(ledger.path), *more]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=180)
    return done.returncode, done.stdout, done.stderr


def test_off_unless_switched_on(default_server: Any, ledger: Ledger, tag: str) -> None:
    assert "ledger" not in default_server.run(gated(PASS, tag)).outputs["gate"]["emoe"][0]
    assert not ledger.path.exists()


def test_every_verdict_once_with_its_run_and_a_cached_run_adds_none(
    default_server: Any, ledger: Ledger, tag: str, tmp_path: Path
) -> None:
    wanted = [(PASS, "decide"), (BLOCK, "observe"), (PASS, "decide"), (BLOCK, "decide"), (BLOCK, "decide")]
    runs = [default_server.run(kept(limit, f"{tag} {i}", mode=mode)) for i, (limit, mode) in enumerate(wanted)]
    again = default_server.run(kept(BLOCK, f"{tag} 4"))
    assert "gate" in again.cached and again.outputs["gate"]["emoe"] == runs[4].outputs["gate"]["emoe"]
    rows = ledger.rows()
    assert [row.prompt for row in rows] == [f"{tag} {i}" for i in range(5)]
    for run, row in zip(runs, rows, strict=True):
        (said,) = run.outputs["gate"]["emoe"]
        assert said["ledger"] == row.id and run.prompt_id == row.prompt_id and row.node_id == "gate"
        for name in ("verdict", "passed", "mode", "score", "threshold", "p_value", "reason", "fingerprint", "items"):
            assert getattr(row, name) == said[name], name
        (file,) = run.outputs["gate"]["files"]
        report = json.loads((Path(default_server.output) / file["subfolder"] / file["filename"]).read_text("utf-8"))
        settings, experts = ledger.settings()[row.fingerprint]
        assert json.loads(json.dumps(report["report"]["settings"])) == json.loads(json.dumps(vars(settings)))
        assert [expert["name"] for expert in report["report"]["experts"]] == list(experts)

    code, _, err = command(ledger, "sync", "--server", default_server.url)
    assert code == 0 and "5 runs were learned" in err, err
    for run, row in zip(runs, ledger.rows(), strict=True):
        times = [message[1]["timestamp"] for message in run.history["status"]["messages"]]
        assert row.seconds == (max(times) - min(times)) / 1000 > 0 and row.run_status == "success"
        saved = [(one.server, one.filename) for one in ledger.pictures().get(row.id, [])]
        assert saved == [(default_server.url, image["filename"]) for image in run.images] and bool(saved) == row.passed
    code, out, _ = command(ledger, "summary", "--json")
    (found,) = json.loads(out)["ledger"]
    assert code == 0 and (found["decided"], found["blocked"], found["observed"]) == (4, 2, 1)
    assert found["seconds"]["saved"] is not None and found["drift"]["calibration"] is None

    made = tmp_path / "made.json"
    code, _, err = command(ledger, "calibrate", "--fingerprint", found["fingerprint"], "--out", str(made))
    assert code == 0, err
    calibrations = Path(default_server.user) / "emoe" / "calibrations"
    calibrations.mkdir(parents=True, exist_ok=True)
    (calibrations / f"{tag}.json").write_bytes(made.read_bytes())
    graph = kept(0.0, f"{tag} 5", policy="false_block_rate", alpha=0.2, calibration=["loaded", 0])
    graph["loaded"] = node("EMoE_LoadCalibration", name=tag)
    verdict = default_server.run(graph).outputs["gate"]["emoe"][0]
    scores = [row.score for row in rows]
    assert verdict["p_value"] == (1 + sum(score >= verdict["score"] for score in scores)) / 6
    code, out, _ = command(ledger, "summary", "--json")
    found = json.loads(out)["ledger"][0]["drift"]
    assert (found["calibration"], found["count"], found["reference_prompts"]) == ("made", 1, 5)


def test_items_of_a_list_are_rows_of_one_run(default_server: Any, ledger: Ledger, tag: str) -> None:
    graph = kept(PASS, tag)
    graph["prompts"] = node("RecorderStrings", tag=tag, lines=f"{tag}\nrainbow\nhorse")
    graph["text"]["inputs"]["text"] = ["prompts", 0]
    run = default_server.run(graph)
    found = [(row.prompt, row.prompt_id, row.list_index) for row in ledger.rows()]
    assert found == [(text, run.prompt_id, index) for index, text in enumerate((tag, "rainbow", "horse"))]


def test_a_node_makes_a_calibration_of_it_and_anew_when_it_has_grown(
    default_server: Any, ledger: Ledger, tag: str
) -> None:
    made = {**scored(prompt=f"{tag} 0"), "made": node("EMoE_CalibrationFromLedger", report=["score", 1], name=tag)}
    made["made"]["inputs"]["unmarked_as_good"] = False
    made["kept"] = node("EMoE_SaveCalibration", calibration=["made", 0], name="", overwrite=True)
    assert "There is no ledger at" in (default_server.run(made).error or "")
    for count in (1, 2):
        default_server.run(kept(PASS, f"{tag} {count}"))
        result = default_server.run(made)
        assert result.ok, result.error
        calibration = Calibration.load(Path(default_server.user) / "emoe" / "calibrations" / f"{tag}.json")
        assert calibration.prompts == tuple(f"{tag} {number + 1}" for number in range(count))
        assert calibration.scores == tuple(row.score for row in ledger.rows())
    assert "made" in default_server.run(made).cached  # nothing new, nothing read


def test_a_ledger_that_cannot_be_written_is_a_warning_and_the_verdict_stands(
    default_server: Any, ledger: Ledger, tag: str
) -> None:
    ledger.path.parent.mkdir(parents=True, exist_ok=True)
    ledger.path.write_text("no ledger at all, but somebody's file")
    for limit, count in ((PASS, 1), (BLOCK, 0)):
        run = default_server.run(kept(limit, f"{tag} {count}"))
        (said,) = run.outputs["gate"]["emoe"]
        assert run.ok and len(run.images) == count and said["passed"] is bool(count) and said["ledger"] is None
        (warning,) = said["warnings"]
        assert warning.startswith("The verdict stands, but it is not in the ledger.") and "is not a database" in warning
    assert "EMoE: The verdict stands, but it is not in the ledger." in default_server.server.log_text()
    assert ledger.path.read_text() == "no ledger at all, but somebody's file"
