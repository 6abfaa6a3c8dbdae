"""`python -m emoe_core audit`: from a file of prompts to statistics of its groups."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..audit import cluster, report
from ..audit.analysis import Options, analyse
from ..audit.engine import run as run_local
from ..audit.exports import export
from ..audit.plan import AuditPlan, read_plan
from ..audit.priorities import read_weights
from ..audit.result import AuditResult
from ..audit.source import COMFYUI, DIFFUSERS, SERVER, Source, find_comfyui
from ..audit.store import Store
from ..audit.text import words
from ..demo import write_audit_prompts
from ..errors import EMoEError
from ..gating.policies import ALPHA
from ..io.console import Line, duration, out, out_json
from ..io.files import write_whole
from ..prompts import load_prompts
from ..prompts.sets import SETS, write
from .arguments import add_filters, add_options, at_least_one, choice_of, options_of, refuse_filters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "prompts",
        metavar="PROMPTS",
        help="a file (.txt, .csv, .tsv, .jsonl, .json, .parquet), a built-in set ('concepts', 'regions', 'everyday'), or 'demo'",
    )
    add("--out", required=True, metavar="DIR", help="the audit's folder: made, or gone on with")
    add_filters(parser.add_argument_group("which part of a built-in set"))
    who = parser.add_argument_group("who scores")
    add = who.add_argument
    add(
        "--experts",
        nargs="+",
        metavar="MODEL",
        help="two or more files or folders (names in ComfyUI's model folders with the host comfyui), or 'demo'",
    )
    add("--host", choices=("comfyui", "diffusers"), help="what runs them (comfyui where one is found, else diffusers)")
    add("--comfyui", default="", metavar="DIR", help="ComfyUI's folder (COMFYUI_PATH, or the one this pack lies in)")
    add("--base-directory", default="", metavar="DIR", help="ComfyUI's --base-directory, if that is another")
    add("--cpu", action="store_true", help="compute on the CPU")
    add("--config", default="", metavar="DIR", help="host diffusers: a pipeline folder of the family, for single files")
    add("--device", default="", help="host diffusers: cpu, cuda, ...")
    add("--dtype", default="", choices=("", "float32", "float16", "bfloat16"), help="host diffusers")
    add("--server", default="", metavar="URL[,URL...]", help="running ComfyUI servers, in place of --experts")
    add(
        "--workflow",
        default="",
        metavar="FILE",
        help="with --server: a workflow in API format with one Uncertainty Score",
    )
    how = parser.add_argument_group("how it is scored, as in Uncertainty Score (with --server the workflow says it)")
    add = how.add_argument
    add_options(add, size="512x512; the demo experts 128x128")
    add("--batch", type=at_least_one, metavar="N", help="prompts in one call (what fits the size)")
    add("--calibration", default="", metavar="FILE", help="for p-values and block rates; the demo experts bring theirs")
    what = parser.add_argument_group("what is compared")
    add = what.add_argument
    add(
        "--group",
        action="append",
        metavar="COLUMN",
        help="a group column; may be given several times (all that repeat)",
    )
    add("--id", metavar="COLUMN", help="what is equal for translations of one prompt (id or the like); '' for none")
    add(
        "--reference",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="compare the column's groups with this one instead of all others; once per column",
    )
    add("--english", metavar="FILE", help="English words, one per line, beside those of the file's English prompts")
    add("--weight", default="", metavar="COLUMN", help="a column with numbers: how much a prompt's market counts")
    add("--weights", metavar="FILE", help="a table with the columns weight and language (or whatever the groups are)")
    add("--alpha", type=float, default=ALPHA, help=f"p-values up to this count as blocked ({ALPHA})")
    run_ = parser.add_argument_group("the run")
    add = run_.add_argument
    add("--engine", choices=("local", "ray"), default="local", help="ray: several processes or machines (extra ray)")
    add("--workers", type=at_least_one, default=2, metavar="N", help="with --engine ray: how many (2)")
    add("--ray-address", default="local", metavar="ADDRESS", help="with --engine ray: a cluster (one of this machine)")
    add("--retry-errors", action="store_true", help="try the prompts again that could not be scored before")
    add("--export", action="append", default=[], choices=("csv", "jsonl", "parquet"), help="write the scores as well")
    add("--no-report", action="store_true", help="do not write report.html")
    add(
        "--report-language",
        choices=("en", "ja"),
        default="en",
        help="the language that report.html opens in (en); it holds both",
    )
    add("--fail-on-reject", action="store_true", help="exit code 1 when prompts were blocked")
    add("--json", action="store_true", help="print a summary as JSON at the end")


DESCRIPTION = (
    "Scores every prompt of a file, compares its groups (languages, regions, topics), and writes the scores, the "
    "statistics and what data to collect first into a folder. No image is made. Start the same command again to continue "
    "where it ended."
)
EPILOG = (
    "exit codes: 0 done; 1 some prompts were blocked (only with --fail-on-reject and a calibration); 2 some prompts could "
    "not be read or scored, or the input cannot be used; 130 stopped by Ctrl-C"
)
DEMO = "demo"


def run(args: argparse.Namespace) -> int:
    """The command; returns its exit code."""

    source = _source(args)
    plan = read_plan(_prompts(args), args.group, args.id, _english(args.english))
    weights = read_weights(args.weights) if args.weights else {}
    options = Options(tuple(args.reference), args.alpha, weights, args.weight)
    options.check(plan)
    line = Line()
    line.left_out(plan.path, plan.bad)
    groups = ", ".join(f"{name} ({len(plan.values[name])})" for name in plan.groups) or "none"
    line.note(f"{plan.total} prompts; group columns: {groups}; id column: {plan.id_column or 'none'}.")
    with _terminated_like_interrupted():
        store = _scored(args, plan, source, line)
    try:
        line.note("Comparing the groups.")
        result = analyse(store, options)
        folder = Path(args.out)
        write_whole(folder / "result.json", json.dumps(result.as_dict(), ensure_ascii=False) + "\n")
        written = [export(store, folder / f"prompts.{kind}") for kind in dict.fromkeys(args.export)]
    finally:
        store.close()
    if not args.no_report:
        written.append(report.write(result, folder / "report.html", args.report_language))
    return _end(args, result, written)


def _prompts(args: argparse.Namespace) -> Path:
    """The prompt file. A file with that name comes before a built-in set or the table of the demo experts' languages."""

    path = Path(args.prompts)
    if path.exists() or args.prompts not in (DEMO, *SETS):
        refuse_filters(args, args.prompts)
        return path
    made = Path(args.out) / f"{args.prompts}_prompts.csv"
    if args.prompts != DEMO:
        return write(choice_of(args.prompts, args), made)

    refuse_filters(args, args.prompts)
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        write_audit_prompts(made)
    return made


def _source(args: argparse.Namespace) -> Source:

    if bool(args.experts) == bool(args.server):
        raise EMoEError("Who scores is not said: give --experts (models or 'demo'), or --server with --workflow.")
    if args.server and not args.workflow:
        raise EMoEError("--server needs --workflow: a workflow with an Uncertainty Score, saved with Export (API).")
    if args.server and args.engine == "ray":
        raise EMoEError("--engine ray is for experts; several servers share the prompts with --server URL,URL.")
    host = SERVER if args.server else args.host
    tree = "" if host in (SERVER, DIFFUSERS) else find_comfyui(args.comfyui)
    host = host or (COMFYUI if tree else DIFFUSERS)
    return Source(
        host=host,
        experts=tuple(args.experts or ()),
        tree=tree,
        base=args.base_directory,
        arguments=("--cpu",) if args.cpu else (),
        config=args.config,
        device="cpu" if args.cpu else args.device,
        dtype=args.dtype,
        server=tuple(text for text in args.server.split(",") if text.strip()),
        workflow=args.workflow,
        options=options_of(args),
        batch=args.batch,
        calibration=args.calibration,
    )


def _english(path: str | None) -> list[str]:

    if not path:
        return []
    return [word for row in load_prompts(path)[0] for word in words(row.prompt)]


def _scored(args: argparse.Namespace, plan: AuditPlan, source: Source, line: Line) -> Store:
    if args.engine == "ray":
        return cluster.run(plan, source, args.out, args.workers, args.ray_address, _progress(line), args.retry_errors)

    line.note("Loading the experts." if args.experts else "Asking the server.")
    return run_local(plan, source.scorer(), args.out, _progress(line), args.retry_errors)


def _end(args: argparse.Namespace, result: AuditResult, written: list[Path]) -> int:
    blocked = max((group.blocked or 0.0) for group in result.groups) if result.groups else 0.0
    code = 1 if args.fail_on_reject and blocked > 0 else 0
    if result.failed or result.bad:
        code = 2
    folder = Path(args.out)
    if args.json:
        out_json(
            {
                "prompts": result.prompts,
                "failed": result.failed,
                "bad_rows": result.bad,
                "groups": len(result.groups),
                "higher": [f"{g.column}={g.value}" for g in result.groups if g.finding == "higher"],
                "priorities": [f"{p.column}={p.value}" for p in result.priorities],
                "warnings": list(result.warnings),
                "fingerprint": result.fingerprint,
                "files": [str(path) for path in (folder / "audit.sqlite", folder / "result.json", *written)],
                "exit_code": code,
            }
        )
    else:
        for line in result.lines():
            out(line)
        out(f"Kept in {folder}: audit.sqlite, result.json{''.join(f', {path.name}' for path in written)}.")
    return code


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """A termination signal ends the run as Ctrl-C does: between two transactions, with a note on how to continue."""

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; start the same command again to go on.\n")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _progress(line: Line) -> Callable[[int, int, float | None], None]:
    """Shows how many of all prompts are done, and the time left."""

    def show(done: int, total: int, left: float | None) -> None:
        togo = "" if left is None or done >= total else f", {duration(left)} left"
        line.show(f"{done} of {total} prompts{togo}", last=done >= total)

    return show
