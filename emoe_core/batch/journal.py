"""Finished and running rows on disk: the results file, and a small state file beside it.

Results are appended line by line and forced to disk. The state file names, for every row that a server has, the
server and the prompt id; it is written *before* a row is posted and cleaned *after* its result is on disk. So whenever
the command dies, a row is in the results, or in the state, or was never posted.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.files import write_whole
from ..io.json_text import parse
from ..io.results_file import ResultsFile
from ..prompts import PromptRow
from ..remote.server import Job

STATE_SCHEMA = 1


def row_key(row: PromptRow) -> str:
    """A row's identity: its number and a hash of its content."""
    content = json.dumps([row.prompt, sorted(row.columns.items())], ensure_ascii=False)
    return f"{row.row}-{hashlib.sha256(content.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


@dataclass
class Flight:
    """A job's entry in the state file."""

    server: str
    prompt_id: str
    token: str
    attempts: int


@dataclass
class Journal:
    """The results file of a batch and its state file, held by one command at a time."""

    path: Path
    workflow: str
    finished: dict[str, str] = field(default_factory=dict)  # key: status
    flights: dict[str, Flight] = field(default_factory=dict)
    _out: ResultsFile | None = None

    @property
    def state_path(self) -> Path:
        return self.path.with_name(self.path.name + ".state")

    def open(self, retry_errors: bool = False) -> None:
        """Continues where the last run ended: repairs a half-written line, reads what is finished and in flight.

        Raises:
            EMoEError: another command has the file, it is no results file, or it belongs to another workflow.
        """
        self._out = ResultsFile(self.path, self._learn, "batch")
        self._read_state()
        if retry_errors and "error" in self.finished.values():
            self._out.keep(lambda line: bool(json.loads(line)["status"] != "error"))
            self.finished = {key: status for key, status in self.finished.items() if status != "error"}
        self.flights = {key: flight for key, flight in self.flights.items() if key not in self.finished}
        self._write_state()

    def close(self) -> None:
        """Closes and unlocks the results file."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def flying(self, job: Job) -> None:
        """Notes that a server has the row, or is about to get it."""
        self.flights[job.key] = Flight(job.server, job.prompt_id, job.token, job.attempts)
        self._write_state()

    def landed(self, key: str) -> None:
        """Notes that no server has the row any more."""
        if self.flights.pop(key, None) is not None:
            self._write_state()

    def write(self, result: dict[str, Any]) -> None:
        """Appends a row's result; when this returns, it is on disk and the row is finished."""
        assert self._out is not None
        self._out.append(result)
        self.finished[result["key"]] = result["status"]
        self.landed(result["key"])

    # --- reading what is there ----------------------------------------------------------------------------------------

    def _learn(self, line: bytes) -> bool:
        try:
            entry = parse(line)
        except ValueError:
            return False
        known = (
            isinstance(entry, dict)
            and isinstance(entry.get("key"), str)
            and entry.get("status") in ("ok", "blocked", "error")
        )
        if known:
            self.finished[entry["key"]] = entry["status"]
        return known

    def _read_state(self) -> None:
        try:
            state = parse(self.state_path.read_text(encoding="utf-8"))
            flights = {str(key): Flight(**flight) for key, flight in state["flights"].items()}
            workflow = str(state["workflow"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EMoEError(
                f"The state file '{self.state_path}' cannot be read; remove it if no server has rows of this batch."
            ) from error
        if workflow != self.workflow:
            raise EMoEError(
                f"'{self.path}' was begun with another workflow or other --set; give another --out, or remove the file "
                f"'{self.state_path}' to go on in it."
            )
        self.flights = flights

    def _write_state(self) -> None:
        flights = {key: asdict(flight) for key, flight in self.flights.items()}
        state = {"schema": STATE_SCHEMA, "workflow": self.workflow, "flights": flights}
        write_whole(self.state_path, json.dumps(state))
