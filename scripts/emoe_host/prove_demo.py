"""A whole trial on the demo experts, by the commands that a user has: drawn, judged by the known right pictures, and told."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import ROOT, HostError, exit_code
from .demo import PROMPTS, groups_of
from .graphs import API_FOLDER
from .prepare import Host, prepare, say
from .server import Server, stopped_by_sigterm

WORKFLOW = API_FOLDER / "gate_before_generation.json"
#: The groups of docs/validity.md that have right pictures: fourteen languages, from well shown to never shown, and things in
#: English that were shown seldom or never.
GROUPS = (
    *("fresh", "fr", "de", "es", "it", "fi", "pl", "sw", "ja", "tr", "vi", "hu", "ru", "zh"),
    *("under_sampled", "held_out", "faces"),
)
EACH = 10
TOLD = ("auroc", "pictures", "sentence", "rule")


def choose_prompts(each: int, path: Path = PROMPTS) -> list[tuple[str, str]]:
    """(prompt, group), chosen by rule and not by eye: evenly spaced through each group's list, as docs/validity.md takes its
    forty per group. Ten are every fourth of those.
    """
    groups = groups_of(path, dict.fromkeys(GROUPS, each), "the trial")
    return [(entries[i * len(entries) // each], group) for group, entries in groups.items() for i in range(each)]


def write_prompts(path: Path, each: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "group"])
        table.writerows(choose_prompts(each))


def command(host: Host, *words: str | Path) -> float:
    """Runs an action of `python -m emoe_core prove` and shows what it says; returns its seconds."""
    started = time.monotonic()
    done = subprocess.run([str(host.python), "-m", "emoe_core", "prove", *map(str, words)], cwd=ROOT, check=False)
    if done.returncode:
        raise HostError(f"'prove {words[0]}' ended with exit code {done.returncode}; see above.")
    return round(time.monotonic() - started, 1)


def prove(host: Host, folder: Path, each: int) -> dict[str, Any]:
    """The trial; what the page says of it, and how long each part took."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    prompts, trial = folder / "prompts.csv", folder / "demo.sqlite3"
    write_prompts(prompts, each)
    say(f"starting {host.describe()}")
    with stopped_by_sigterm(), Server(host, output=folder / "pictures") as server:
        seconds = {"start": round(time.monotonic() - started, 1)}
        say(f"ComfyUI is up after {seconds['start']:.0f} s at {server.url}")
        given = ("--workflow", WORKFLOW, "--prompts", prompts, "--trial", trial)
        seconds["draw"] = command(host, "draw", "--server", server.url, *given, "--in-flight", "2")
        seconds["judge"] = command(host, "judge", "--trial", trial, "--judge", "demo")
        seconds["page"] = command(host, "page", "--trial", trial, "--out", folder)
    seconds["all"] = round(time.monotonic() - started, 1)
    try:
        told = json.loads((folder / "trial.json").read_text("utf-8"))
        return {"comfyui": host.version, **{name: told[name] for name in TOLD}, "seconds": seconds}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostError(f"the page's figures are not in {folder / 'trial.json'} ({error}).") from error


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/prove_demo.sh",
        description="A whole trial in a real ComfyUI on the CPU, with the embedded experts: prompts of known and unknown kinds "
        "are scored in every way and drawn, the known right pictures judge them, and a page says whether the score foresees "
        "bad pictures. COMFYUI_PATH and EMOE_PYTHON name another ComfyUI and Python than the prepared ones.",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what came out to FILE")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("emoe-prove-output"),
        help="where trial, pictures and page go",
    )
    parser.add_argument("--each", metavar="N", type=int, default=EACH, help=f"prompts per group ({EACH})")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    return exit_code(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    with stopped_by_sigterm():
        found = prove(prepare(), options.output.resolve(), options.each)
    print(
        f"{found['sentence']}\n{found['pictures']} pictures in {found['seconds']['all']:.0f} s: {options.output}",
        flush=True,
    )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")
        say(f"wrote {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
