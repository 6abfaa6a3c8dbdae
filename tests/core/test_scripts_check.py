"""The test command must not be able to pass without having tested."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from emoe_host import check
from emoe_host.prepare import Host

HOST = Host(Path("/comfyui"), Path("/python"), "0.3.75", "test")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, check.Count]:
    """Stands in for the parts: each gives the count put here."""
    counts = {part: check.Count(passed=1) for part in check.PARTS}
    monkeypatch.setattr(check, "prepare", lambda: HOST)
    monkeypatch.setattr(check, "run_lint", lambda host: counts["lint"])
    monkeypatch.setattr(check, "run_tier", lambda host, tier, args: counts[tier])
    return counts


def test_all_parts_run_by_default() -> None:
    assert check.parse([]) == (["lint", "core", "host", "server", "browser"], [])
    assert check.parse(["server", "core", "--", "-k", "gate"]) == (["core", "server"], ["-k", "gate"])
    with pytest.raises(SystemExit):
        check.parse(["everything"])


def test_a_good_run_ends_with_its_count(counted: dict, capsys: pytest.CaptureFixture[str]) -> None:
    counted["server"] = check.Count(passed=3, skipped=1)
    assert check.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "7 passed, 0 failed, 1 skipped"


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


@pytest.mark.parametrize(("code", "arguments", "failed"), [(0, [], 0), (5, [], 1), (2, [], 1), (5, ["-k", "x"], 0)])
def test_a_tier_without_a_report_is_judged_by_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, code: int, arguments: list[str], failed: int
) -> None:
    monkeypatch.setattr(check, "run_to_its_end", lambda command, env: code)
    assert check.run_tier(HOST, "core", arguments).failed == failed


def test_a_stopped_run_lets_pytest_clean_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped from outside (SystemExit), the child gets SIGINT and its time, not a kill."""
    code = (
        "import sys, time\n"
        "try:\n    open(sys.argv[1], 'w').close(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    open(sys.argv[2], 'w').close()\n"
    )
    started, cleaned = tmp_path / "started", tmp_path / "cleaned"
    real_wait = check.subprocess.Popen.wait

    def wait(process, timeout=None):
        if timeout is None and not cleaned.exists():
            while not started.exists():
                time.sleep(0.02)
            raise SystemExit(143)
        return real_wait(process, timeout)

    monkeypatch.setattr(check.subprocess.Popen, "wait", wait)
    with pytest.raises(SystemExit):
        check.run_to_its_end([sys.executable, "-c", code, str(started), str(cleaned)], dict(os.environ))
    assert cleaned.exists()
