"""Errors a user can act on, and `plain`: what a log, a terminal and a history can bear of other people's text.

A lone surrogate in an error ends ComfyUI's worker thread, since its log is strict UTF-8; a control character rewrites a
terminal; and a field of a file may have any length.
"""

import re

#: Letters of a message or a line, at most.
LONGEST = 2000
#: Letters of one text inside a line.
BRIEF = 300
_END = 0.3  # share of what is kept that comes from the end, where a message says what to do

#: Control characters, line and paragraph separators, what turns the direction of writing, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str, longest: int = LONGEST) -> str:
    """The text with what harms a reader escaped, on one line; one that is too long is cut in its middle.

    What is plain already stays as it is.
    """
    if len(text) > longest:  # first, so that little is escaped
        end = int(longest * _END)
        text = f"{text[: longest - end - 3]}...{text[-end:]}"
    found = _UNSAFE.sub(_escaped, text)
    return found if len(found) <= longest else plain(found, longest)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def first_line(error: BaseException) -> str:
    """The first line of an error of others, for a sentence of ours."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


class _Named:
    """Gives an error the same name on every machine, `emoe_core.errors.PromptBlocked`.

    ComfyUI names a pack's modules after the folder that the pack lies in, and clients read an error's module in the history's
    `exception_type`.
    """

    def __init_subclass__(cls) -> None:
        cls.__module__ = "emoe_core" + cls.__module__.rpartition("emoe_core")[2]


class EMoEError(_Named, ValueError):
    """Bad input. The message is one sentence for a person, not a stack of causes."""

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


class SettingsMismatch(EMoEError):
    """A score is compared with a calibration that has other settings."""


class PromptBlocked(_Named, RuntimeError):
    """The gate blocked the prompt and the graph asked for an error instead of silence."""
