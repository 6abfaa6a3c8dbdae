"""Where the file of a trial's picture is: in a folder at hand, or on the server that drew it."""

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import EMoEError
from ..remote.server import new_session
from .store import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

#: What ComfyUI calls its folders.
OUTPUT, TEMP, INPUT = "output", "temp", "input"


class NoPicture(EMoEError):
    """The picture cannot be had; the message says why without naming it, so that equal reasons are counted together."""


class NoAnswer(NoPicture):
    """The server that has the picture does not answer."""


class Place(Protocol):
    """Where ComfyUI's /view finds a picture."""

    @property
    def filename(self) -> str: ...

    @property
    def subfolder(self) -> str: ...

    @property
    def type(self) -> str: ...


def find(picture: Place, folders: Mapping[str, Path]) -> Path:
    """The file of a picture in one of ComfyUI's folders.

    Args:
        folders: by their type; a picture of another type is nowhere.

    Raises:
        NoPicture: it is not there, or its row leads out of the folder.
    """
    base = folders.get(picture.type)
    if base is None:
        raise NoPicture(f"there is no folder for pictures of the type '{picture.type}'")
    try:
        base = base.resolve()
        path = (base / picture.subfolder / picture.filename).resolve()
        inside = path.is_relative_to(base)
        there = inside and path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a NUL
        inside = there = False
    if not inside:
        raise NoPicture("their rows lead out of ComfyUI's folders")
    if not there:
        raise NoPicture("their files are not there any more")
    return path


def fetch(picture: Picture) -> bytes:
    """The file of a picture from its server's /view.

    Raises:
        NoAnswer: its server does not answer.
        NoPicture: it has no server, or that one does not give it.
    """
    if not picture.server.startswith(("http://", "https://")):
        raise NoPicture(f"'{picture.server}' is no address of a server")
    return asyncio.run(_fetched(picture))


async def _fetched(picture: Picture) -> bytes:
    import aiohttp

    names = {"filename": picture.filename, "subfolder": picture.subfolder, "type": picture.type}
    try:
        async with new_session() as session, session.get(f"{picture.server}/view", params=names) as answer:
            if answer.status == 200:
                return await answer.read()
            gone = answer.status == 404
            said = "does not have them any more" if gone else f"does not give them (HTTP {answer.status})"
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise NoAnswer(f"{picture.server} does not answer") from error
    raise NoPicture(f"{picture.server} {said}")


def load(content: "Path | bytes") -> "Image":
    """The picture in RGB.

    Raises:
        NoPicture: it is no picture that can be read.
    """
    from PIL import Image

    try:
        with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise NoPicture("their files are no pictures that can be read") from error
