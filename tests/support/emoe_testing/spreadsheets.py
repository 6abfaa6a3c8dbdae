"""The way back from a table that a spreadsheet may open."""

from __future__ import annotations

import re

_HARMLESS = re.compile("''*[=+@\\t\\r-]")


def original(cell: str) -> str:
    """The text that `emoe_core.io.spreadsheet.harmless` was given."""
    return cell[1:] if _HARMLESS.match(cell) else cell
