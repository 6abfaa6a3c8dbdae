"""A trial as the record of what is drawn: each picture goes into its file when its run ends."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..batch.journal import Record
from ..errors import EMoEError
from ..io.results_file import lock
from ..records.settings import Settings
from ..remote.results import ERROR, OK
from ..remote.workflow import Graph
from .drawing import picture_key
from .store import Reading, Trial


@dataclass
class TrialRecord(Record):
    """A trial that one command draws at a time. `finished` has a key per picture (`drawing.picture_key`).

    Attributes:
        failed: the results of this run without a picture; they are not kept, and a later run tries them again.
    """

    OTHER = "inputs; name another --trial"
    WHOSE = "pictures of this trial"
    RESULTS = "pictures"
    failed: list[dict[str, Any]] = field(default_factory=list)
    _known: dict[str, Settings | None] = field(default_factory=dict)
    _named_experts: bool = False
    _lock: IO[bytes] | None = None

    @property
    def trial(self) -> Trial:
        return Trial(self.path)

    def open(self, graph: Graph, base: int, pictures: int) -> None:
        """Begins the trial, or goes on with it.

        Raises:
            EMoEError: another command draws it, or it was begun with another workflow or other seeds.
        """
        self._lock = _locked(self.path)
        self.trial.begin({"workflow": graph, "base": base})
        found = self.trial.contents()
        self.trial.note({"pictures": max(pictures, int(found.facts.get("pictures", 0)))})
        self._known = {reading.name: reading.settings for reading in found.readings}
        self._named_experts = "experts" in found.facts
        self.finished = {
            picture_key(prompt.key, picture.number): OK for prompt in found.prompts for picture in prompt.pictures
        }
        self._read_state()
        self._drop_finished()

    def close(self) -> None:
        """Lets another command draw."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write(self, result: dict[str, Any]) -> None:
        """Puts a picture with its prompt's readings into the trial; a result without one is only told at the end."""
        row, _, number = result["key"].rpartition("/")
        if result["status"] == OK and (why := self._other_models(result["readings"])):
            result |= {"status": ERROR, "error": why}
        if result["status"] == OK:
            if not self._named_experts:
                self.trial.begin({"experts": result["experts"]})
                self._named_experts = True
            self.trial.add(
                row, result["row"], result["prompt"], result["columns"], result["readings"], [result["picture"]]
            )
            self._known |= {reading.name: reading.settings for reading in result["readings"]}
            self.finished[result["key"]] = OK
        else:
            self.failed.append(result | {"number": int(number)})
        self.landed(result["key"])

    def _other_models(self, found: dict[Reading, float]) -> str:
        """Why these scores cannot stand beside the trial's; "" where they can."""
        for reading in found:
            before = self._known.get(reading.name, reading.settings)
            if before != reading.settings:
                differ = before.differences(reading.settings) if before and reading.settings else []
                return (
                    f"The score has other settings than the trial's, so the picture is left out: {'; '.join(differ)}."
                )
        return ""


def _locked(path: Path) -> IO[bytes]:
    """Holds the trial for this command; the system lets go of it however the command ends."""
    place = path.with_name(path.name + ".lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        file = open(place, "ab")  # noqa: SIM115 (open, and so locked, while it is in use)
    except OSError as error:
        raise EMoEError(f"The trial '{path}' cannot be written ({error.strerror}); name another --trial.") from error
    try:
        lock(file)
    except OSError as error:
        file.close()
        raise EMoEError(f"Another command is drawing into '{path}'; wait for it or name another --trial.") from error
    return file
