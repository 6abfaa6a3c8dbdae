"""Runs parts of the test command side by side: one part per lane, the next part as soon as a lane is free.

Everything happens in one thread. A part is a list of commands that run one after the other, and the loop below checks
each lane a few times per second. A part that runs alone writes to the terminal itself; parts side by side each write to a
file, which is shown whole when the part has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from . import ROOT
from .prepare import say

_GRACE = 30.0  # seconds for a stopped part to end its servers


@dataclass
class Part:
    """The work in a lane: its commands, in order, and after the end their exit codes."""

    name: str
    commands: Sequence[Sequence[str]]
    env: Mapping[str, str]
    output: Path | None = None  # None: the terminal
    codes: list[int] = field(default_factory=list)
    seconds: float = 0.0
    _process: subprocess.Popen[bytes] | None = None
    _sink: IO[bytes] | None = None
    _started: float = 0.0

    def start(self) -> None:
        self._started = time.monotonic()
        if self.output is not None:
            self._sink = open(self.output, "wb")  # noqa: SIM115  closed in `close`: it outlives this call
        self._next()

    def _next(self) -> None:
        command = self.commands[len(self.codes)]
        line = f"$ {' '.join(command)}\n"
        if self._sink is not None:
            self._sink.write(line.encode())
            self._sink.flush()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(self.env),
            stdin=None if self._sink is None else subprocess.DEVNULL,
            stdout=self._sink,
            stderr=self._sink,
            preexec_fn=_hear_interrupts if os.name == "posix" else None,
        )

    def ended(self) -> bool:
        """Whether all its commands have ended; starts the next command when one has."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return False
        self.codes.append(code)
        if len(self.codes) < len(self.commands):
            self._next()
            return False
        self.close()
        return True

    def interrupt(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def wait_or_kill(self, until: float) -> None:
        """Waits for the running command to clean up, and kills it if it does not."""
        if self._process is None:
            return
        try:
            self._process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.close()

    def close(self) -> None:
        self.seconds = time.monotonic() - self._started
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def text(self) -> str:
        return self.output.read_text("utf-8", errors="replace") if self.output and self.output.is_file() else ""


def _hear_interrupts() -> None:
    """Makes SIGINT work: a shell's background job starts with it ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_in_lanes(parts: Sequence[Part], lanes: int, ended: Callable[[Part], None]) -> None:
    """Runs all parts, at most `lanes` at a time, in the order given; calls `ended` for each one that is over.

    When this process is asked to stop, every part is asked too, and gets time to stop its servers.
    """
    waiting, running = list(parts), list[Part]()
    with _stopping(running):
        while waiting or running:
            while waiting and len(running) < lanes:
                part = waiting.pop(0)
                running.append(part)
                say(f"== {part.name}{': started' if part.output else ''}")
                part.start()
            for part in [part for part in running if part.ended()]:
                running.remove(part)
                ended(part)
            time.sleep(0.1)


@contextlib.contextmanager
def _stopping(running: list[Part]) -> Iterator[None]:
    """Ends what is still running when an exception leaves the block."""
    try:
        yield
    except BaseException as error:
        for part in running:
            if not isinstance(error, KeyboardInterrupt):  # a terminal's Ctrl-C reaches the parts as well
                part.interrupt()
        until = time.monotonic() + _GRACE
        for part in running:
            part.wait_or_kill(until)
            show(part, "stopped")
        raise


def show(part: Part, state: str) -> None:
    """The whole output of a part that wrote to a file, under its name."""
    if part.output is None:
        return
    sys.stdout.write(f"\n== {part.name}: {state}, {part.seconds:.0f} s\n{part.text().rstrip()}\n\n")
    sys.stdout.flush()
