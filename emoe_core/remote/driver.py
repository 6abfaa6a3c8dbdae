"""Runs a prompt to its end on a server, by rules that batch, audit and ledger share."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from .server import Job, Link, Unreachable
from .workflow import Graph

GIVE_UP = 600.0  # seconds to wait for a silent server
POLL = 2.0  # seconds between two queries of a server whose socket is silent
SURE_GRACE, UNSURE_GRACE = 0.4, 2.0  # seconds in neither queue nor history before a prompt counts as lost
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Gone(Exception):
    """The server has been away for too long, or the run is stopping."""


class Driver:
    """Posts prompts, follows them, and waits for servers that are away."""

    def __init__(
        self, give_up: float = GIVE_UP, poll: float = POLL, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """
        Args:
            stopping: asked before each wait for a server that is away; True ends the wait.
        """
        self._give_up, self._poll, self._stopping = give_up, poll, stopping

    async def post(self, link: Link, job: Job, graph: Graph) -> tuple[str | None, bool]:
        """The part of the graph that the server will not run, and whether it surely has the rest.

        Raises:
            Refused: the server would not queue any of it.
            Gone: the server is away.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                return await link.post(job, graph), True
            except Unreachable as error:
                if not error.certain:
                    return None, False  # it may have it, so look
                pause = await self._wait(link, pause)

    async def ended(self, link: Link, job: Job, sure: bool) -> dict[str, Any] | None:
        """The prompt's history entry once it has ended; None when the server has lost the prompt.

        Args:
            sure: whether the server surely got it; otherwise it is looked for under another id too.

        Raises:
            Gone: the server is away.
        """
        missing_since: float | None = None
        pause = FIRST_PAUSE
        while True:
            try:
                queued = await link.is_queued(job)
                entry = None if queued else await link.history(job, search=not sure)
            except Unreachable:
                missing_since = None
                pause = await self._wait(link, pause)
                continue
            pause = FIRST_PAUSE
            if entry is not None:
                return entry
            if queued:
                missing_since = None
                await link.stirred(self._poll)
                continue
            missing_since = missing_since or time.monotonic()
            if time.monotonic() - missing_since >= (SURE_GRACE if sure else UNSURE_GRACE):
                return None
            await asyncio.sleep(FIRST_PAUSE)

    async def kept(self, link: Link, prompt_id: str) -> dict[str, Any] | None:
        """The history's entry for a prompt id; None when the server does not know it.

        Raises:
            Gone: the server is away.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                return await link.ended(prompt_id)
            except Unreachable:
                pause = await self._wait(link, pause)

    async def _wait(self, link: Link, seconds: float) -> float:
        """Waits; returns how long to wait the next time."""
        if self._stopping() or link.gone or link.seconds_down > self._give_up:
            raise Gone
        await asyncio.sleep(seconds)
        return min(seconds * 1.5, LONGEST_PAUSE)
