"""The test command: ruff, mypy, tsc and the five test tiers, in the prepared environment, against a real ComfyUI.

Parts run side by side, one more than there are cores, each with its share of the threads: the tiers are separate processes
with servers, ports and folders of their own, and wait much for those.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, HostError
from .changed import TIERS, changed_files, choose
from .lanes import Part, cores, run_in_lanes, show
from .prepare import Host, prepare, say
from .server import stopped_by_sigterm

PARTS = ("lint", *TIERS)
#: The longest first, so that no lane ends long after the others; but lint comes before them, since it says most in least time.
_ORDER = ("lint", "browser", "host", "server", "core", "project")


@dataclass
class Count:
    """Tests (or lint checks) that passed and failed; skipped ones are reported, but do not count as passed."""

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


def failures(report: Path) -> list[str]:
    """One line per failed test, from pytest's own report, to look for in the output above."""
    if not report.is_file():
        return []
    lines = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                message = (found.get("message") or "").strip().splitlines() or [""]
                where = case.get("classname", "").replace(".", "/")
                lines.append(f"{where}.py::{case.get('name')}: {message[0][:160]}")
    return lines


def environment(host: Host, threads: int | None) -> dict[str, str]:
    """The parts' environment: the ComfyUI to use, and the number of threads unless the caller has set it.

    Left out are PYTHONPATH, since neither the pack's root nor scripts/ a second time may be importable, and
    PYTHONDONTWRITEBYTECODE, which images set to stay small: every start of ComfyUI would compile torch anew, which doubles it.
    """
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    if threads is not None:
        env.setdefault("OMP_NUM_THREADS", str(threads))
    return env | {"COMFYUI_PATH": str(host.comfyui), "EMOE_PYTHON": str(host.python)}


def lint_commands(host: Host) -> list[list[str]]:
    python = [str(host.python), "-m"]
    return [
        [*python, "ruff", "check", "."],
        [*python, "ruff", "format", "--check", "."],
        [*python, "emoe_host.mypy"],
        [*python, "emoe_host.typecheck"],
    ]


def tier_command(host: Host, paths: Sequence[str], report: Path, pytest_args: Sequence[str]) -> list[str]:
    """One tier in its own pytest, because the tiers import the same code in different ways."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    return [str(host.python), "-m", "pytest", *paths, f"--junitxml={report}", *colour, *pytest_args]


def judge(part: Part, report: Path, pytest_args: Sequence[str]) -> Count:
    """The counts of a part that has ended."""
    if part.name == "lint":
        return Count(passed=part.codes.count(0), failed=len(part.codes) - part.codes.count(0))
    (code,) = part.codes
    count = read_junit(report)
    if code == 5 and pytest_args:
        return count  # the arguments chose no test of this tier
    if code != 0 and count.failed == 0:  # no test collected, a usage error, a crash: pytest's own code is the failure
        count.failed = 1
    return count


def run_parts(host: Host, chosen: Mapping[str, Sequence[str]], pytest_args: Sequence[str]) -> dict[str, Count]:
    """Runs the parts, shows each one's output when it ends, and at last what failed; gives the counts by part.

    Args:
        chosen: the parts, and of each tier the paths that pytest gets.
    """
    lanes = min(cores() + 1, len(chosen))
    beside = lanes > 1
    env = environment(host, max(cores() // lanes, 1) if beside else None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def report(name: str) -> Path:
            return folder / f"{name}.xml"

        def part(name: str) -> Part:
            commands = (
                lint_commands(host) if name == "lint" else [tier_command(host, chosen[name], report(name), pytest_args)]
            )
            extra: Mapping[str, str] = {"PYTHONPATH": str(ROOT / "scripts")} if name == "lint" else {}
            return Part(name, commands, env | extra, folder / f"{name}.log" if beside else None)

        counts: dict[str, Count] = {}
        failed: list[str] = []

        def ended(part: Part) -> None:
            counts[part.name] = count = judge(part, report(part.name), pytest_args)
            show(part, count.line())
            if count.failed:
                failed.extend(failures(report(part.name)) or [f"{part.name}: see its output above"])

        wanted = sorted(chosen, key=_ORDER.index) if beside else chosen
        run_in_lanes([part(name) for name in wanted], lanes, ended)
    for line in failed:
        say(f"FAILED {line}")
    return counts


def parse(argv: Sequence[str]) -> tuple[list[str], list[str], str | None]:
    """The parts to run, what pytest gets, and the ref to compare with where only what a change touches is to run."""
    arguments = list(argv)
    pytest_args: list[str] = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, pytest_args = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(
        prog="scripts/test.sh",
        description="Runs ruff, mypy and the test tiers; the environment and a ComfyUI are prepared on the first run. "
        "COMFYUI_PATH names another ComfyUI, EMOE_PYTHON its Python. "
        "Parts run side by side, one more than there are cores; a single part writes to the terminal as it goes.",
        epilog="What follows `--` goes to pytest: scripts/test.sh core -- -k gate -x",
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of: {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--changed",
        nargs="?",
        const="",
        metavar="REF",
        help="only what can be touched by the changes since this branch left REF (default: main), uncommitted ones included",
    )
    given = parser.parse_args(arguments)
    parts = given.parts
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    if parts and given.changed is not None:
        parser.error("--changed chooses the parts; leave them out")
    return [p for p in PARTS if p in parts] if parts else list(PARTS), pytest_args, given.changed


def main(argv: Sequence[str] | None = None) -> int:
    parts, pytest_args, ref = parse(sys.argv[1:] if argv is None else argv)
    chosen = {part: [f"tests/{part}"] for part in parts}
    try:
        if ref is not None:
            choice = choose(changed_files(ref))
            chosen = choice.paths
            say("\n".join(choice.lines) or "nothing that has changed touches a test")
            if not chosen:
                return 0
        with stopped_by_sigterm():
            host = prepare()
            say(f"using {host.describe()}")
            counts = run_parts(host, chosen, pytest_args)
    except HostError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    total = sum(counts.values(), Count())
    if set(chosen) != {"lint"} and not any(
        count.passed + count.failed for part, count in counts.items() if part != "lint"
    ):
        print("error: no test ran", file=sys.stderr)
        total.failed += 1
    print(total.line())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
