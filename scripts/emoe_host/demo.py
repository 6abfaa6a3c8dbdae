"""The demo: prompts of known rarity go through the gate in a real ComfyUI; those it passes are drawn."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import ROOT, HostError, exit_code, graphs
from .prepare import Host, prepare, say
from .server import Server, stopped_by_sigterm

WORKFLOWS = ("gate_before_generation", "reroute_blocked_prompt")
PROMPTS = ROOT / "emoe_core" / "demo" / "prompts.json"
# group in prompts.json, its name in the table, number of its prompts
GROUPS = (
    ("fresh", "English", 3),
    ("fr", "French", 1),
    ("de", "German", 1),
    ("fi", "Finnish", 1),
    ("sw", "Swahili", 1),
    ("ja", "Japanese", 1),
    ("held_out", "held-out concept", 1),
    ("faces", "held-out face", 1),
    ("nonsense", "nonsense", 1),
    ("zh", "unseen script", 1),
)


@dataclass
class Run:
    """One prompt through one workflow."""

    workflow: str
    prompt: str
    group: str
    score: float | None = None
    percentile: float | None = None
    p_value: float | None = None
    verdict: str = "error"
    images: list[str] = field(default_factory=list)
    nodes_run: list[str] = field(default_factory=list)
    titles_run: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None


def groups_of(path: Path, counts: Mapping[str, int], what: str) -> dict[str, list[str]]:
    """The demo's prompts by group, as many as are counted or more; a `HostError` where there are fewer, or no such file."""
    try:
        lists = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HostError(f"the demo's prompts cannot be read from {path} ({error}).") from error
    found = {key: lists.get(key) or [] for key in counts}
    for key, count in counts.items():
        if len(found[key]) < count:
            raise HostError(f"{path} has {len(found[key])} prompts in the group {key!r}; {what} needs {count}.")
    return found


def choose_prompts(path: Path = PROMPTS) -> list[tuple[str, str]]:
    """(group, prompt), chosen by rule and not by eye: each group's prompts, evenly spaced through its list."""
    groups = groups_of(path, {key: count for key, _, count in GROUPS}, "the demo")
    return [
        (title, groups[key][(2 * i + 1) * len(groups[key]) // (2 * count)])
        for key, title, count in GROUPS
        for i in range(count)
    ]


def read_result(run: Run, result: Any, output: Path) -> None:
    """Takes what the table and the JSON show from a queued graph's result."""
    run.nodes_run, run.titles_run, run.seconds = result.classes_run, result.titles_run, round(result.seconds, 2)
    run.images = [str(path) for path in result.image_paths(output)]
    run.error = result.error_line
    verdicts = [entry for node in result.outputs.values() for entry in node.get("emoe") or []]
    if run.error is None and verdicts:
        first = verdicts[0]
        run.score, run.percentile, run.p_value = (first.get(k) for k in ("score", "percentile", "p_value"))
        run.verdict = str(first["verdict"])
    elif run.error is None:
        run.error = "the workflow ended without a verdict"


# --- the table -------------------------------------------------------------------------------------


def width(text: str) -> int:
    """Columns on a terminal: a Chinese or Japanese letter takes two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, columns: int) -> str:
    if width(text) > columns:
        while width(text) > columns - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (columns - width(text))


COLUMNS = (("prompt", 26), ("group", 17), ("score", 9), ("percentile", 10), ("p-value", 8), ("verdict", 8))


def number(value: float | None, form: str) -> str:
    return "-" if value is None or value != value else format(value, form)


def table_head() -> str:
    return "  ".join(pad(name, columns) for name, columns in COLUMNS) + "  image"


def table_line(run: Run, output: Path) -> str:
    cells = [run.prompt, run.group, number(run.score, ".4g"), number(run.percentile, ".2f"), number(run.p_value, ".3f")]
    cells.append(run.verdict)
    line = "  ".join(pad(cell, columns) for cell, (_, columns) in zip(cells, COLUMNS, strict=True))
    shown = [os.path.relpath(image, output) for image in run.images]
    return f"{line}  {', '.join(shown) or '-'}" + (f"\n    {run.error}" if run.error else "")


def summary(runs: Sequence[Run], output: Path, seconds: float) -> str:
    def count(**wanted: object) -> int:
        return sum(all(getattr(run, k) == v for k, v in wanted.items()) for run in runs)

    drawn = sum(run.verdict == "pass" and bool(run.images) for run in runs)
    rerouted = sum(run.verdict == "block" and bool(run.images) for run in runs)
    parts = [f"{drawn} passed and drawn", f"{count(verdict='block') - rerouted} blocked before any sampling"]
    parts += [f"{rerouted} blocked and rerouted"] if rerouted else []
    parts += [f"{count(verdict='error')} failed"] if count(verdict="error") else []
    return (
        f"{len(runs)} run{'s' * (len(runs) != 1)} in {seconds:.0f} s: {', '.join(parts)}. Images and verdicts: {output}"
    )


# --- running it ------------------------------------------------------------------------------------


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo.sh",
        description="Scores, gates and draws a dozen prompts in a real ComfyUI on the CPU, with the embedded experts. The "
        "first run prepares a ComfyUI and its Python in a cache; COMFYUI_PATH and EMOE_PYTHON name others.",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every run's figures to FILE")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("emoe-demo-output"), help="where images go")
    parser.add_argument("--keep", action="store_true", help="leave the server up afterwards, until Ctrl-C")
    parser.add_argument("--preset", help="Score's preset, instead of the workflows' own")
    parser.add_argument("--prompt", action="append", metavar="TEXT", help="your own prompt instead (may be repeated)")
    parser.add_argument("--workflow", action="append", choices=WORKFLOWS, help="only this one (may be repeated)")
    parser.add_argument("--host", help=argparse.SUPPRESS)  # passes what the first half found to the second
    return parser.parse_args(argv)


def run_all(server: Server, options: argparse.Namespace, prompts: Sequence[tuple[str, str]]) -> list[Run]:
    from .client import Client

    client = Client(server.url)
    runs: list[Run] = []
    for workflow in options.workflow or WORKFLOWS:
        graph = graphs.load(workflow)
        print(f"\n{workflow}\n{table_head()}", flush=True)
        for group, prompt in prompts:
            run = Run(workflow, prompt, group)
            prefix = f"{workflow}/{graphs.file_safe(group)}-{graphs.file_safe(prompt)}"
            read_result(run, client.run(graphs.filled(graph, prompt, prefix, options.preset)), server.output)
            runs.append(run)
            print(table_line(run, server.output), flush=True)
    return runs


def write_json(path: Path, host: Host, runs: Sequence[Run]) -> None:
    entries = [{k: v for k, v in asdict(run).items() if k != "error" or v} for run in runs]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"comfyui": host.version, "runs": entries}, ensure_ascii=False, indent=1) + "\n", "utf-8"
    )


def demo(host: Host, options: argparse.Namespace) -> int:
    """The half that runs in the prepared Python."""
    started = time.monotonic()
    prompts = [("yours", text) for text in options.prompt] if options.prompt else choose_prompts()
    say(f"starting {host.describe()}")
    with stopped_by_sigterm(), Server(host, output=options.output) as server:
        say(f"ComfyUI is up after {time.monotonic() - started:.0f} s at {server.url}")
        runs = run_all(server, options, prompts)
        print("\n" + summary(runs, server.output, time.monotonic() - started), flush=True)
        if options.json:
            write_json(options.json, host, runs)
            say(f"wrote {options.json}")
        if options.keep:
            print(f"ComfyUI stays up: open {server.url} and choose Workflow > Browse Templates > emoe.")
            print("Ctrl-C stops it.", flush=True)
            while server.alive():
                time.sleep(0.5)
    return 1 if any(run.error for run in runs) else 0


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parse(arguments)
    return exit_code(lambda: run(arguments, options))


def run(arguments: Sequence[str], options: argparse.Namespace) -> int:
    if options.host is None:
        with stopped_by_sigterm():
            host = prepare()
        found = json.dumps({k: str(v) for k, v in asdict(host).items()})
        command = [str(host.python), "-m", "emoe_host.demo", *arguments, "--host", found]
        os.execv(command[0], command)  # the client needs the prepared environment
    fields = json.loads(options.host)
    host = Host(Path(fields["comfyui"]), Path(fields["python"]), fields["version"], fields["origin"])
    return demo(host, options)


if __name__ == "__main__":
    sys.exit(main())
