"""Whether the card gives what the processor gives: the demo's scores, calibrations over both devices, the host tests.

Each check is one of the project's own commands, in a process of its own. Nothing here is timed, so they run beside each other.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emoe_host import ROOT, check
from emoe_host.prepare import Host

DEVICES = ("card", "processor")


def environment(host: Host, device: str, threads: int = 4) -> dict[str, str]:
    """A process's variables: the host and the device."""
    own = {"EMOE_DEVICE": device, "EMOE_BENCHMARK_HOST": str(host.comfyui), "OMP_NUM_THREADS": str(threads)}
    return check.environment(host, None) | own


def command(name: str, arguments: Sequence[str], env: dict[str, str], logs: Path, limit: float) -> int | None:
    """Runs a command, its output into a log; the exit code, or None past the limit."""
    with open(logs / f"{name.replace(' ', '-')}.log", "wb") as sink:
        try:
            done = subprocess.run(arguments, cwd=ROOT, env=env, stdout=sink, stderr=sink, timeout=limit)
        except subprocess.TimeoutExpired:
            return None
    return done.returncode


def demo(host: Host, device: str, work: Path, logs: Path, limit: float) -> Path:
    """The 24 runs of the demo; their figures' file."""
    name = f"demo-{host.version}-{device}"
    file = work / f"{name}.json"
    start = [str(host.python), "-m", "emoe_host.demo", "--json", str(file), "--output", str(work / name)]
    env = environment(host, device) | {"PYTHONPATH": str(ROOT / "scripts")}
    command(name, start, env, logs, limit)
    return file


def compared_demos(files: dict[str, Path]) -> dict[str, Any]:
    """Scores and verdicts of the demo on the two devices."""
    runs = {}
    for device, file in files.items():
        if not file.is_file():
            return {"error": f"the demo on the {device} left no figures"}
        runs[device] = json.loads(file.read_text(encoding="utf-8"))["runs"]
    pairs = list(zip(runs["card"], runs["processor"], strict=True))
    errors = [run["error"] for pair in pairs for run in pair if run.get("error")]
    apart = [abs(a["score"] - b["score"]) for a, b in pairs if a["score"] is not None and b["score"] is not None]
    return {
        "runs": len(pairs),
        "errors": errors,
        "scored": len(apart),
        "largest_difference": max(apart, default=None),
        "verdicts_that_differ": sum(a["verdict"] != b["verdict"] for a, b in pairs),
        "nodes_that_differ": sum(a["nodes_run"] != b["nodes_run"] for a, b in pairs),
    }


def carried_calibrations(host: Host, first: str, work: Path, logs: Path, limit: float) -> dict[str, Any]:
    """Calibrations that one device makes, and whether the other accepts them."""
    second = DEVICES[1 - DEVICES.index(first)]
    folder = work / f"calibrations-{host.version}-{first}"
    benchmark = [str(host.python), str(ROOT / "benchmarks" / "hosts.py")]
    codes = []
    for what, device in (("save", first), ("compare", second)):
        env = environment(host, device)
        codes.append(command(f"{what}-{host.version}-{first}", [*benchmark, what, str(folder)], env, logs, limit))
    text = (logs / f"compare-{host.version}-{first}.log").read_text(encoding="utf-8", errors="replace")
    cells = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    keys = ("set", "digests", "largest_difference", "in_deviations", "verdicts_that_differ")
    return {
        "from": first,
        "to": second,
        "exit": codes,
        "sets": [dict(zip(keys, row, strict=False)) for row in cells[1:]],
    }


def host_tests(host: Host, work: Path, logs: Path, limit: float, workers: int, paths: Sequence[str]) -> dict[str, Any]:
    """The host tier with its models on the card; the failures by name, with the first line of each message."""
    report = work / f"host-tests-{host.version}.xml"
    start = [str(host.python), "-m", "pytest", "-v", "-p", "no:cacheprovider", *paths, f"--junitxml={report}"]
    start += ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []
    env = environment(host, "card", threads=1)
    code = command(f"host-tests-{host.version}", start, env, logs, limit)
    if not report.is_file():
        return {"exit": code, "error": "no report: the tests were stopped, or did not start"}
    return {"exit": code, **asdict(check.read_junit(report)), "failures": check.failures(report)}


def everything(hosts: Sequence[Host], work: Path, logs: Path, limit: float, tests: Sequence[str]) -> dict[str, Any]:
    """All checks beside each other."""
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(16) as pool:
        demos = {
            (host.version, device): pool.submit(demo, host, device, work, logs, limit)
            for host in hosts
            for device in DEVICES
        }
        proofs = [
            pool.submit(carried_calibrations, host, first, work, logs, limit / 2) for host in hosts for first in DEVICES
        ]
        newest = hosts[:1] if tests else []
        tested = {host.version: pool.submit(host_tests, host, work, logs, limit, 8, tests) for host in newest}
        for host in hosts:
            files = {device: demos[host.version, device].result() for device in DEVICES}
            found[f"demo on {host.version}"] = compared_demos(files)
        found["calibrations"] = [proof.result() for proof in proofs]
        found["host tests"] = {version: result.result() for version, result in tested.items()}
    return found
