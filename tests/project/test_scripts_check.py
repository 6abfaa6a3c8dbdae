"""The test command must not be able to pass without having tested."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from emoe_host import ROOT, check, lanes, mypy
from emoe_host.lanes import Part
from emoe_host.prepare import Host

HOST = Host(Path("/comfyui"), Path("/python"), "0.3.75", "test")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, check.Count]:
    """Stands in for the parts: each gives the count put here."""
    counts = {part: check.Count(passed=1) for part in check.PARTS}
    monkeypatch.setattr(check, "prepare", lambda: HOST)
    monkeypatch.setattr(check, "run_parts", lambda host, names, args: {name: counts[name] for name in names})
    return counts


def test_all_parts_run_by_default() -> None:
    assert check.parse([]) == (["lint", "core", "project", "host", "server", "browser"], [], None)
    assert check.parse(["server", "core", "--", "-k", "gate"]) == (["core", "server"], ["-k", "gate"], None)
    with pytest.raises(SystemExit):
        check.parse(["everything"])


def test_a_good_run_ends_with_its_count(counted: dict, capsys: pytest.CaptureFixture[str]) -> None:
    counted["server"] = check.Count(passed=3, skipped=1)
    assert check.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "8 passed, 0 failed, 1 skipped"


@pytest.mark.parametrize("part", check.PARTS)
def test_one_failure_in_any_part_fails_the_run(counted: dict, part: str) -> None:
    counted[part] = check.Count(passed=10, failed=1)
    assert check.main([]) == 1


def test_no_test_is_a_failure(counted: dict, capsys: pytest.CaptureFixture[str]) -> None:
    counted["core"] = check.Count()
    assert check.main(["lint", "core"]) == 1
    assert "no test ran" in capsys.readouterr().err


def test_lint_alone_has_no_tests_and_may_pass(counted: dict) -> None:
    assert check.main(["lint"]) == 0


def test_the_counts_come_from_pytests_own_report(tmp_path: Path) -> None:
    report = tmp_path / "r.xml"
    report.write_text('<testsuites><testsuite tests="7" failures="1" errors="1" skipped="2"/></testsuites>')
    assert check.read_junit(report) == check.Count(passed=3, failed=2, skipped=2)
    assert check.read_junit(tmp_path / "none.xml") == check.Count()


def test_what_failed_is_named_from_the_report(tmp_path: Path) -> None:
    report = tmp_path / "r.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="core.test_a" name="test_good"/>'
        '<testcase classname="core.test_a" name="test_bad[1]"><failure message="assert 1 == 2&#10;more">x</failure></testcase>'
        '<testcase classname="core.test_b" name="test_c"><error message="no fixture">x</error></testcase>'
        "</testsuite></testsuites>"
    )
    assert check.failures(report) == [
        "core/test_a.py::test_bad[1]: assert 1 == 2",
        "core/test_b.py::test_c: no fixture",
    ]


@pytest.mark.parametrize(("code", "arguments", "failed"), [(0, [], 0), (5, [], 1), (2, [], 1), (5, ["-k", "x"], 0)])
def test_a_tier_without_a_report_is_judged_by_its_exit_code(
    tmp_path: Path, code: int, arguments: list[str], failed: int
) -> None:
    assert check.judge(Part("core", [["x"]], {}, codes=[code]), tmp_path / "none.xml", arguments).failed == failed


def test_each_lint_tool_counts_once(tmp_path: Path) -> None:
    part = Part("lint", [["x"]] * 4, {}, codes=[0, 1, 0, 0])
    assert check.judge(part, tmp_path / "none.xml", []) == check.Count(passed=3, failed=1)


def test_lint_lets_mypy_see_the_clone_as_one_package() -> None:
    assert ["/python", "-m", "emoe_host.mypy"] in check.lint_commands(HOST)
    for _ in range(2):
        mypy.link()
    for name in ("__init__.py", "nodes/gate.py", "emoe_core/__init__.py"):
        assert (mypy.FOLDER / name).samefile(ROOT / name)


def test_the_parts_keep_their_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images set this to stay small; it makes each of the many starts of ComfyUI twice as long."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"} & check.environment(HOST, None).keys()


def python(name: str, code: str, output: Path | None, *arguments: object) -> Part:
    return Part(name, [[sys.executable, "-c", code, *map(str, arguments)]], dict(os.environ), output)


WATCH = """
import signal, sys, time
from pathlib import Path
signal.alarm(60)  # ends what would wait for ever
while not all(map(Path.exists, map(Path, sys.argv[1:]))):
    time.sleep(0.02)
"""
MEET = f"open(__import__('sys').argv[1], 'w').close()\n{WATCH}\nprint('met', Path(sys.argv[1]).name)"


def test_two_parts_run_side_by_side_and_their_outputs_are_kept_apart(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    parts = [python("one", MEET, tmp_path / "1.log", a, b), python("two", MEET, tmp_path / "2.log", b, a)]
    lanes.run_in_lanes(parts, 2, lambda part: lanes.show(part, "done"))
    assert [part.codes for part in parts] == [[0], [0]]
    blocks = capfd.readouterr().out.split("\n== ")
    assert [("met a" in block, "met b" in block) for block in sorted(blocks[1:])] == [(True, False), (False, True)]


def test_a_lane_takes_the_next_part_and_a_part_all_its_commands(tmp_path: Path) -> None:
    over: list[str] = []
    add = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    parts = [python(name, add, tmp_path / f"{name}.log", tmp_path / "order", name) for name in "abc"]
    parts[1].commands = [*parts[1].commands, [sys.executable, "-c", "raise SystemExit(3)"]]
    lanes.run_in_lanes(parts, 1, lambda part: over.append(part.name))
    assert over == ["a", "b", "c"] and (tmp_path / "order").read_text() == "abc"
    assert parts[1].codes == [0, 3]


def test_a_stopped_run_lets_every_part_clean_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Stopped from outside (SystemExit), each child gets SIGINT and its time, not a kill."""
    code = (
        "import signal, sys\n"
        "try:\n    open(sys.argv[1], 'w').close(); signal.pause()\n"
        "except KeyboardInterrupt:\n    print('as far as it came', flush=True); open(sys.argv[2], 'w').close()\n"
    )
    started, cleaned = [tmp_path / f"started{n}" for n in (1, 2)], [tmp_path / f"cleaned{n}" for n in (1, 2)]
    parts = [python(f"p{n}", code, tmp_path / f"{n}.log", started[n], cleaned[n]) for n in (0, 1)]
    parts.append(python("watch", WATCH, tmp_path / "watch.log", *started))

    def stop_when_both_run(part: Part) -> None:
        assert part.name == "watch" and part.codes == [0]
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        lanes.run_in_lanes(parts, 3, stop_when_both_run)
    assert all(path.exists() for path in cleaned)
    assert capfd.readouterr().out.count("\nas far as it came") == 2
