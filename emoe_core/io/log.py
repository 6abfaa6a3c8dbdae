"""The pack's logger: INFO says what takes long, DEBUG why. Levels and handlers are the host's to choose."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import plain

log = logging.getLogger("emoe")


def _harmless(record: logging.LogRecord) -> bool:
    """Every line of the pack's goes to its handlers escaped and cut: names and prompts of anybody stand in them."""
    record.msg, record.args = plain(record.getMessage()), ()
    return True


log.addFilter(_harmless)


@contextmanager
def timed(text: str, *values: object) -> Iterator[None]:
    """Says at INFO what was done, and in how many seconds; nothing where it failed, since the error says it."""
    begun = time.perf_counter()
    yield
    log.info(f"EMoE: {text} in %.1f s", *values, time.perf_counter() - begun)
