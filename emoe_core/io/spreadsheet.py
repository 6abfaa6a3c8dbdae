"""CSV that a spreadsheet may open: a cell that it would take for a formula begins with an apostrophe.

A prompt is anybody's text, and `=cmd|...` in it would be run by whoever opens the table.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

#: Cells that begin so are formulas; one that has apostrophes before that gets one more, so that the way back is plain.
_FORMULA = re.compile("'*[=+@\t\r-]")


def harmless(cell: Any) -> Any:
    """The cell as it is written; what is no text stays as it is."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def write_csv(file: IO[str], names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A header and the rows."""
    table = csv.writer(file)
    table.writerow(map(harmless, names))
    table.writerows([harmless(row.get(name)) for name in names] for row in rows)
