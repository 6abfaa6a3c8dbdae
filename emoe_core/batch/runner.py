"""Hands jobs to servers, and follows each until its result is on disk."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import EMoEError
from ..io.console import Console
from ..remote.driver import GIVE_UP, POLL, Driver, Gone
from ..remote.results import failed_result, row_result
from ..remote.server import Job, Link, Refused
from ..remote.workflow import Graph, ObjectInfo, Target, fill
from .journal import Record


@dataclass(frozen=True)
class Rules:
    """How patient the batch is."""

    in_flight: int = 1
    attempts: int = 5
    give_up: float = GIVE_UP
    poll: float = POLL


class Work(Protocol):
    """What is done with a job."""

    def graph(self, job: Job) -> Graph:
        """What a server is to run; an `EMoEError` where the job's row does not fit."""

    def result(self, job: Job, entry: Mapping[str, Any], seconds: float, refused: str | None) -> dict[str, Any]:
        """The result of a job that has ended; see `remote.results.row_result`."""


@dataclass(frozen=True)
class Rows:
    """A batch's work: the workflow with a row's cells in it."""

    workflow: Graph
    targets: Sequence[Target]
    info: ObjectInfo

    def graph(self, job: Job) -> Graph:
        return fill(self.workflow, job.row, self.targets, self.info)

    def result(self, job: Job, entry: Mapping[str, Any], seconds: float, refused: str | None) -> dict[str, Any]:
        return row_result(job, entry, self.workflow, seconds, refused)


class Runner:
    """Gives every job to one server at a time and writes its result once."""

    def __init__(self, work: Work, journal: Record, rules: Rules, console: Console) -> None:
        self._work = work
        self._journal, self._rules, self._console = journal, rules, console
        self._again: deque[Job] = deque()
        self._taken = 0
        self._changed = asyncio.Condition()
        self.stopping = False
        self.requeued = 0
        self._driver = Driver(rules.give_up, rules.poll, lambda: self.stopping)

    async def run(
        self, rows: Iterator[Job], links: Sequence[Link], found: Mapping[str, list[Job]], helpers: Sequence[Link]
    ) -> None:
        """Runs all rows.

        Args:
            rows: rows that no server has.
            links: the servers that take them.
            found: by server, rows that it had when the last run ended.
            helpers: servers that are asked only for the rows they had.
        """
        self._taken = sum(map(len, found.values()))
        everyone = [*links, *helpers]
        listeners = [asyncio.ensure_future(link.listen()) for link in everyone]
        slots = [
            asyncio.ensure_future(self._slot(link, rows if link in links else None, had, links))
            for link in everyone
            for had in [deque(found.get(link.url, []))]
            for _ in range(max(self._rules.in_flight, 1 if link in links else len(had)))
        ]
        try:
            await asyncio.gather(*slots)
        finally:
            for task in (*slots, *listeners):
                task.cancel()
            await asyncio.gather(*slots, *listeners, return_exceptions=True)

    async def stop(self) -> None:
        """Starts no more rows; the ones that servers have are waited for."""
        self.stopping = True
        async with self._changed:
            self._changed.notify_all()

    # --- one row after another ----------------------------------------------------------------------------------------

    async def _slot(self, link: Link, rows: Iterator[Job] | None, had: deque[Job], links: Sequence[Link]) -> None:
        while not link.gone and (job := await self._next(link, rows, had)) is not None:
            left = False
            try:
                left = await self._one(link, job)
            except Gone:
                left = self._leave(link, job, links)
            async with self._changed:
                self._taken -= 1
                if left:
                    self._again.append(job)
                self._changed.notify_all()

    async def _next(self, link: Link, rows: Iterator[Job] | None, had: deque[Job]) -> Job | None:
        async with self._changed:
            while True:
                if had:  # counted as taken from the start
                    return had.popleft()
                if self.stopping or link.gone or rows is None:
                    return None
                job = self._again.popleft() if self._again else next(rows, None)
                if job is not None:
                    self._taken += 1
                    return job
                if not self._taken:
                    return None
                await self._changed.wait()  # another server may give its row back

    def _leave(self, link: Link, job: Job, links: Sequence[Link]) -> bool:
        """A server that is away keeps its rows when the batch ends with it, and loses them to other servers otherwise."""
        if self.stopping:
            return False
        if not link.gone:
            link.gone = True
            self._console.note(f"{link.url} has not answered for {link.seconds_down:.0f} s and is given up.")
        if not any(other is not link and not other.gone for other in links):
            return False
        self._give_back(job)
        return True

    async def _one(self, link: Link, job: Job) -> bool:
        """Runs a row to its result. True: the row is lost and must be queued again."""
        started, refused, sure = time.monotonic(), None, False
        if not job.prompt_id:
            try:
                graph = self._work.graph(job)
            except EMoEError as error:
                return self._end(failed_result(job, str(error)))
            job.begin(link.url)
            self._journal.flying(job)
            try:
                refused, sure = await self._driver.post(link, job, graph)
            except Refused as error:
                return self._end(failed_result(job, str(error)))
            if job.prompt_id != job.token:
                self._journal.flying(job)
        entry = await self._driver.ended(link, job, sure)
        if entry is not None:
            return self._end(self._work.result(job, entry, time.monotonic() - started, refused))
        if job.attempts >= self._rules.attempts:
            times = f"{job.attempts} times" if job.attempts > 1 else "once"
            text = f"{link.url} lost this row {times} (restarted, or its queue was cleared); see the server's log."
            return self._end(failed_result(job, text))
        self._console.note(f"{link.url} lost row {job.row.row}, which is queued again.")
        self._give_back(job)
        return True

    def _give_back(self, job: Job) -> None:
        """Returns a row that no server has; its attempts still count."""
        job.clear()
        self._journal.flying(job)
        self.requeued += 1

    def _end(self, result: dict[str, Any]) -> bool:
        self._journal.write(result)
        self._console.ended(result)
        return False
