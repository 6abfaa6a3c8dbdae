"""What is left of a test that failed, where EMOE_ARTIFACTS names a folder for it: pages as pictures, servers' logs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_MOST = 40  # pictures and logs of a run in which everything fails say no more than these


def keep(test: str, things: Iterable[Any]) -> None:
    """Writes a picture of every page and the log of every server among a test's fixtures; never fails itself."""
    named = os.environ.get("EMOE_ARTIFACTS")
    if not named:
        return
    folder, name = Path(named), re.sub(r"[^\w.-]+", "_", test)[-120:]
    for thing in things:
        for part in (thing, getattr(thing, "page", None), getattr(thing, "server", None)):
            with contextlib.suppress(Exception):  # the page may be closed, the server gone
                _keep(part, folder, name)


def _keep(thing: Any, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if sum(1 for _ in folder.iterdir()) >= _MOST:
        return
    if callable(getattr(thing, "screenshot", None)):
        thing.screenshot(path=str(folder / f"{name}.png"))
    log = getattr(thing, "log", None)
    if isinstance(log, Path) and log.is_file():
        shutil.copy(log, folder / f"{name}.log")
