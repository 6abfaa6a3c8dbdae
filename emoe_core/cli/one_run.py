"""A command that lets one server run one graph, and waits for the end of it."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..batch.engine import START_PATIENCE, object_infos
from ..errors import EMoEError
from ..io.console import Console
from ..prompts import PromptRow
from ..remote.driver import Driver, Gone
from ..remote.server import Job, Link, Refused, new_session, normal_url
from ..remote.workflow import Graph, ObjectInfo

_Known = TypeVar("_Known")


def run_once(
    server: str, give_up: float, name: str, does: str, make: Callable[[ObjectInfo], tuple[Graph, _Known]]
) -> tuple[str, dict[str, Any], _Known]:
    """The server's address, its history of the run, and what `make` knows of the graph.

    Args:
        give_up: seconds for which a silent server is waited for.
        name: what the server's queue calls it.
        does: what the server does, for the console.
        make: the graph, from what the server has; and what else the caller wants to keep of making it.

    Raises:
        EMoEError: there is no such server, or it refuses the graph, loses it or goes away.
    """
    return asyncio.run(_run_once(server, give_up, name, does, make))


async def _run_once(
    server: str, give_up: float, name: str, does: str, make: Callable[[ObjectInfo], tuple[Graph, _Known]]
) -> tuple[str, dict[str, Any], _Known]:
    console = Console()
    async with new_session() as session:
        link = Link(normal_url(server), session)
        infos = await object_infos([link], console, min(give_up, START_PATIENCE))
        graph, known = make(infos[link.url])
        job = Job(PromptRow(0, 0, ""), name)
        job.begin(link.url)
        driver = Driver(give_up)
        console.note(f"{link.url} {does}; the node in ComfyUI shows how far it is.")
        listener = asyncio.ensure_future(link.listen())
        try:
            refused, sure = await driver.post(link, job, graph)
            entry = await driver.ended(link, job, sure)
        except Refused as error:
            raise EMoEError(str(error)) from error
        except Gone as error:
            raise EMoEError(f"{link.url} does not answer; start it, and start the same command again.") from error
        finally:
            listener.cancel()
    if refused:
        raise EMoEError(refused)
    if entry is None:
        raise EMoEError(f"{link.url} has lost the run, as a restart does; start the same command again.")
    return link.url, entry, known
