"""What a person sees: notes and progress on stderr, results for programs on stdout."""

import json
import math
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RECENT = 50  # the pace of this many rows gives the time left
LISTED = 10  # rows that cannot be used
PLAIN_EVERY = 10.0  # seconds between progress lines where a line cannot be overwritten


def out(text: str) -> None:
    """A line on stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def out_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout, in ASCII, which is right in every console's code page."""
    out(json.dumps(value, indent=2))


class Line:
    """Notes and progress on stderr: one line that is overwritten on a terminal, a new line now and then elsewhere.

    tqdm would write carriage returns into a log file, and cannot be silenced there.
    """

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown, self._last = "", -math.inf

    def note(self, text: str) -> None:
        """A sentence about an event; the progress goes on below it."""
        shown = self._shown
        sys.stderr.write(f"\r{' ' * len(shown)}\r{text}\n{shown}" if shown else f"{text}\n")
        sys.stderr.flush()

    def left_out(self, path: object, bad: Sequence[object]) -> None:
        """The first rows of a file that cannot be used, and how many more there are."""
        for reason in bad[:LISTED]:
            self.note(f"'{path}' {reason}; the row is left out.")
        if len(bad) > LISTED:
            self.note(f"{len(bad) - LISTED} more rows of '{path}' are left out.")

    def show(self, text: str, last: bool = False) -> None:
        """The current progress. It is shown at once when it is the last, else only some time after the one before."""
        now = time.monotonic()
        if not last and now - self._last < (0.1 if self._terminal else PLAIN_EVERY):
            return
        self._last = now
        if self._terminal:
            sys.stderr.write("\r" + text.ljust(len(self._shown)))
            self._shown = text
        else:
            sys.stderr.write(text + "\n")
        if last:
            self.finish()
        sys.stderr.flush()

    def finish(self) -> None:
        """Leaves the last state of the progress on the screen."""
        if self._shown:
            sys.stderr.write("\n")
        self._shown = ""


class Console(Line):
    """Progress of a batch.

    Attributes:
        noun: what is counted.
    """

    noun = "rows"

    def __init__(self) -> None:
        super().__init__()
        self.totals = Totals()
        self.by_server: Counter[str] = Counter()
        self.total = 0
        self._started = time.monotonic()
        self._times: deque[float] = deque(maxlen=RECENT)

    def begin(self, total: int, before: "Totals") -> None:
        """The batch has `total` rows; earlier runs finished `before` of them."""
        self.total, self.totals = total, before
        self._started = time.monotonic()
        self._times.append(self._started)
        self.show(self.line())

    def ended(self, result: Mapping[str, Any]) -> None:
        """A row's result is on disk."""
        self.totals.add(result["status"])
        self.by_server[result["server"] or ""] += 1
        self._times.append(time.monotonic())
        self.show(self.line(), last=self.totals.done == self.total)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def rows_per_minute(self) -> float | None:
        """The pace of the latest rows; None before the first."""
        span = self._times[-1] - self._times[0] if self._times else 0.0
        return 60 * (len(self._times) - 1) / span if span > 0 else None

    def line(self) -> str:
        """Done of total, their outcomes, the pace and the time left."""
        totals = self.totals
        parts = [f"{totals.done}/{self.total}", *self.outcomes()]
        pace = self.rows_per_minute
        if pace is not None:
            parts.append(f"{pace:.1f} {self.noun}/min")
            if totals.done < self.total:
                parts.append(f"{duration(60 * (self.total - totals.done) / pace)} left")
        return ", ".join(parts)

    def outcomes(self) -> list[str]:
        """How many ended in which way."""
        return [f"{self.totals.ok} passed", f"{self.totals.blocked} blocked", f"{self.totals.error} failed"]


def duration(seconds: float) -> str:
    """Seconds as 45 s, 12 min or 3 h 05 min."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def size_text(size: float) -> str:
    """Bytes as 900 kB, 22.1 MB or 6.9 GB."""
    for unit, one in (("GB", 10**9), ("MB", 10**6)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size / 1000:.3g} kB"


@dataclass
class Totals:
    """Rows by outcome."""

    ok: int = 0
    blocked: int = 0
    error: int = 0

    def add(self, status: str) -> None:
        setattr(self, status, getattr(self, status) + 1)

    @property
    def done(self) -> int:
        return self.ok + self.blocked + self.error
