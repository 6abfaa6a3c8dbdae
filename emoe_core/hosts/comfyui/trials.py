"""Trials in ComfyUI's user directory, and pictures that a graph adds to them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import folder_paths

from ...batch.journal import row_key
from ...errors import EMoEError
from ...prompts import PromptRow
from ...records.report import Report
from ...trial.readings import readings
from ...trial.store import Drawn, Trial
from .scoring.progress import show_text
from .user_files import named_file


def folder() -> Path:
    """The trials' folder: `emoe/trials` in ComfyUI's user directory."""
    return Path(folder_paths.get_user_directory()) / "emoe" / "trials"


def names() -> list[str]:
    """Names of the trials, sorted."""
    return sorted(path.stem for path in folder().glob("*.sqlite3"))


def trial(name: str) -> Trial:
    """The trial of a name, which need not be there yet; an `EMoEError` for a name that is no plain file name."""
    return Trial(named_file(folder(), name, ".sqlite3", "trial"))


@dataclass(frozen=True)
class Told:
    """How far a trial is."""

    trial: str
    prompts: int
    pictures: int

    def line(self) -> str:
        """One line for a person."""
        return f"the trial '{self.trial}' has {self.pictures} pictures of {self.prompts} prompts"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


class Keeper:
    """Adds pictures to a trial. All that can be wrong is found when it is made, so that nothing is saved for it in vain."""

    def __init__(self, name: str, reports: Sequence[Report]) -> None:
        """
        Args:
            reports: one per picture.

        Raises:
            EMoEError: no plain name, a report of a batch or without its prompt's text, other experts than the trial's.
        """
        self._name, self._reports, self._trial = name, reports, trial(name)
        self._read = [readings(report.as_dict()) for report in reports]
        if not all(report.prompt.strip() for report in reports):
            raise EMoEError(
                "Keep for Trial cannot know the prompt's text from this report; encode the prompt with Encode for Experts."
            )
        for report in reports:
            self._trial.begin({"experts": list(report.experts)})
        self._trial.check(dict.fromkeys(reading for found in self._read for reading in found))

    def keep(self, saved: Sequence[Mapping[str, str]], workflow: Mapping[str, Any] | None) -> Told:
        """Adds the pictures, each as the next one of its prompt.

        Args:
            saved: where each picture is, as ComfyUI tells it: filename, subfolder, type.
            workflow: the graph that drew them.
        """
        count = self._trial.keys()
        for report, found, place in zip(self._reports, self._read, saved, strict=True):
            key = row_key(PromptRow(0, 0, report.prompt))
            number = count.setdefault(key, 0)
            drawn = Drawn(number, "", place["filename"], place["subfolder"], str(place["type"]))
            self._trial.add(key, len(count), report.prompt, {}, found, [drawn])
            count[key] += 1
        self._trial.note({"pictures": max(count.values()), **({} if workflow is None else {"workflow": workflow})})
        told = Told(self._name, sum(map(bool, count.values())), sum(count.values()))
        show_text(told.line())
        return told
