"""Finished and running jobs on disk: a batch's results file, or another record, and a small state file beside it.

Results are appended line by line and forced to disk. The state file names, for every job that a server has, the
server and the prompt id; it is written *before* a job is posted and cleaned *after* its result is on disk. So whenever
the command dies, a job is in the results, or in the state, or was never posted.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

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
class Record(ABC):
    """What is finished, and what servers have. `write` is the subclass's; the state file is the same for all.

    Attributes:
        path: where finished work is kept; the state file lies beside it.
        workflow: digest of the workflow and of what is filled into it; only the same one goes on with a state file.
        finished: status by the job's key.
    """

    path: Path
    workflow: str
    finished: dict[str, str] = field(default_factory=dict)
    flights: dict[str, Flight] = field(default_factory=dict)

    #: For messages: what to do where the state file is of another workflow, what servers may have, and what is finished.
    OTHER: ClassVar[str]
    WHOSE: ClassVar[str]
    RESULTS: ClassVar[str]

    @property
    def state_path(self) -> Path:
        return self.path.with_name(self.path.name + ".state")

    @abstractmethod
    def write(self, result: dict[str, Any]) -> None:
        """Keeps a job's result; when this returns, it is on disk and no server has the job any more."""

    def flying(self, job: Job) -> None:
        """Notes that a server has the job, or is about to get it."""
        self.flights[job.key] = Flight(job.server, job.prompt_id, job.token, job.attempts)
        self._write_state()

    def landed(self, key: str) -> None:
        """Notes that no server has the job any more."""
        if self.flights.pop(key, None) is not None:
            self._write_state()

    def _drop_finished(self) -> None:
        """Takes finished work out of the state file: the command may have died between the two."""
        self.flights = {key: flight for key, flight in self.flights.items() if key not in self.finished}
        self._write_state()

    def _read_state(self) -> None:
        try:
            state = parse(self.state_path.read_text(encoding="utf-8"))
            flights = {str(key): Flight(**flight) for key, flight in state["flights"].items()}
            workflow = str(state["workflow"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EMoEError(
                f"The state file '{self.state_path}' cannot be read; remove it if no server has {self.WHOSE}."
            ) from error
        if workflow != self.workflow:
            raise EMoEError(
                f"'{self.path}' was begun with another workflow or other {self.OTHER}, or remove the file "
                f"'{self.state_path}' to go on in it."
            )
        self.flights = flights

    def _write_state(self) -> None:
        flights = {key: asdict(flight) for key, flight in self.flights.items()}
        state = {"schema": STATE_SCHEMA, "workflow": self.workflow, "flights": flights}
        write_whole(self.state_path, json.dumps(state))


@dataclass
class Journal(Record):
    """The results file of a batch and its state file, held by one command at a time."""

    OTHER = "--set; give another --out"
    WHOSE = "rows of this batch"
    RESULTS = "results"
    _out: ResultsFile | None = None

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
        self._drop_finished()

    def close(self) -> None:
        """Closes and unlocks the results file."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def write(self, result: dict[str, Any]) -> None:
        """Appends a row's result; when this returns, it is on disk and the row is finished."""
        assert self._out is not None
        self._out.append(result)
        self.finished[result["key"]] = result["status"]
        self.landed(result["key"])

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
