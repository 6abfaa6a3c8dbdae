"""What batch and trial share: which servers answer, jobs that were under way when the last run ended, and Ctrl-C."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from ..errors import EMoEError
from ..io.console import Console, Totals
from ..remote.server import Job, Link, Unreachable
from .journal import Record
from .plan import BatchPlan
from .runner import Runner

START_PATIENCE = 60.0
SHOWN = 10


def refuse(found: Sequence[str], console: Console, way_out: str = "") -> None:
    """Notes what is wrong, and raises an `EMoEError` where anything is.

    Args:
        way_out: how to go on all the same, as the end of the sentence.
    """
    for problem in found[:SHOWN]:
        console.note(problem)
    if found:
        count = "1 problem was" if len(found) == 1 else f"{len(found)} problems were"
        raise EMoEError(f"{count} found before queuing, so nothing was queued; see above{way_out}.")


async def object_infos(links: Sequence[Link], console: Console, patience: float) -> dict[str, dict[str, Any]]:
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


async def follow(
    runner: Runner, journal: Record, jobs: Callable[[], Iterator[Job]], links: Sequence[Link], console: Console
) -> int:
    """Runs the unfinished jobs; returns the number of the signal that stopped it, or 0.

    Args:
        jobs: gives all jobs anew each time, finished ones included.
    """
    before, known = Totals(), 0
    flown = {key: flight for key, flight in journal.flights.items() if flight.server}
    had: dict[str, list[Job]] = {}
    for job in jobs():
        known += 1
        if job.key in journal.finished:
            before.add(journal.finished[job.key])
        elif (flight := flown.get(job.key)) is not None:
            job.attempts, job.server, job.prompt_id, job.token = (
                flight.attempts,
                flight.server,
                flight.prompt_id,
                flight.token,
            )
            had.setdefault(flight.server, []).append(job)
    flying = {job.key for taken in had.values() for job in taken}
    strangers = len(journal.finished) - before.done
    if strangers:
        console.note(
            f"{strangers} {journal.RESULTS} in '{journal.path}' belong to no row of the prompt file; they stay."
        )
    if before.done or flying:
        console.note(f"Going on: {before.done} {console.noun} are finished, {len(flying)} were under way.")
    mine = {link.url for link in links}
    helpers = [links[0].twin(url) for url in had if url not in mine]
    console.begin(known, before)

    def rest() -> Iterator[Job]:
        for job in jobs():
            if job.key not in journal.finished and job.key not in flying:
                flight = journal.flights.get(job.key)
                job.attempts = flight.attempts if flight else 0
                yield job

    with _signals(runner, console) as caught:
        await runner.run(rest(), links, had, helpers)
    return caught[0] if caught else 0


def taken(plan: BatchPlan, runner: Runner, console: Console) -> dict[str, Any]:
    """What a run took, ready for JSON."""
    pace = console.rows_per_minute
    return {
        "bad_rows": plan.bad_rows(),
        "this_run": dict(console.by_server),
        "requeued": runner.requeued,
        "seconds": round(console.seconds, 1),
        f"{console.noun}_per_minute": None if pace is None else round(pace, 1),
    }


@contextlib.contextmanager
def _signals(runner: Runner, console: Console) -> Iterator[list[int]]:
    """The first Ctrl-C (or end signal) lets running rows end, the second ends at once; the disk is consistent either way."""
    loop, caught = asyncio.get_running_loop(), list[int]()

    def stop() -> None:
        console.note(f"Stopping: waiting for the {console.noun} that servers have; press Ctrl-C again to end at once.")
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
