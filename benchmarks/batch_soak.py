"""A night of the batch command in minutes: the server killed, the socket dropped, the command itself killed.

    python benchmarks/batch_soak.py --rows 200 --server-kills 3 --command-kills 1 --json soak.json

A TCP relay between the two cuts every socket after a few seconds, and some answers to requests that the server has already
received. Claim: whatever is killed or cut, and whenever, every row has exactly one result in the end, none is lost, none
counts twice, and the image of an interrupted run belongs to no result. The server itself records every run, so the results
file can be compared with what really ran. Needs a ComfyUI, like the tests (COMFYUI_PATH, EMOE_PYTHON).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.extend([str(ROOT / "scripts"), str(ROOT / "tests" / "server")])

from emoe_host.prepare import prepare  # noqa: E402
from emoe_host.server import stopped_by_sigterm  # noqa: E402
from test_batch import RECORDER, SETS, OwnServer, Wire, workflow  # noqa: E402


class Soak:
    """One batch of many rows, and the faults it suffers."""

    def __init__(self, folder: Path, server: OwnServer, rows: int, wire: Wire) -> None:
        self.folder, self.server, self.out = folder, server, folder / "out.jsonl"
        self.prompts = [f"soak row {number}" for number in range(1, rows + 1)]
        lines = [f"{p},{'-1e12' if i % 3 == 2 else '1e12'},0" for i, p in enumerate(self.prompts)]
        (folder / "p.csv").write_text("\n".join(["prompt,limit,step", *lines]) + "\n")
        (folder / "w.json").write_text(json.dumps(workflow()))
        self.wire = wire
        self.process: subprocess.Popen[str] | None = None
        self.events: list[dict[str, Any]] = []
        self.started = time.monotonic()

    def begin(self) -> None:
        command = [sys.executable, "-m", "emoe_core", "batch", "--server", self.wire.url, "--out", str(self.out)]
        command += ["--workflow", str(self.folder / "w.json"), "--prompts", str(self.folder / "p.csv")]
        command += ["--in-flight", "2", "--json", *(part for text in SETS for part in ("--set", text))]
        with open(self.folder / "command.log", "a") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)

    def done(self) -> int:
        return self.out.read_bytes().count(b"\n") if self.out.exists() else 0

    def wait_for(self, count: int) -> None:
        assert self.process is not None
        while self.done() < count and self.process.poll() is None:
            time.sleep(0.05)

    def strike(self, what: str, at: int) -> None:
        """Kills the server or the command once `at` rows are done, at a random moment, and starts it again."""
        assert self.process is not None
        self.wait_for(at)
        time.sleep(random.uniform(0, 1))
        began = time.monotonic()
        before = self.done()
        if what == "server":
            self.server.kill()
            self.server.again()
        else:
            self.process.kill()
            self.process.communicate()
            self.begin()
        seconds = round(time.monotonic() - began, 1)
        self.events.append({"killed": what, "rows_done": before, "up_again_after_seconds": seconds})
        print(f"  {before:4} rows done: {what} killed, up again after {seconds} s", flush=True)

    def report(self, code: int, summary: dict[str, Any]) -> dict[str, Any]:
        lines = [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]
        results = Counter(line["prompt"] for line in lines)
        log = self.server.base / "user" / "recorder.jsonl"
        runs = Counter(r["tag"] for r in map(json.loads, log.read_text().splitlines()) if r["class"] == "RecorderSink")
        named = [(i["subfolder"], i["filename"]) for line in lines for i in line["images"]]
        on_disk = {("", p.name) for p in self.server.output.glob("batch_*.png")}
        passed = sum(line["status"] == "ok" for line in lines)
        return {
            "rows": len(self.prompts),
            "results": len(lines),
            "lost": len(set(self.prompts) - set(results)),
            "twice": sum(count - 1 for count in results.values()),
            "wrong": sum(line["status"] != ("blocked" if line["row"] % 3 == 0 else "ok") for line in lines),
            "runs": sum(runs.values()),
            "runs_beyond_one_a_row": sum(count - 1 for count in runs.values()),
            "rows_never_run": len(set(self.prompts) - set(runs)),
            "images_in_results": len(named),
            "images_named_twice": len(named) - len(set(named)),
            "images_missing_on_disk": len(set(named) - on_disk),
            "images_of_interrupted_runs": len(on_disk - set(named)),
            "passed": passed,
            "attempts": dict(sorted(Counter(line["attempts"] for line in lines).items())),
            "requeued_by_last_command": summary.get("requeued"),
            "sockets_dropped": self.wire.cut,
            "answers_lost": self.wire.lost,
            "server_kills": sum(event["killed"] == "server" for event in self.events),
            "command_kills": sum(event["killed"] == "command" for event in self.events),
            "events": self.events,
            "exit_code": code,
            "seconds": round(time.monotonic() - self.started, 1),
        }


def holds(figures: dict[str, Any]) -> bool:
    """The claim. A kill may cut one run at its very end, after the run has been recorded."""
    nothing = ("lost", "twice", "wrong", "rows_never_run", "images_named_twice", "images_missing_on_disk", "exit_code")
    return (
        all(figures[name] == 0 for name in nothing)
        and figures["results"] == figures["rows"]
        and figures["sockets_dropped"] > 0
        and figures["answers_lost"] > 0
        and figures["images_in_results"] == figures["passed"]
        and figures["runs_beyond_one_a_row"] <= figures["server_kills"]
        and figures["images_of_interrupted_runs"] <= figures["server_kills"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--server-kills", type=int, default=3)
    parser.add_argument("--command-kills", type=int, default=1)
    parser.add_argument("--socket-life", type=float, default=5.0, help="seconds until a socket is cut (default 5)")
    parser.add_argument("--answers-lost", type=float, default=0.02, help="share of HTTP answers that are cut (0.02)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; a new one each time without it")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    seed = random.randrange(2**32) if args.seed is None else args.seed
    random.seed(seed)
    what = ["server"] * args.server_kills + ["command"] * args.command_kills
    random.shuffle(what)
    moments = sorted(random.sample(range(1, args.rows * 9 // 10), len(what)))
    with (
        stopped_by_sigterm(),
        tempfile.TemporaryDirectory() as folder,
        OwnServer(prepare(), packs={"recorder": RECORDER}) as server,
    ):
        soak = Soak(Path(folder), server, args.rows, Wire(server.port, args.socket_life, args.answers_lost))
        soak.begin()
        try:
            for kind, at in zip(what, moments, strict=True):
                soak.strike(kind, at)
            assert soak.process is not None
            out, _ = soak.process.communicate()
            figures = soak.report(soak.process.returncode, json.loads(out or "{}"))
        finally:
            if soak.process is not None and soak.process.poll() is None:
                soak.process.kill()
            soak.wire.close()
    figures = {"claim_holds": holds(figures), "seed": seed, **figures}
    for name, value in figures.items():
        if name != "events":
            print(f"{name:28} {value}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if figures["claim_holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
