"""`python -m emoe_core batch`: every row of a prompt file through a saved workflow, on one or several servers."""

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ..batch.journal import Journal, row_key
from ..batch.plan import BatchPlan, problems, read_plan, report
from ..batch.runner import Rules, Runner
from ..errors import EMoEError
from ..io.console import Console, Totals, out_json
from ..remote.check import notes
from ..remote.server import Job, Link, Unreachable, new_session, normal_url
from ..remote.workflow import ObjectInfo, find_targets, fingerprint
from .arguments import at_least_one

DESCRIPTION = (
    "Queues a workflow saved in API format for every row of a prompt file on one or several ComfyUI servers and appends "
    "a JSON line for every row to the results file. Start the same command again to continue where it ended."
)
EPILOG = (
    "exit codes: 0 done; 1 some rows were blocked (only with --fail-on-reject); 2 some rows could not be scored, or the "
    "input cannot be used; 130 stopped by Ctrl-C"
)
START_PATIENCE = 60.0
SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--server", required=True, metavar="URL[,URL...]", help="ComfyUI servers, e.g. http://127.0.0.1:8188")
    add("--workflow", required=True, metavar="FILE", help="a workflow in API format (in ComfyUI: Export (API))")
    add(
        "--prompts",
        required=True,
        metavar="FILE",
        help="the rows: .txt, .csv, .tsv, .jsonl or .parquet; or a built-in set, such as everyday",
    )
    add("--out", metavar="FILE", help="the results, one JSON line per row; appended to, so that a batch can be resumed")
    add(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="COLUMN=NODE.INPUT",
        help="which input a column fills, NODE being the node's title or id; may be given several times. Without one "
        "for the column prompt it goes to the node titled Prompt, else to the only Encode for Experts",
    )
    add("--dry-run", action="store_true", help="check workflow, prompts and servers; show the first row; queue nothing")
    add("--no-check", action="store_true", help="queue even if the check of the workflow finds something")
    add("--in-flight", type=at_least_one, default=1, metavar="N", help="rows a server has at a time (default 1)")
    add("--attempts", type=at_least_one, default=5, metavar="N", help="how often a row that servers lose is queued (5)")
    add("--give-up", type=float, default=600, metavar="SECONDS", help="how long a silent server is waited for (600)")
    add("--retry-errors", action="store_true", help="do the rows again that ended in an error before")
    add("--fail-on-reject", action="store_true", help="exit code 1 when rows were blocked")
    add("--json", action="store_true", help="print a summary as JSON at the end")


def run(args: argparse.Namespace) -> int:
    """The command; returns its exit code."""
    if not args.out and not args.dry_run:
        raise EMoEError("Where the results go is not said; give --out results.jsonl.")
    if args.out and Path(args.out).resolve() in (Path(args.prompts).resolve(), Path(args.workflow).resolve()):
        raise EMoEError(f"--out names '{args.out}', which is read; give the results a file of their own.")
    urls = list(dict.fromkeys(normal_url(text) for text in args.server.split(",") if text.strip()))
    if not urls:
        raise EMoEError("--server names no server; write it like http://127.0.0.1:8188.")
    plan = read_plan(args.workflow, args.prompts)
    console = Console()
    console.left_out(plan.prompts, plan.bad)
    return asyncio.run(_run(args, urls, plan, console))


async def _run(args: argparse.Namespace, urls: Sequence[str], plan: BatchPlan, console: Console) -> int:
    async with new_session() as session:
        links = [Link(url, session) for url in urls]
        infos = await _object_infos(links, console, 0.0 if args.dry_run else min(args.give_up, START_PATIENCE))
        info: ObjectInfo = next(iter(infos.values()))
        targets = find_targets(plan.graph, args.assignments, info)
        found = problems(plan, targets, infos)
        if args.dry_run:
            found += [f"{url} does not answer; start it or leave it out." for url in urls if url not in infos]
            return report(plan, targets, info, found, args.json)
        for note in notes(plan.graph):
            console.note(note)
        if found and not args.no_check:
            for problem in found[:SHOWN]:
                console.note(problem)
            count = "1 problem was" if len(found) == 1 else f"{len(found)} problems were"
            raise EMoEError(f"{count} found before queuing, so nothing was queued; see above (or give --no-check).")
        journal = Journal(Path(args.out), fingerprint(plan.graph, targets))
        journal.open(retry_errors=args.retry_errors)
        try:
            rules = Rules(in_flight=args.in_flight, attempts=args.attempts, give_up=args.give_up)
            runner = Runner(plan.graph, targets, info, journal, rules, console)
            stopped = await _follow(runner, journal, plan, links, console)
        except OSError as error:
            raise EMoEError(
                f"'{args.out}' or its state file cannot be written ({error.strerror}); make room and start again."
            ) from error
        finally:
            journal.close()
            console.finish()
    return _end(args, plan, runner, console, stopped)


async def _object_infos(links: Sequence[Link], console: Console, patience: float) -> dict[str, dict[str, Any]]:
    """What each server offers. A server that does not answer is waited for, and may join later if another answers."""

    async def ask(link: Link) -> dict[str, Any] | None:
        waiting = False
        while True:
            try:
                return await link.object_info()
            except Unreachable:
                if link.seconds_down >= patience:
                    return None
                if not waiting:
                    console.note(f"{link.url} does not answer yet; waiting up to {patience:.0f} s.")
                    waiting = True
                await asyncio.sleep(0.5)

    answers = await asyncio.gather(*(ask(link) for link in links))
    infos = {link.url: info for link, info in zip(links, answers, strict=True) if info is not None}
    if not infos:
        raise EMoEError(f"No ComfyUI answers at {', '.join(link.url for link in links)}; start it or mend --server.")
    return infos


async def _follow(runner: Runner, journal: Journal, plan: BatchPlan, links: list[Link], console: Console) -> int:
    """Runs the unfinished rows; returns the number of the signal that stopped it, or 0."""
    before, known = Totals(), set(plan.keys)
    for key in plan.keys:
        if key in journal.finished:
            before.add(journal.finished[key])
    flown = {key: flight for key, flight in journal.flights.items() if key in known and flight.server}
    had: dict[str, list[Job]] = {}
    for row in plan.rows() if flown else ():
        if (flight := flown.get(key := row_key(row))) is not None:
            job = Job(row, key, flight.attempts, flight.server, flight.prompt_id, flight.token)
            had.setdefault(flight.server, []).append(job)
    strangers = len(set(journal.finished) - known)
    if strangers:
        console.note(f"{strangers} results in '{journal.path}' belong to no row of the prompt file; they stay.")
    if before.done or flown:
        console.note(f"Going on: {before.done} rows are finished, {len(flown)} were under way.")
    mine = {link.url for link in links}
    helpers = [links[0].twin(url) for url in had if url not in mine]
    console.begin(len(plan.keys), before)

    def rows() -> Iterator[Job]:
        for row in plan.rows():
            key = row_key(row)
            if key not in journal.finished and key not in flown:
                flight = journal.flights.get(key)
                yield Job(row, key, flight.attempts if flight else 0)

    with _signals(runner, console) as caught:
        await runner.run(rows(), links, had, helpers)
    return caught[0] if caught else 0


@contextlib.contextmanager
def _signals(runner: Runner, console: Console) -> Iterator[list[int]]:
    """The first Ctrl-C (or end signal) lets running rows end, the second ends at once; the disk is consistent either way."""
    loop, caught = asyncio.get_running_loop(), list[int]()

    def stop() -> None:
        console.note("Stopping: waiting for the rows that servers have; press Ctrl-C again to end at once.")
        asyncio.ensure_future(runner.stop())

    def handle(number: int, _: FrameType | None) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        pace = console.rows_per_minute
        out_json(
            {
                "rows": len(plan.keys),
                "done": totals.done,
                "passed": totals.ok,
                "blocked": totals.blocked,
                "failed": totals.error,
                "left": left,
                "bad_rows": plan.bad_rows(),
                "this_run": dict(console.by_server),
                "requeued": runner.requeued,
                "seconds": round(console.seconds, 1),
                "rows_per_minute": None if pace is None else round(pace, 1),
                "out": str(args.out),
                "exit_code": code,
            }
        )
    return code
