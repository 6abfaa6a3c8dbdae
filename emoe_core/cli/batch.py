"""`python -m emoe_core batch`: every row of a prompt file through a saved workflow, on one or several servers."""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from ..batch.engine import START_PATIENCE, follow, object_infos, refuse, taken
from ..batch.journal import Journal
from ..batch.plan import BatchPlan, problems, read_plan, report
from ..batch.runner import Rows, Rules, Runner
from ..errors import EMoEError
from ..io.console import Console, out_json
from ..remote.check import notes
from ..remote.server import Link, new_session
from ..remote.workflow import ObjectInfo, find_targets, fingerprint
from .arguments import add_queue, urls_of

DESCRIPTION = (
    "Queues a workflow saved in API format for every row of a prompt file on one or several ComfyUI servers and appends "
    "a JSON line for every row to the results file. Start the same command again to continue where it ended."
)
EPILOG = (
    "exit codes: 0 done; 1 some rows were blocked (only with --fail-on-reject); 2 some rows could not be scored, or the "
    "input cannot be used; 130 stopped by Ctrl-C"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_queue(add)
    add("--out", metavar="FILE", help="the results, one JSON line per row; appended to, so that a batch can be resumed")
    add("--no-check", action="store_true", help="queue even if the check of the workflow finds something")
    add("--retry-errors", action="store_true", help="do the rows again that ended in an error before")
    add("--fail-on-reject", action="store_true", help="exit code 1 when rows were blocked")


def run(args: argparse.Namespace) -> int:
    """The command; returns its exit code."""
    if not args.out and not args.dry_run:
        raise EMoEError("Where the results go is not said; give --out results.jsonl.")
    if args.out and Path(args.out).resolve() in (Path(args.prompts).resolve(), Path(args.workflow).resolve()):
        raise EMoEError(f"--out names '{args.out}', which is read; give the results a file of their own.")
    urls = urls_of(args)
    plan = read_plan(args.workflow, args.prompts)
    console = Console()
    console.left_out(plan.prompts, plan.bad)
    return asyncio.run(_run(args, urls, plan, console))


async def _run(args: argparse.Namespace, urls: Sequence[str], plan: BatchPlan, console: Console) -> int:
    async with new_session() as session:
        links = [Link(url, session) for url in urls]
        infos = await object_infos(links, console, 0.0 if args.dry_run else min(args.give_up, START_PATIENCE))
        info: ObjectInfo = next(iter(infos.values()))
        targets = find_targets(plan.graph, args.assignments, info)
        found = problems(plan, targets, infos)
        if args.dry_run:
            found += [f"{url} does not answer; start it or leave it out." for url in urls if url not in infos]
            return report(plan, targets, info, found, args.json)
        for note in notes(plan.graph):
            console.note(note)
        if not args.no_check:
            refuse(found, console, " (or give --no-check)")
        journal = Journal(Path(args.out), fingerprint(plan.graph, targets))
        journal.open(retry_errors=args.retry_errors)
        try:
            rules = Rules(in_flight=args.in_flight, attempts=args.attempts, give_up=args.give_up)
            runner = Runner(Rows(plan.graph, targets, info), journal, rules, console)
            stopped = await follow(runner, journal, plan.jobs, links, console)
        except OSError as error:
            raise EMoEError(
                f"'{args.out}' or its state file cannot be written ({error.strerror}); make room and start again."
            ) from error
        finally:
            journal.close()
            console.finish()
    return _end(args, plan, runner, console, stopped)


def _end(args: argparse.Namespace, plan: BatchPlan, runner: Runner, console: Console, stopped: int) -> int:
    totals, left = console.totals, len(plan.keys) - console.totals.done
    code = 0
    if args.fail_on_reject and totals.blocked:
        code = 1
    if totals.error or plan.bad or left:
        code = 2
    if stopped and left:
        code = 128 + stopped
    console.note(
        f"{totals.done} of {len(plan.keys)} rows are in '{args.out}': {totals.ok} passed, {totals.blocked} blocked, "
        f"{totals.error} failed."
    )
    if left:
        console.note(f"{left} rows are left; start the same command again to go on.")
    if args.json:
        out_json(
            {
                "rows": len(plan.keys),
                "done": totals.done,
                "passed": totals.ok,
                "blocked": totals.blocked,
                "failed": totals.error,
                "left": left,
                **taken(plan, runner, console),
                "out": str(args.out),
                "exit_code": code,
            }
        )
    return code
