"""What of other people's text reaches a log, a terminal and a history."""

from __future__ import annotations

import logging

import pytest

from emoe_core.errors import LONGEST, EMoEError, PromptBlocked, SettingsMismatch, plain
from emoe_core.io.log import log
from emoe_core.records.message import Code, Message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\ud800b", "a\\ud800b"),
        ("\x1b[2J\x00\r\n\t\x9b", "\\x1b[2J\\x00\\x0d\\x0a\\x09\\x9b"),
        ("one\u2028two\u2029", "one\\u2028two\\u2029"),
        ("left\u202eright\u2066", "left\\u202eright\\u2066"),
        ("猫 é 👩\u200d🚀 ‘x’ C:\\temp", "猫 é 👩\u200d🚀 ‘x’ C:\\temp"),
    ],
)
def test_what_harms_a_reader_is_escaped_and_the_rest_is_left(text: str, shown: str) -> None:
    assert plain(text) == shown == plain(shown)
    for kind in (EMoEError, SettingsMismatch):
        assert str(kind(text)) == shown
    assert str(Message.of(Code.SENTENCE, text=text)) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize("letter", ["x", "\ud800", "猫"])
def test_a_message_is_cut_in_its_middle_so_that_the_advice_stays(letter: str) -> None:
    said = str(EMoEError(f"The file '{letter * 30_000_000}' is bad; choose another."))
    assert len(said) <= LONGEST
    assert said.startswith("The file '") and "..." in said and said.endswith("is bad; choose another.")


def test_every_line_of_the_log_is_plain(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="emoe"):
        log.info("EMoE: '%s' in %d", "a\ud800\nERROR forged" + "x" * 9999, 3)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("EMoE: 'a\\ud800\\x0aERROR forged") and len(line) <= LONGEST


@pytest.mark.parametrize("error", [EMoEError, PromptBlocked])
def test_an_errors_name_does_not_tell_where_the_pack_lies(error: type[Exception]) -> None:
    """ComfyUI imports a pack under its folder's path, which a client would read in the history."""
    loaded = type("Made", (error,), {"__module__": "/home/emoe_core/custom_nodes/emoe.emoe_core.gating.policies"})
    assert (error.__module__, loaded.__module__) == ("emoe_core.errors", "emoe_core.gating.policies")
