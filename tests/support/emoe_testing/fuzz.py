"""Profiles of the property tests, and what holds whatever is thrown at the pack.

The suite runs the same few cases every time. EMOE_FUZZ names how many other ones to run instead, per test.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from emoe_core.errors import LONGEST, EMoEError, plain

#: Seconds and bytes that no small input may take.
PATIENCE = 20
MEMORY = 1 << 26

_more = int(os.environ.get("EMOE_FUZZ", "0"))
settings.register_profile(
    "emoe",
    max_examples=_more or 100,
    derandomize=not _more,
    database=None,
    deadline=None,  # PATIENCE is enough: a busy machine is no fault
    suppress_health_check=list(HealthCheck),
    print_blob=bool(_more),
)
settings.load_profile("emoe")

#: Any text as JSON gives it, where two halves of a pair are one letter, with more of what does harm.
TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=40),  # with lone surrogates
    st.text("\ud800\udfff\0\x1b\x85\u2028\u202e\ufeff\r\n\t\"',;=+-@!#\\/.~{}[]()|: aA0\u6f22\U0001f984", max_size=40),
    st.sampled_from(
        ("", " ", "prompt", "embedding:\ud800", "../../x", "~nosuch/x", "/etc/passwd", "=cmd|' /C calc'!A0", "1e400")
    ),
).map(lambda text: str(json.loads(json.dumps(text))))
#: Any JSON, with what Python's reader takes beyond the standard.
NUMBER = st.one_of(
    st.integers(), st.floats(), st.sampled_from((10**400, -(10**400), 2**64, float("nan"), float("inf")))
)
SCALAR = st.one_of(st.none(), st.booleans(), NUMBER, TEXT)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


def nested(depth: int, left: str = "[", right: str = "]") -> str:
    """JSON that is nested so deeply."""
    return left * depth + (right and "1") + right * depth


def one_sentence(error: EMoEError, *secrets: str) -> None:
    """Holds an error to what a log, a terminal and a reader can bear, and to what it may tell."""
    said = str(error)
    assert said == plain(said) and 0 < len(said) <= LONGEST, said
    assert said.endswith(".") or said.endswith(".)"), said
    assert not [secret for secret in secrets if secret in said], said


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Ends what hangs, and holds what is done inside to an amount of memory."""

    def tired(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it takes more than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, tired)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(make: Callable[[], Any], *secrets: str) -> Any:
    """What comes of it; None where it is refused in one sentence. Any other error is a fault."""
    with bounded():
        try:
            return make()
        except EMoEError as error:
            one_sentence(error, *secrets)
            return None
