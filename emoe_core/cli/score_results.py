"""The results file: a JSON line per prompt, on disk as soon as it is known, and what an earlier run left in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..io.results_file import ResultsFile

#: What tells one row under one setting and one gate from another.
Mark = tuple[str, str, str]


class Results:
    """A results file, open and locked for one command.

    Raises:
        EMoEError: it cannot be written, another command has it, or it holds something else than results.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[Mark, str] = {}
        self._file = ResultsFile(path, self._learn, "command")

    def _learn(self, line: bytes) -> bool:
        try:
            row = json.loads(line)
            self.done[str(row["key"]), str(row["fingerprint"]), str(row["gate"])] = str(row["status"])
        except (ValueError, KeyError, TypeError):
            return False
        return True

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row; when this returns it is on disk."""
        self._file.append(row)

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()
