"""The routes of the tab Review on ComfyUI's own server: what there is to mark, its pictures, and the marks.

Pages of other sites cannot mark anything: a mark must come as JSON, which a browser does not send across sites without asking the
server first, and ComfyUI's own check of origins stands before every route. A picture is named by its row alone, and a row leads
only to pictures in ComfyUI's own folders.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import BRIEF, EMoEError, plain
from ...io.json_text import parse
from ...ledger.store import BAD, GOOD, Ledger, Saved, UnknownVerdict
from ...ledger.sync import saved_pictures
from ...trial.pictures import NoPicture
from ...trial.review import Item, LedgerSource, Source, TrialSource, unmarked
from ...trial.store import UnknownPicture
from . import ledger, trials
from .files import picture_file

if TYPE_CHECKING:
    from aiohttp import web
    from yarl import URL

PREFIX = "/emoe/review"
LEDGER = "ledger"
TRIAL = "trial:"
#: Bytes of a mark, letters of a prompt, pictures of one answer, ids to leave out, and runs to ask the history about.
LONGEST_MARK, LONGEST_PROMPT, MOST_NEXT, MOST_LEFT_OUT, MOST_RUNS = 4096, 4000, 20, 300, 1000
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,64}")
_NUMBER = re.compile(r"[0-9]{1,18}")
#: What a page shows as a picture and cannot run.
_KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}


class Refused(EMoEError):
    """A request that cannot be met, with the status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def add_routes() -> None:
    """Adds the routes to the server that is about to start; does nothing where there is none, or where they are added."""
    routes = getattr(_server(), "routes", None)
    if routes is None or any(str(getattr(route, "path", "")).startswith(PREFIX) for route in routes):
        return
    for method, name, handler in (
        ("GET", "sources", _sources),
        ("GET", "next", _next),
        ("GET", "picture", _picture),
        ("POST", "mark", _mark),
    ):
        routes.route(method, f"{PREFIX}/{name}")(_told(handler))


def _server() -> Any:
    """The running server; it exists inside ComfyUI's main program alone, and is never started here."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


Result = TypeVar("Result")
Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


def _told(handler: Handler) -> Handler:
    """The handler, with every refusal as JSON: one sentence."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except EMoEError as error:
            return _json({"error": str(error)}, _status(error))

    return answer


async def _read(name: str, work: Callable[[], Result]) -> Result:
    """What `work` makes of a source, in a thread: reading SQLite must not hold up the server."""
    return await asyncio.to_thread(_sound, name, work)


def _sound(name: str, work: Callable[[], Result]) -> Result:
    """The same at once; a file with contents of another kind, which nobody but a stranger has written, is refused."""
    try:
        return work()
    except EMoEError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise Refused(
            400, f"'{plain(name, BRIEF)}' holds what EMoE has not written ({type(error).__name__})."
        ) from error


def _status(error: EMoEError) -> int:
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, (UnknownPicture, UnknownVerdict)):
        return 404
    # A file that is locked or cannot be written now may be later: the page keeps its mark and sends it again.
    return 503 if isinstance(error.__cause__, (sqlite3.Error, OSError)) else 400


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    from aiohttp import web

    return web.json_response(content, status=status, headers={"Cache-Control": "no-store"})


# --- the routes -------------------------------------------------------------------------------------------------------


async def _sources(request: web.Request) -> web.StreamResponse:
    return _json({"sources": await asyncio.to_thread(_list_sources)})


def _list_sources() -> list[dict[str, Any]]:
    """Every trial, and the ledger where there is one; one that cannot be read says why."""
    found = [f"{TRIAL}{name}" for name in trials.names()]
    if ledger.path().is_file():
        found.append(LEDGER)
    told: list[dict[str, Any]] = []
    for name in found:
        said: dict[str, Any] = {"source": name, "name": name.removeprefix(TRIAL), "kind": name.partition(":")[0]}
        try:
            items = _sound(name, _source(name).items)
            left = sum(item.quality is None for item in items)
            told.append({**said, "pictures": len(items), "left": left})
        except EMoEError as error:
            told.append({**said, "pictures": 0, "left": 0, "error": str(error)})
    return told


async def _next(request: web.Request) -> web.StreamResponse:
    """The next unmarked pictures, how far the source is, and whether the one that is `shown` still has no mark."""
    name = request.query.get("source", "")
    count = min(_number(request.query.get("count", "1"), "count"), MOST_NEXT)
    without = [_number(text, "without") for text in request.query.get("without", "").split(",") if text]
    if len(without) > MOST_LEFT_OUT:
        raise Refused(400, f"More than {MOST_LEFT_OUT} pictures are left out; show the skipped ones again.")
    shown = _number(request.query["shown"], "shown") if "shown" in request.query else None

    def look() -> dict[str, Any]:
        source = _source(name)
        items = source.items()
        return {
            "pictures": [_shown(item, name, request) for item in unmarked(items, name, without)[:count]],
            "shown": any(item.id == shown and item.quality is None for item in items),
            "progress": asdict(source.progress()),
        }

    return _json(await _read(name, look))


def _shown(item: Item, name: str, request: web.Request) -> dict[str, Any]:
    """What the page is told of an item: no score, nor anything that a score can be seen from."""
    from yarl import URL

    addresses = []
    for place, file in enumerate(item.files):
        own = URL(f"{PREFIX}/picture").with_query({"source": name, "id": item.id, "place": place})
        addresses.append({"route": str(own)} if _is_here(file.server, request) else {"address": _address(file)})
    return {"id": item.id, "prompt": item.prompt[:LONGEST_PROMPT], "pictures": addresses}


async def _picture(request: web.Request) -> web.StreamResponse:
    """The bytes of a row's picture."""
    from aiohttp import web

    name = request.query.get("source", "")
    number, place = (
        _number(request.query.get(field, default), field) for field, default in (("id", ""), ("place", "0"))
    )

    def find() -> Path:
        item = next((one for one in _source(name).items() if one.id == number), None)
        if item is None or place >= len(item.files):
            raise Refused(404, f"There is no picture {number} in '{plain(name, BRIEF)}'.")
        file = item.files[place]
        if not _is_here(file.server, request):
            raise Refused(404, f"This picture is on another server: {_address(file) or plain(file.server, BRIEF)}.")
        return _file(file)

    path = await _read(name, find)
    # The bytes alone say what a page makes of them, and the same name may become another picture.
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
        "Content-Type": _KINDS[path.suffix.lower()],
    }
    return web.FileResponse(path, headers=headers)


async def _mark(request: web.Request) -> web.StreamResponse:
    """Takes in a mark {source, picture, quality, token}; a quality of null takes the mark away."""
    if request.content_type != "application/json":
        raise Refused(415, "A mark has to be sent as application/json.")
    body = b""
    while chunk := await request.content.read(LONGEST_MARK + 1 - len(body)):
        body += chunk
        if len(body) > LONGEST_MARK:
            raise Refused(413, f"A mark has at most {LONGEST_MARK} bytes.")
    try:
        told = parse(body)
    except ValueError:
        raise Refused(400, "A mark has to be JSON.") from None
    name, number, quality, token = _checked(told)

    def keep() -> dict[str, Any]:
        source = _source(name)
        source.mark(number, quality, token)
        return {"marked": number, "quality": quality, "progress": asdict(source.progress())}

    return _json(await _read(name, keep))


def _checked(told: Any) -> tuple[str, int, str | None, str]:
    """The parts of a mark, each of its kind."""
    if not isinstance(told, dict) or not {"source", "picture", "quality", "token"} <= told.keys():
        raise Refused(400, "A mark is an object with source, picture, quality and token.")
    name, number, quality, token = (told[key] for key in ("source", "picture", "quality", "token"))
    if not isinstance(name, str):
        raise Refused(400, "A mark's source is a text.")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 10**18:
        raise Refused(400, "A mark's picture is the number of one.")
    if quality is not None and quality not in (GOOD, BAD):
        raise Refused(400, f"A mark's quality is {GOOD}, {BAD} or null.")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise Refused(400, "A mark's token is 8 to 64 letters, digits, - and _.")
    return name, number, quality, token


def _number(text: str, name: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Refused(400, f"{name} is '{plain(text, 40)}', which is no number.")
    return int(text)


# --- where things are -------------------------------------------------------------------------------------------------


def _source(name: str) -> Source:
    """The source of a name; the ledger's pictures are taken from the server's history first, which forgets them."""
    if name == LEDGER and ledger.path().is_file():
        source = LedgerSource(ledger.path())
        _learn_pictures(source.ledger)
        return source
    if name.startswith(TRIAL):
        trial = trials.trial(name.removeprefix(TRIAL))
        if trial.path.is_file():
            return TrialSource(trial)
    raise Refused(404, f"There is nothing named '{plain(name, BRIEF)}' to review here; load the page again.")


def _learn_pictures(kept: Ledger) -> None:
    """Writes into the ledger which pictures its runs saved, as far as this server's history knows them."""
    queue = getattr(_server(), "prompt_queue", None)
    if queue is None:
        return
    found = []
    for prompt_id in kept.without_pictures(MOST_RUNS):
        entry = queue.get_history(prompt_id=prompt_id, map_function=lambda one: dict(one.get("outputs") or {}))
        if prompt_id in entry and (saved := saved_pictures(entry[prompt_id], "")):
            found.append((prompt_id, saved))
    if found:
        with suppress(EMoEError):  # it cannot be written now: what is known is shown, and the rest is learned next time
            kept.add_pictures(found)


def _file(picture: Saved) -> Path:
    """The file that a row names, if it is a picture in ComfyUI's own folders; a row may come from anywhere."""
    name = picture.filename
    missing = Refused(404, f"The picture '{plain(name, BRIEF)}' is not in ComfyUI's folders any more; skip it.")
    if "\0" in name + picture.subfolder or "\\" in name + picture.subfolder or Path(name).name != name:
        raise missing
    try:
        path = picture_file(picture)
    except NoPicture:
        raise missing from None
    if path.suffix.lower() not in _KINDS:
        raise Refused(404, f"'{plain(name, BRIEF)}' is no picture that a page can show; skip it.")
    return path


def _is_here(server: str, request: web.Request) -> bool:
    """Whether a row's address is this server: it names none, the name that the page uses, or this machine and this port."""
    if not server:
        return True
    url = _url(server)
    if url is None or url.path.strip("/"):
        return False
    if url.authority.lower() == request.host.lower():
        return True
    own = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return bool(own and _is_loopback(url.host or "") and url.port == own[1])


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _address(picture: Saved) -> str | None:
    """Where another server shows the picture; None for what is no address of one."""
    url = _url(picture.server)
    if url is None:
        return None
    place = {"filename": picture.filename, "subfolder": picture.subfolder, "type": picture.type}
    return str((url / "view").with_query(place))


def _url(server: str) -> URL | None:
    """A server's address, if it is one that a page may be sent to."""
    from yarl import URL

    try:
        url = URL(server)
        sound = url.scheme in ("http", "https") and bool(url.host) and url.user is None and url.password is None
    except ValueError:
        return None
    return url if sound and not url.query_string and not url.fragment else None
