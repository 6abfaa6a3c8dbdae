"""How long the runs took and what they saved, from a ComfyUI's history; how long, from the results of a batch too.

A node cannot see the nodes behind it, so the Gate does not know how long the generation took that it let through. The
server does: its history keeps the times when a run began and ended.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.files import explained
from ..io.json_text import parse
from ..remote.driver import Driver, Gone
from ..remote.results import run_seconds, run_status
from ..remote.server import Link, mapping, new_session
from .store import Ledger, Saved

Run = tuple[str, float, str]  # prompt id, seconds, status
AT_A_TIME = 100
GIVE_UP = 2.0  # seconds; a person is waiting at the screen


async def from_server(ledger: Ledger, url: str, limit: int) -> tuple[int, int]:
    """Asks a server for the runs that lack their seconds, newest first.

    Returns:
        How many were learned, and how many the server does not know (any more).

    Raises:
        EMoEError: the server does not answer.
    """
    wanted, learned, driver = ledger.without_seconds(limit), 0, Driver(GIVE_UP)
    async with new_session() as session:
        link = Link(url, session)
        for begin in range(0, len(wanted), AT_A_TIME):
            runs: list[Run] = []
            saved: list[tuple[str, list[Saved]]] = []
            for prompt_id in wanted[begin : begin + AT_A_TIME]:
                try:
                    entry = await driver.kept(link, prompt_id)
                except Gone as error:
                    learned += ledger.add_runs(runs, url)
                    raise EMoEError(
                        f"'{url}' does not answer; {learned} runs were learned before. Start it, or mend --server."
                    ) from error
                if entry is not None:
                    saved.append((prompt_id, saved_pictures(entry.get("outputs"), url)))
                    if (seconds := run_seconds(entry)) is not None:
                        runs.append((prompt_id, seconds, run_status(entry)))
            learned += ledger.add_runs(runs, url)
            ledger.add_pictures(saved)
    return learned, len(wanted) - learned


def saved_pictures(outputs: Any, server: str) -> list[Saved]:
    """The pictures that a run kept, from the outputs in its history entry; previews and score cards are none."""
    images = (image for output in mapping(outputs).values() for image in _list(mapping(output).get("images")))
    named = (mapping(image) for image in images)
    return [
        Saved(server, str(image["filename"]), str(image.get("subfolder", "")), "output")
        for image in named
        if image.get("type") == "output" and image.get("filename")
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def from_results(ledger: Ledger, path: Path) -> int:
    """Reads the results file of a batch; returns how many of its rows were runs of this ledger.

    Raises:
        EMoEError: the file cannot be read, or a line of it is no result. An incomplete last line is left out, as the
            batch does when it continues.
    """
    with explained(f"The results file '{path}' cannot be read", "check the path"):
        content = path.read_bytes()
    return ledger.add_runs(_results(content, path), str(path.name))


def _results(content: bytes, path: Path) -> Iterator[Run]:
    # Bytes, since a line may be cut inside a character, and a prompt may hold a line end of text files (U+2028).
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            result = parse(line)
            prompt_id, seconds = result["prompt_id"], result["seconds"]
            seconds = None if seconds is None else float(seconds)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            if number == len(lines) and isinstance(error, ValueError):
                return  # no whole JSON and no end of line: the batch is writing it, or was killed
            raise EMoEError(f"Line {number} of '{path}' is no result of a batch.") from error
        if prompt_id is not None and seconds is not None:
            yield str(prompt_id), seconds, "error" if result.get("status") == "error" else "success"
