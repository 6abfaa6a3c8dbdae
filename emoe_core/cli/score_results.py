"""The results file: one JSON line per prompt, on disk as soon as it is known, and the lines of earlier runs."""

import json
from pathlib import Path

from ..io.results_file import ResultsFile

#: These fields identify a row under one setting and one gate.
Mark = tuple[str, str, str]


class Results(ResultsFile):
    """A results file, open and locked for one command.

    Raises:
        EMoEError: it cannot be written, another command has it, or it holds something other than results.
    """

    def __init__(self, path: Path) -> None:
        self.done: dict[Mark, str] = {}
        super().__init__(path, self._learn, "command")

    def _learn(self, line: bytes) -> bool:
        try:
            row = json.loads(line)
            self.done[str(row["key"]), str(row["fingerprint"]), str(row["gate"])] = str(row["status"])
        except (ValueError, KeyError, TypeError):
            return False
        return True
