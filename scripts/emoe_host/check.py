"""The test command: ruff, mypy and the three test tiers, in the prepared environment, against a real ComfyUI."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, HostError
from .prepare import Host, prepare, say
from .server import stopped_by_sigterm

TIERS = ("core", "host", "server", "browser")
PARTS = ("lint", *TIERS)


@dataclass
class Count:
    """Tests (or lint checks) that passed and failed; skipped ones are said, not counted as passed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def line(self) -> str:
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


def read_junit(report: Path) -> Count:
    """The counts of a pytest run from its own report; a run that left none counts as nothing."""
    if not report.is_file():
        return Count()
    count = Count()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        tests, bad, skipped = (
            int(suite.get("tests", 0)),
            int(suite.get("failures", 0)) + int(suite.get("errors", 0)),
            int(suite.get("skipped", 0)),
        )
        count += Count(max(tests - bad - skipped, 0), bad, skipped)
    return count


def environment(host: Host) -> dict[str, str]:
    env = {
        k: v for k, v in os.environ.items() if k != "PYTHONPATH"
    }  # the pack's root must not be importable, nor scripts/ twice
    return env | {"COMFYUI_PATH": str(host.comfyui), "EMOE_PYTHON": str(host.python)}


def run_lint(host: Host) -> Count:
    count = Count()
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        say(f"== {' '.join(command)}")
        done = subprocess.run([str(host.python), "-m", *command], cwd=ROOT, env=environment(host))
        count += Count(passed=done.returncode == 0, failed=done.returncode != 0)
    say("== tsc --checkJs web")
    done = subprocess.run(
        [str(host.python), "-m", "emoe_host.typecheck"],
        cwd=ROOT,
        env=environment(host) | {"PYTHONPATH": str(ROOT / "scripts")},
    )
    return count + Count(passed=done.returncode == 0, failed=done.returncode != 0)


def _hear_interrupts() -> None:
    """A shell's background job starts with SIGINT ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_to_its_end(command: Sequence[str], env: dict[str, str]) -> int:
    """Runs pytest. When we are asked to stop, so is pytest, and it gets the time to stop its servers."""
    hear = _hear_interrupts if os.name == "posix" else None
    process = subprocess.Popen(command, cwd=ROOT, env=env, preexec_fn=hear)
    try:
        return process.wait()
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):  # a terminal's Ctrl-C has reached pytest as well
            process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def run_tier(host: Host, tier: str, pytest_args: Sequence[str]) -> Count:
    """One tier in one pytest of its own: the tiers import the same code in different ways."""
    say(f"== tests/{tier}")
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        command = [str(host.python), "-m", "pytest", f"tests/{tier}", f"--junitxml={report}", *pytest_args]
        code = run_to_its_end(command, environment(host))
        count = read_junit(report)
    if code == 5 and pytest_args:
        return count  # the arguments chose no test of this tier
    if code != 0 and count.failed == 0:  # no test collected, a usage error, a crash: pytest's own code is the failure
        count.failed = 1
    return count


def parse(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    arguments = list(argv)
    pytest_args: list[str] = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, pytest_args = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(
        prog="scripts/test.sh",
        description="Runs ruff, mypy and the test tiers; the environment and a ComfyUI are prepared on the first run. "
        "COMFYUI_PATH names another ComfyUI, EMOE_PYTHON its Python.",
        epilog="What follows `--` goes to pytest: scripts/test.sh core -- -k gate -x",
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of: {', '.join(PARTS)} (default: all)")
    parts = parser.parse_args(arguments).parts
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    return [p for p in PARTS if p in parts] if parts else list(PARTS), pytest_args


def main(argv: Sequence[str] | None = None) -> int:
    parts, pytest_args = parse(sys.argv[1:] if argv is None else argv)
    try:
        with stopped_by_sigterm():
            host = prepare()
            say(f"using {host.describe()}")
            total = Count()
            tests = 0
            for part in parts:
                count = run_lint(host) if part == "lint" else run_tier(host, part, pytest_args)
                total += count
                tests += 0 if part == "lint" else count.passed + count.failed
    except HostError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if parts != ["lint"] and tests == 0:
        print("error: no test ran", file=sys.stderr)
        total.failed += 1
    print(total.line())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
