"""The ledger's file: written by many, torn by none, and refused where it cannot be used."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.spreadsheets import original
from emoe_testing.verdicts import SETTINGS, verdict

from emoe_core.__main__ import main
from emoe_core.cli.ledger import JSON_COLUMNS
from emoe_core.ledger.store import Ledger, LedgerError, Place
from emoe_core.records.calibration import Calibration

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "user" / "emoe" / "ledger.sqlite3", patience=0.3)


def test_a_verdict_comes_back_whole(ledger: Ledger) -> None:
    calibration = Calibration("ref", SETTINGS, tuple(i / 100 for i in range(40)))
    made = verdict("größe 象", 0.3, 0.7, policy="false_block_rate", alpha=0.05, calibrations=(calibration,))
    before = time.time()
    number = ledger.add(replace(made, calibration=calibration), Place("run-1", "6", 2))
    (row,) = ledger.rows()
    assert row.id == number and before <= row.time <= time.time()
    kept = made.as_dict()
    for name in ("prompt", "mode", "policy", "alpha", "threshold", "verdict", "passed", "score", "p_value", "reason"):
        assert getattr(row, name) == kept[name], name
    assert (row.percentile, row.items, row.fingerprint) == (kept["percentile"], kept["items"], kept["fingerprint"])
    assert (row.prompt_id, row.node_id, row.list_index) == ("run-1", "6", 2)
    assert (row.quality, row.seconds, row.run_status) == (None, None, None)
    assert ledger.settings() == {SETTINGS.fingerprint(): (SETTINGS, ("x", "y"))}
    assert row.calibration is not None and ledger.calibration(row.calibration) == calibration


def test_a_lone_surrogate_is_kept_as_an_escape(ledger: Ledger) -> None:
    """A client's JSON may hold one, in the prompt, its group or a reference prompt; SQLite takes none."""
    calibration = Calibration("ref", SETTINGS, (0.1, 0.2), ("cat", "dog \udfff"))
    made = verdict("a\ud800b", 0.3, policy="block_share", alpha=0.5, calibrations=(calibration,), group="g\ud800")
    ledger.add(replace(made, calibration=calibration))
    (row,) = ledger.rows()
    assert (row.prompt, row.group) == ("a\\ud800b", "g\\ud800") and "\\ud800" in row.reason
    assert row.calibration is not None and ledger.calibration(row.calibration) == calibration


def test_a_verdict_without_a_calibration_and_outside_a_run(ledger: Ledger) -> None:
    ledger.add(verdict("cat", 0.3))
    (row,) = ledger.rows()
    assert (row.p_value, row.calibration, row.prompt_id, row.passed) == (None, None, None, True)


def _writes(path: Path, who: int, count: int, seen: Any = None) -> None:
    """With `seen` the last row waits until a reader has seen one."""
    for number in range(count):
        if seen is not None and number == count - 1:
            seen.wait(60)
        Ledger(path, patience=30).add(verdict(f"{who} {number}", 0.3), place=Place(f"{who}-{number}"))


def test_many_processes_write_at_once_from_the_first_row_on(ledger: Ledger) -> None:
    first = FORK.Event()
    writers = [FORK.Process(target=_writes, args=(ledger.path, who, 20, first)) for who in range(5)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):  # readers are not in the way, and see whole rows only
        try:
            found = len([row for row in ledger.rows() if row.reason and row.items])
            assert found >= seen
            seen = found
            if seen:
                first.set()
        except LedgerError:
            assert not seen  # only before the first one has made its tables
        time.sleep(0.01)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    rows = ledger.rows()
    assert seen and len(rows) == 100 and len({row.id for row in rows}) == 100
    assert {row.prompt for row in rows} == {f"{who} {number}" for who in range(5) for number in range(20)}
    assert [row.prompt for row in rows if row.prompt.startswith("3 ")] == [f"3 {number}" for number in range(20)]


def test_a_writer_that_is_killed_leaves_whole_rows(ledger: Ledger) -> None:
    ledger.add(verdict("first", 0.3))
    writer = FORK.Process(target=_writes, args=(ledger.path, 1, 100_000))
    writer.start()
    while len(ledger.rows()) < 5:
        time.sleep(0.005)
    writer.kill()
    writer.join()
    count = len(ledger.rows())
    assert count >= 5 and all(row.items and row.reason for row in ledger.rows())
    ledger.add(verdict("after", 0.3))
    assert len(ledger.rows()) == count + 1


def test_a_locked_file_is_waited_for_and_then_named(ledger: Ledger) -> None:
    """Who waits for long gets in, after one that does not wait and one that waited in vain."""
    ledger.add(verdict("cat", 0.3))
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    patient = threading.Thread(target=lambda: Ledger(ledger.path, patience=60).add(verdict("owl", 0.3)))
    patient.start()
    for hasty in (Ledger(ledger.path, patience=0), ledger):
        with pytest.raises(LedgerError, match=r"ledger\.sqlite3' cannot be written: database is locked"):
            hasty.add(verdict("dog", 0.3))
    assert patient.is_alive()
    other.execute("ROLLBACK")
    patient.join()
    ledger.add(verdict("dog", 0.3))
    assert [row.prompt for row in ledger.rows()] == ["cat", "owl", "dog"]


def _as_nobody(path: Path, answer: Any) -> None:
    if os.geteuid() == 0:  # root may write everywhere
        os.setgid(65534)
        os.setuid(65534)
    try:
        Ledger(path).add(verdict("dog", 0.3))
        answer.put("written")
    except LedgerError as error:
        answer.put(str(error))
    answer.put([row.prompt for row in Ledger(path).rows()])


def _open_to_others() -> str:
    """A place for temporary folders that other users can enter: pytest's own are closed to them, and so may TMPDIR be."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        path = Path(place).resolve()
        if all(folder.is_dir() and folder.stat().st_mode & 0o001 for folder in (path, *path.parents)):
            return str(path)
    raise AssertionError("no temporary folder is open to other users")


def test_a_folder_that_cannot_be_entered_is_named(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300) / "ledger.sqlite3"
    with pytest.raises(LedgerError, match="cannot be read: .*name too long|There is no ledger"):
        Ledger(long).rows()


def test_a_read_only_file_is_named_and_can_be_read() -> None:
    with tempfile.TemporaryDirectory(dir=_open_to_others()) as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "ledger.sqlite3"
        Ledger(path).add(verdict("cat", 0.3))
        os.chmod(path, 0o444)
        answer = FORK.Queue()
        other = FORK.Process(target=_as_nobody, args=(path, answer))
        if os.geteuid() != 0:
            os.chmod(folder, 0o555)
        other.start()
        try:
            said, prompts = answer.get(timeout=120), answer.get(timeout=120)
        finally:
            other.join(20)
            os.chmod(folder, 0o755)
    assert "cannot be written" in said and "readonly" in said.replace("-", "") and prompts == ["cat"]


def _spoil(path: Path, how: str) -> None:
    if how == "garbage":
        path.write_bytes(b"no database at all " * 100)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with sqlite3.connect(path) as database:
            if how == "newer":
                database.execute("PRAGMA user_version = 2")
            else:
                database.execute("PRAGMA application_id = 7")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("garbage", "is not a database"),
        ("cut", "malformed|not a database"),
        ("newer", "is a ledger of version 2, and this node pack knows version 1"),
        ("another", "is not an EMoE ledger"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(ledger: Ledger, how: str, said: str) -> None:
    ledger.add(verdict("cat", 0.3))
    _spoil(ledger.path, how)
    content = ledger.path.read_bytes()
    with pytest.raises(LedgerError, match=said):
        ledger.add(verdict("dog", 0.3))
    with pytest.raises(LedgerError, match=said):
        ledger.rows()
    assert ledger.path.read_bytes() == content


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "emoe").write_text("a file where the folder should be")
    with pytest.raises(LedgerError, match="cannot be written"):
        Ledger(tmp_path / "emoe" / "ledger.sqlite3").add(verdict("cat", 0.3))


def test_reading_makes_no_file(ledger: Ledger) -> None:
    for read in (ledger.rows, ledger.settings, lambda: ledger.mark([1], "good")):
        with pytest.raises(LedgerError, match="There is no ledger at"):
            read()
    assert not ledger.path.parent.exists()


def test_marks_are_all_or_nothing(ledger: Ledger) -> None:
    ids = [ledger.add(verdict(word, 0.3)) for word in ("cat", "dog", "cow")]
    ledger.mark(ids[:2], "good")
    with pytest.raises(LedgerError, match="no verdict 99"):
        ledger.mark([ids[2], 99], "bad")
    ledger.mark([ids[0]], None)
    assert [row.quality for row in ledger.rows()] == [None, "good", None]


def test_the_state_tells_verdicts_and_marks_apart_and_nothing_else(ledger: Ledger) -> None:
    ids = [ledger.add(verdict(word, 0.3)) for word in ("cat", "dog")]
    states = [ledger.state()]
    for change in (
        lambda: ledger.mark(ids[:1], "good"),
        lambda: ledger.mark(ids, "bad"),
        lambda: ledger.mark(ids, None),
    ):
        change()
        states.append(ledger.state())
    assert states[3] == states[0] and len(set(states)) == 3
    ledger.rows()
    assert ledger.state() == states[0]
    ledger.add(verdict("cow", 0.3))
    assert ledger.state() not in states


def test_runs_are_kept_for_verdicts_of_this_ledger_only(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        ledger.add(verdict(name, 0.3), place=Place(f"run-{name}"))
    assert ledger.without_seconds(2) == ["run-c", "run-b"]
    assert ledger.add_runs([("run-a", 2.5, "success"), ("run-z", 9.0, "success")], "test") == 1
    assert ledger.add_runs([("run-a", 3.5, "success")], "again") == 1
    assert [(row.seconds, row.run_status) for row in ledger.rows()][0] == (3.5, "success")
    assert ledger.without_seconds(9) == ["run-c", "run-b"]


# --- the command ------------------------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    def run(action: str, *more: object) -> tuple[int, str, str]:
        code = main(["ledger", action, "--db", str(ledger.path), *map(str, more)])
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run


def fill(ledger: Ledger) -> None:
    """Four passed runs of about 10 s, two blocked of 1 s, one observed, one batch, one under other settings."""
    for number, score in enumerate((0.1, 0.2, 0.3, 0.4)):
        ledger.add(verdict(f"good {number}", score), place=Place(f"pass-{number}"))
    for number in range(2):
        ledger.add(verdict(f"odd {number}", 0.8 + number / 10), place=Place(f"block-{number}"))
    ledger.add(verdict("seen", 0.9, mode="observe"), place=Place("observed"))
    ledger.add(verdict("batch", 0.1, 0.9), place=Place("batch"))
    ledger.add(verdict("other", 0.1, settings=replace(SETTINGS, noise_seed=1)))
    runs = [(f"pass-{number}", 9.0 + number, "success") for number in range(4)]
    ledger.add_runs([*runs, ("block-0", 1.0, "success"), ("block-1", 1.0, "blocked")], "test")


def test_summary_by_hand(ledger: Ledger, command: Run) -> None:
    fill(ledger)
    code, out, _ = command("summary", "--json")
    said = json.loads(out)
    assert (code, said["exit_code"], said["drifted"]) == (0, 0, False)
    first, second = said["ledger"]
    assert first["fingerprint"] == SETTINGS.fingerprint() and second["verdicts"] == 1
    assert first["settings"] == json.loads(json.dumps(asdict(SETTINGS))) and first["experts"] == ["x", "y"]
    counted = ("verdicts", "different_prompts", "batches", "decided", "blocked", "observed", "observed_blocks")
    assert [first[name] for name in counted] == [8, 7, 1, 7, 3, 1, 1]
    assert first["blocked_share"] == 3 / 7
    seconds = first["seconds"]
    assert (seconds["let_through"], seconds["blocked"]) == (10.5, 1.0)
    assert (seconds["not_drawn"], seconds["scoring"], seconds["saved"]) == (3 * 9.5, 7 * 1.0, 21.5)
    assert second["seconds"]["saved"] is None and first["drift"]["calibration"] is None
    code, out, _ = command("summary", "--fingerprint", SETTINGS.fingerprint()[:6])
    assert code == 0 and out.count("settings ") == 1
    assert "blocked    3 of 7 (42.9 %)" in out and "saved 22: 28 not drawn, less 7 for scores" in out


def test_export_gives_every_field_in_both_kinds(ledger: Ledger, command: Run, tmp_path: Path) -> None:
    fill(ledger)
    ledger.add(verdict('=1+1, "quoted"\nline 2', 0.3))
    ledger.mark([2], "bad")
    for kind in ("csv", "jsonl"):
        assert command("export", "--out", tmp_path / f"out.{kind}")[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(lines) == len(table) == 10
    for line, row in zip(lines, table, strict=True):
        assert list(line) == list(row)
        for name, value in line.items():
            as_text = (
                "" if value is None else json.dumps(value, ensure_ascii=False) if name in JSON_COLUMNS else str(value)
            )
            assert original(row[name]) == as_text, name
    assert (lines[1]["quality"], lines[0]["seconds"], lines[0]["experts"]) == ("bad", 9.0, ["x", "y"])
    assert lines[0]["settings"]["noise_seed"] == 0 and lines[8]["settings"]["noise_seed"] == 1
    code, out, _ = command("export", "--out", "-")
    assert code == 0 and [json.loads(line) for line in out.splitlines()] == lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "--out", "x.xlsx"], "end it with .csv or .jsonl"),
        (["mark", "1,2-", "good"], None),
        (["mark", "x", "good"], "'x' is no verdict's id"),
        (["mark", "5-3", "good"], "'5-3' is no verdict's id"),
        (["mark", "77", "good"], "There is no verdict 77"),
        (["sync"], "give --server URL, or --results FILE"),
        (["sync", "--results", "nowhere.jsonl"], "'nowhere.jsonl' cannot be read"),
        (["sync", "--server", "127.0.0.1:9"], "'http://127.0.0.1:9' does not answer"),
        (["summary", "--fingerprint", "zz"], "has no verdicts under 'zz'"),
        (["summary", "--calibration", "nowhere.json"], "'nowhere.json' cannot be read"),
        (["calibrate", "--fingerprint", "zz", "--out", "x.json"], "The settings' fingerprint 'zz' fits no verdicts"),
        (["calibrate", "--fingerprint", "", "--out", "x.json"], "may be "),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    ledger: Ledger, command: Run, words: list[str], said: str | None
) -> None:
    fill(ledger)
    code, out, err = command(*words)
    if said is None:
        assert code == 0  # 2- is 2
        return
    assert code == 2 and not out and err.startswith("error: ") and said in err and err.count("\n") == 1


def test_no_ledger_is_exit_code_2(command: Run) -> None:
    code, _, err = command("summary")
    assert code == 2 and "switch on the Gate's input ledger" in err


def test_sync_from_the_results_of_a_batch(ledger: Ledger, command: Run, tmp_path: Path) -> None:
    fill(ledger)
    results = tmp_path / "results.jsonl"
    rows = [("observed", 7.5, "ok"), ("batch", 2.0, "error"), (None, None, "error"), ("unknown", 1.0, "ok")]
    results.write_text("\n".join(json.dumps({"prompt_id": p, "seconds": s, "status": t}) for p, s, t in rows))
    code, _, err = command("sync", "--results", results)
    assert code == 0 and "2 runs were learned" in err
    kept = {row.prompt_id: (row.seconds, row.run_status) for row in ledger.rows()}
    assert kept["observed"] == (7.5, "success") and kept["batch"] == (2.0, "error")
    for cut in ('{"prompt_id": "cut", "prompt": "a c', '{"prompt_id": "cut", "prompt": "猫'):
        line = json.dumps({"prompt_id": "batch", "prompt": "red\u2028fox", "seconds": 3.0}, ensure_ascii=False)
        results.write_bytes(f"{line}\n{cut}".encode()[:-1])  # the last one ends inside its character
        assert "1 runs were learned" in command("sync", "--results", results)[2]
        results.write_bytes(results.read_bytes() + b"\n")
        assert command("sync", "--results", results)[2] == f"error: Line 2 of '{results}' is no result of a batch.\n"
    results.write_text('{"no": "result"}')
    assert "Line 1 of" in command("sync", "--results", results)[2]
    results.write_text('{"no": "result"}\n')
    assert command("sync", "--results", results)[2] == f"error: Line 1 of '{results}' is no result of a batch.\n"


def test_the_ledger_of_the_comfyui_around_the_pack_is_found_through_a_link_too(tmp_path: Path) -> None:
    pack = Path(__file__).resolve().parents[2]
    nodes = tmp_path / "ComfyUI" / "custom_nodes"
    nodes.mkdir(parents=True)
    (nodes / "emoe").symlink_to(pack, target_is_directory=True)
    Ledger(tmp_path / "ComfyUI" / "user" / "emoe" / "ledger.sqlite3").add(verdict("cat", 0.3))
    line = f"cd '{nodes / 'emoe'}' && '{sys.executable}' -m emoe_core ledger export --out -"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prompt"] == "cat"


# --- a calibration of the ledger --------------------------------------------------------------------------------------


def test_unmarked_rows_are_all_reference(ledger: Ledger, command: Run, tmp_path: Path) -> None:
    fill(ledger)
    ledger.add(verdict("good 0", 0.1))  # scored again: the same score, no new observation
    out = tmp_path / "made" / "mine.json"
    code, _, err = command("calibrate", "--fingerprint", SETTINGS.fingerprint()[:8], "--out", out)
    made = Calibration.load(out)
    assert code == 0 and made.name == "mine" and made.settings == SETTINGS and made.bad == ()
    assert sorted(made.scores) == [0.1, 0.2, 0.3, 0.4, 0.8, 0.9, 0.9]
    assert dict(zip(made.prompts, made.scores, strict=True))["odd 1"] == 0.9
    assert "No row is marked" in err and "Batches of several images are left out" in err
    assert command("calibrate", "--fingerprint", SETTINGS.fingerprint(), "--out", out)[0] == 2
    assert command("calibrate", "--fingerprint", SETTINGS.fingerprint(), "--out", out, "--overwrite")[0] == 0


def test_marked_rows_are_used_alone_unless_asked(ledger: Ledger, command: Run, tmp_path: Path) -> None:
    fill(ledger)
    assert command("mark", "1-3", "good")[0] == 0 and command("mark", "4,7", "bad")[0] == 0
    out = tmp_path / "mine.json"
    code, _, err = command("calibrate", "--fingerprint", SETTINGS.fingerprint(), "--out", out)
    made = Calibration.load(out)
    assert code == 0 and made.scores == (0.1, 0.2, 0.3, 0.4, 0.9) and made.bad == (False, False, False, True, True)
    assert "2 blocked prompts have no mark, since nobody saw their images" in err
    more = ("--unmarked-as-good", "--overwrite")
    code, _, err = command("calibrate", "--fingerprint", SETTINGS.fingerprint(), "--out", out, *more)
    assert sum(Calibration.load(out).bad) == 2 and len(Calibration.load(out).scores) == 7
    assert "2 rows without a mark are taken as good" in err


def test_groups_of_the_gate_become_columns(ledger: Ledger, command: Run, tmp_path: Path) -> None:
    for number, group in enumerate(("ja", "language=ja", "", "language=en")):
        ledger.add(verdict(f"prompt {number}", number / 10, group=group))
    assert [row.group for row in ledger.rows()] == ["ja", "language=ja", None, "language=en"]
    out = tmp_path / "mine.json"
    assert command("calibrate", "--fingerprint", SETTINGS.fingerprint(), "--out", out)[0] == 0
    assert Calibration.load(out).groups == {"group": ("ja", "", "", ""), "language": ("", "ja", "", "en")}
