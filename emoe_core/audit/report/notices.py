"""The audit's own warnings in Japanese as well: they are written in English when the audit is analysed."""

from __future__ import annotations

import re

from .markup import Both, Html, plain, tag
from .wording import say

_PATTERNS = {
    "notice_no_group": r"(?P<count>\d+) prompts have nothing in the column '(?P<column>.*)' and belong to no group of it\.",
    "notice_control": r"(?P<count>\d+) prompts held control characters, which became spaces\.",
    "notice_bad": r"(?P<count>\d+) rows of the prompt file could not be read and are left out\.",
    "notice_unfinished": r"(?P<count>\d+) prompts were not scored yet: the figures are of the first part of the file only\.",
    "notice_empty": r"The group '(?P<group>.*)' is empty: none of its prompts was scored\.",
    "notice_few": r"The group '(?P<group>.*)' has (?P<count>\d+) prompts: too few to compare\.",
    "notice_repeated": (
        r"(?P<count>\d+) prompts have an id that their group of '(?P<column>.*)' has twice; of these the first one counts "
        r"in paired comparisons\."
    ),
}


def notice(text: str) -> Both | Html:
    """The warning in both languages; one that is not known stays English."""
    for key, pattern in _PATTERNS.items():
        if found := re.fullmatch(pattern, text, flags=re.DOTALL):
            return say(key, **{name: plain(value, 60) for name, value in found.groupdict().items()})
    return tag("span", plain(text, 400), lang="en")
