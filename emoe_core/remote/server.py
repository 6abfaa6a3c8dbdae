"""One ComfyUI server: posting, looking for a prompt in its queue and history, and listening to its socket.

The socket only says *when* to look; /queue and /history hold the truth. A prompt is looked for in the queue first and in
the history after, because it moves from one to the other in one step: a prompt in neither is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import EMoEError, plain
from ..io.json_text import parse
from ..prompts import PromptRow
from .workflow import Graph, label


@dataclass
class Job:
    """A row on its way. `prompt_id` is the latest attempt's, and empty while the row waits for a server.

    `number` counts from 0 where a row is run several times.
    """

    row: PromptRow
    key: str
    attempts: int = 0
    server: str = ""
    prompt_id: str = ""
    token: str = ""  # the id we asked for: an older server chooses another, and the token finds the prompt
    number: int = 0

    def begin(self, server: str) -> None:
        """A new attempt on a server."""
        self.attempts, self.server = self.attempts + 1, server
        self.prompt_id = self.token = str(uuid.uuid4())

    def clear(self) -> None:
        self.server = self.prompt_id = self.token = ""


if TYPE_CHECKING:
    import aiohttp

MARK = "emoe_batch"  # the pack's entry in a prompt's extra_data
RECENT = 64  # history entries to search for a prompt whose id the server chose
STIRRING = ("status", "executing", "execution_success", "execution_error", "execution_interrupted")


class Unreachable(Exception):
    """The server does not answer now. `certain` is False when it may have got the request."""

    def __init__(self, certain: bool) -> None:
        super().__init__()
        self.certain = certain


class Refused(Exception):
    """The server would not queue the graph; the message says why in one sentence."""


def normal_url(text: str) -> str:
    """A server's address in the stored form: with http:// and without a slash at the end."""
    url = text.strip().rstrip("/")
    return url if "://" in url else f"http://{url}"


def new_session() -> aiohttp.ClientSession:
    """The HTTP client that all servers share; an `EMoEError` where aiohttp is missing."""
    try:
        import aiohttp
    except ImportError as error:
        raise EMoEError(
            "The batch command needs aiohttp, which ComfyUI brings: start it with ComfyUI's own Python."
        ) from error
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60, sock_connect=10))


class Link:
    """What the batch knows about one server, and how it talks to it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.client_id = uuid.uuid4().hex
        self.gone = False
        self._session = session
        self._stirred = asyncio.Event()
        self._down_since: float | None = None

    def twin(self, url: str) -> Link:
        """Another server, through the same session."""
        return Link(url, self._session)

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, path: str, body: object = None, timeout: float | None = None) -> tuple[int, Any]:
        """Status and JSON of an answer (None where it is no JSON)."""
        import aiohttp

        options: dict[str, Any] = {} if timeout is None else {"timeout": aiohttp.ClientTimeout(total=timeout)}
        try:
            async with self._session.request(method, self.url + path, json=body, **options) as answer:
                text = await answer.text(errors="replace")
                status = answer.status
        except aiohttp.InvalidURL as error:
            raise EMoEError(f"'{self.url}' is no server address; write it like http://127.0.0.1:8188.") from error
        except aiohttp.ClientConnectorError as error:
            self._down()
            raise Unreachable(certain=True) from error
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            self._down()
            raise Unreachable(certain=False) from error
        if status in (429, 502, 503, 504):  # a proxy whose ComfyUI is away
            self._down()
            raise Unreachable(certain=False)
        try:
            return status, json.loads(text)
        except (ValueError, RecursionError):
            return status, None

    async def object_info(self) -> dict[str, Any]:
        """The node classes that the server offers."""
        status, info = await self._ask("GET", "/object_info", timeout=300)
        if status != 200 or not isinstance(info, dict):
            raise EMoEError(f"'{self.url}' answers {status} to /object_info, so it is no ComfyUI that lets us in.")
        self._down_since = None
        return info

    async def _look(self, path: str) -> dict[str, Any]:
        """A JSON object. Anything else is no answer: it must never be read as 'your prompt is not here'."""
        status, found = await self._ask("GET", path)
        if status != 200 or not isinstance(found, dict):
            self._down()
            raise Unreachable(certain=False)
        return found

    async def post(self, job: Job, graph: Graph) -> str | None:
        """Queues the graph; `job.prompt_id` becomes the server's id for it.

        Returns:
            The part of it that the server will not run, mostly None.

        Raises:
            Refused: nothing was queued.
            Unreachable: nothing was queued if `certain`; otherwise the prompt must be looked for.
        """
        body = {
            "prompt": graph,
            "client_id": self.client_id,
            "prompt_id": job.token,
            "extra_data": {MARK: {"row": job.row.row, "key": job.key, "attempt": job.attempts, "token": job.token}},
        }
        status, reply = await self._ask("POST", "/prompt", body)
        # A row that is wrong is answered with 400 and JSON, and one that is too big with 413; all else is not ComfyUI's word.
        if status >= 500 or (status != 413 and not isinstance(reply, dict)):
            self._down()
            raise Unreachable(certain=False)
        self._down_since = None
        if status == 200 and isinstance(reply, dict) and "prompt_id" in reply:
            job.prompt_id = str(reply["prompt_id"])
            return f"The server does not run all of it: {said}" if (said := _node_errors(reply, graph)) else None
        raise Refused(f"The server refused the row ({status}): {_refusal(reply, graph)}")

    async def is_queued(self, job: Job) -> bool:
        """Whether the prompt waits or runs. Also learns the id of a prompt whose answer never came."""
        queue = await self._look("/queue")
        items = [item for part in ("queue_running", "queue_pending") for item in queue.get(part) or []]
        found = any(_is_it(item, job) for item in items)
        if found:  # else the history must answer too
            self._down_since = None
        return found

    async def history(self, job: Job, search: bool) -> dict[str, Any] | None:
        """The prompt's history entry, None when there is none. `search`: the server may have given it another id."""
        entry = await self.ended(job.prompt_id)
        if entry is None and search:
            recent = await self._look(f"/history?max_items={RECENT}")
            entry = next((e for e in recent.values() if isinstance(e, dict) and _is_it(e.get("prompt"), job)), None)
        self._down_since = None
        return entry

    async def ended(self, prompt_id: str) -> dict[str, Any] | None:
        """The history's entry for a prompt id; None while it has not ended, and when the server does not know it."""
        entry = (await self._look(f"/history/{prompt_id}")).get(prompt_id)
        return entry if isinstance(entry, dict) else None

    # --- being away ---------------------------------------------------------------------------------------------------

    def _down(self) -> None:
        if self._down_since is None:
            self._down_since = time.monotonic()

    @property
    def seconds_down(self) -> float:
        """How long the server has not answered; 0 while it does."""
        return 0.0 if self._down_since is None else time.monotonic() - self._down_since

    # --- listening ----------------------------------------------------------------------------------------------------

    async def stirred(self, timeout: float) -> None:
        """Returns when something happened on the server, or after the timeout."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stirred.wait(), timeout)

    async def listen(self) -> None:
        """Follows the socket until cancelled; a socket that drops is opened again."""
        import aiohttp

        address = f"ws{self.url.removeprefix('http')}/ws?clientId={self.client_id}"
        while True:
            with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError, OSError):
                async with self._session.ws_connect(address, max_msg_size=0, heartbeat=30) as socket:
                    async for message in socket:
                        if message.type == aiohttp.WSMsgType.TEXT and _stirs(message.data):
                            self._stirred.set()
                            self._stirred = asyncio.Event()
            await asyncio.sleep(1)


def _stirs(text: str) -> bool:
    with contextlib.suppress(ValueError):
        message = parse(text)
        return isinstance(message, dict) and message.get("type") in STIRRING
    return False


def _is_it(item: object, job: Job) -> bool:
    """Whether a queue item, or a history entry's `prompt`, is the job's: [number, id, graph, extra_data, outputs]."""
    if not isinstance(item, list) or len(item) < 4:
        return False
    mark = mapping(mapping(item[3]).get(MARK))
    if item[1] == job.prompt_id or (job.token and mark.get("token") == job.token):
        job.prompt_id = str(item[1])
        return True
    return False


def _node_errors(reply: Mapping[str, Any], graph: Graph) -> str:
    """Every node's errors in one line."""
    parts = []
    for node, info in mapping(reply.get("node_errors")).items():
        where = label(graph, node) if node in graph else f"node {node}"
        errors = mapping(info).get("errors")
        for error in map(mapping, errors if isinstance(errors, list) else []):
            parts.append(f"{where}: {_said(error.get('message'))} ({_said(error.get('details'))})")
    return " ".join("; ".join(parts).split())


def _refusal(reply: object, graph: Graph) -> str:
    answer = mapping(reply)
    error = answer.get("error")
    general = _said(error.get("message") if isinstance(error, dict) else error)
    return _node_errors(answer, graph) or " ".join(general.split())


def _said(value: object) -> str:
    """What a server says in a place where ComfyUI has a text."""
    return plain(" ".join(value.split())) if isinstance(value, str) and value else "no reason given"


def mapping(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
