"""`python -m emoe_core score`: prompts scored with diffusers, without ComfyUI."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..batch.journal import row_key
from ..errors import EMoEError
from ..gating.policies import ALPHA, DELTA
from ..io.console import Console, Totals, out
from ..io.json_text import parse
from ..io.results_file import ResultsFile
from ..prompts import PromptRow, load_prompts
from ..records.calibration import Calibration
from .arguments import add_options, options_of

if TYPE_CHECKING:
    from .score_work import GateWords

DESCRIPTION = (
    "Scores prompts by how much several models disagree on them, and gates them if a policy is given. Needs the extra "
    "diffusers; nothing is downloaded. With --out, start the same command again to continue where it ended."
)
EPILOG = (
    "exit codes: 0 done; 1 some prompts were blocked (only with --fail-on-reject); 2 some prompts could not be scored, or "
    "the input cannot be used; 130 stopped by Ctrl-C"
)
DEMO = "demo"
#: These fields identify a row under one setting and one gate.
Mark = tuple[str, str, str]
_TYPES = ("float32", "float16", "bfloat16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--experts",
        required=True,
        nargs="+",
        metavar="PATH",
        help=f"pipeline folders and single safetensors files, two or more; or '{DEMO}' for the embedded experts",
    )
    add(
        "--config",
        metavar="FOLDER",
        help="for single files: a pipeline folder of the family, .json and .txt files only",
    )
    prompts = parser.add_mutually_exclusive_group(required=True)
    prompts.add_argument("--prompt", action="append", metavar="TEXT", help="a prompt; may be given several times")
    prompts.add_argument("--prompts", metavar="FILE", help="prompts: .txt, .csv, .tsv, .jsonl or .parquet")
    add_options(add, size="default: what the first expert was made for")
    add("--device", help="where the experts compute, one at a time: cpu, cuda, ... (default: cuda if there is one)")
    add("--dtype", choices=_TYPES, help="the type they compute in (default: float32 on the CPU, else float16)")
    add("--batch", type=int, default=8, metavar="N", help="prompts times noise samples in one call (8)")
    add("--clip-skip", type=int, metavar="N", help="last layers of CLIP to skip, as in diffusers")
    add("--calibration", metavar="FILE", action="append", help="a calibration; scores are gated by it")
    add("--policy", help="how to gate (false_block_rate where a calibration is given)")
    add("--alpha", type=float, default=ALPHA, help=f"the rate that the policy keeps ({ALPHA})")
    add("--threshold", type=float, default=0.0, help="with policy raw_threshold: the highest score that passes")
    add(
        "--delta",
        type=float,
        default=DELTA,
        help=f"with policy bad_among_passed: how often the rate may be missed ({DELTA})",
    )
    add("--group", metavar="COLUMN", default="", help="judge each prompt by the reference prompts of its own group")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--json", action="store_true", help="one JSON line per prompt on stdout")
    where.add_argument("--out", metavar="FILE", help="the results, one JSON line per prompt; appended to and continued")
    add("--fail-on-reject", action="store_true", help="exit code 1 when prompts were blocked")


def run(args: argparse.Namespace) -> int:
    """The command; returns its exit code."""
    rows, bad = _prompts(args)
    if args.out and Path(args.out).resolve() in {Path(p).resolve() for p in (args.prompts, *args.experts) if p}:
        raise EMoEError(f"--out names '{args.out}', which is read; give the results a file of their own.")
    console = Console()
    console.left_out(args.prompts, bad)
    gate = _gate(args)
    results = Results(Path(args.out)) if args.out else None
    try:
        _score(args, rows, gate, results, console)
    finally:
        console.finish()
        if results is not None:
            results.close()
    totals = console.totals
    console.note(f"{len(rows)} prompts: {totals.ok} passed, {totals.blocked} blocked, {totals.error} failed.")
    if totals.error or bad:
        return 2
    return 1 if args.fail_on_reject and totals.blocked else 0


def _prompts(args: argparse.Namespace) -> tuple[list[PromptRow], list[Any]]:
    if args.prompts:
        rows, bad = load_prompts(args.prompts)
        return rows, list(bad)
    texts = [text.strip() for text in args.prompt]
    if not all(texts):
        raise EMoEError("A --prompt is empty; write what is to be scored.")
    return [PromptRow(number, number, text) for number, text in enumerate(texts, start=1)], []


def _gate(args: argparse.Namespace) -> GateWords | None:
    from .score_work import GateWords

    if not args.policy and not args.calibration:
        return None
    loaded = tuple(Calibration.load(path) for path in args.calibration or ()) or None
    return GateWords(args.policy or "false_block_rate", args.alpha, args.threshold, args.delta, loaded, args.group)


def _score(
    args: argparse.Namespace, rows: list[PromptRow], gate: GateWords | None, results: Results | None, console: Console
) -> None:
    from .score_work import check, score_rows

    console.note("Loading the experts.")
    from ..hosts.diffusers import Computing, load_asked, proofs_of, settings_of

    options = options_of(args)
    experts, device = load_asked(args.experts, args.config, args.device, args.dtype, args.clip_skip)
    computing = Computing(args.batch, device)
    settings = settings_of(experts, options)
    if gate is not None:
        gate = replace(gate, proofs=proofs_of(experts, options, gate.calibrations or experts.calibrations, computing))
        for proof in gate.proofs:
            console.note(proof.line())
    check(experts, settings, gate)
    mark = settings.fingerprint(), "" if gate is None else gate.digest()
    done = {} if results is None else results.done
    before = Totals()
    left = []
    for row in rows:
        status = done.get((row_key(row), *mark))
        if status in (None, "error"):  # failed rows are tried again
            left.append(row)
        else:
            before.add(status)
    if before.done:
        console.note(f"Going on: {before.done} of {len(rows)} prompts are in '{args.out}' already.")
    console.begin(len(rows), before)
    for line in score_rows(experts, left, options, computing, gate, settings):
        if results is not None:
            results.append(line)
        elif args.json:
            out(json.dumps(line))
        else:
            out(_said(line))
        if line["status"] == "error":
            console.note(f"'{line['prompt']}': {line['error']}")
        console.ended({"status": line["status"], "server": None})


def _said(line: dict[str, Any]) -> str:
    head = f"{line['verdict']}: {line['reason']}; " if "verdict" in line else ""
    return f"{line['prompt']}: {head}{line.get('said') or 'not scored'}"


class Results(ResultsFile):
    """A results file, open and locked for one command.

    Raises:
        EMoEError: it cannot be written, another command has it, or it holds something other than results.
    """

    def __init__(self, path: Path) -> None:
        self.done: dict[Mark, str] = {}
        super().__init__(path, self._learn, "command")

    def _learn(self, line: bytes) -> bool:
        try:
            row = parse(line)
            self.done[str(row["key"]), str(row["fingerprint"]), str(row["gate"])] = str(row["status"])
        except (ValueError, KeyError, TypeError):
            return False
        return True
