"""What a person sees of an audit on the command line."""

from __future__ import annotations

import sys
from time import monotonic

from ..io.console import duration

PLAIN_EVERY = 10.0


class Lines:
    """Notes and progress on stderr: one line that renews itself on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._terminal, self._last, self._shown = sys.stderr.isatty(), -1e9, ""

    def say(self, text: str) -> None:
        sys.stderr.write(f"{' ' * len(self._shown)}\r{text}\n" if self._shown else f"{text}\n")
        self._shown = ""
        sys.stderr.flush()

    def progress(self, done: int, total: int, left: float | None) -> None:
        now, ended = monotonic(), done >= total
        if not ended and now - self._last < (0.2 if self._terminal else PLAIN_EVERY):
            return
        self._last = now
        text = f"{done} of {total} prompts"
        text += "" if left is None or ended else f", {duration(left)} left"
        if self._terminal:
            sys.stderr.write("\r" + text.ljust(len(self._shown)) + ("\n" if ended else ""))
            self._shown = "" if ended else text
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
