"""The prompts of the Audit node: a file of ComfyUI's input folder, a built-in set, or the text in its box."""

import os
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from ...audit.engine import fingerprint
from ...errors import EMoEError
from ...prompts import ALIASES, KINDS, check_text
from ...prompts.sets import REGIONS, SETS, Choice, write
from .input_files import input_file, state

NO_FILE = "none"
_FILE = "Uncertainty Audit's file"
BUILT_IN = {f"built-in set: {name}": name for name in SETS}


def choices() -> list[str]:
    """The node's choices; the files of ComfyUI's input folder come last."""
    base = Path(folder_paths.get_input_directory())
    found = []
    for folder, _, files in os.walk(base):
        found += [(Path(folder) / name).relative_to(base).as_posix() for name in files if name.lower().endswith(KINDS)]
    return [NO_FILE, *BUILT_IN, *sorted(found)]


def prompt_file(name: str) -> Path:
    """Full path of a file from `choices`; an `EMoEError` when it is missing or outside of the folder."""
    return input_file(name, _FILE)


def names(text: str) -> tuple[str, ...]:
    """The parts between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class Prompts:
    """The node's inputs for its prompts.

    Attributes:
        file: one of `choices`.
        text: with NO_FILE: one prompt per line, or a table whose first line names its columns.
        languages: of a built-in set, separated by commas; "" as in `Choice`.
        part: of a built-in set: topics, territories or areas, and a number of things, separated by commas.
    """

    file: str
    text: str = ""
    languages: str = ""
    part: str = ""

    def check(self) -> None:
        """An `EMoEError` for a missing file, or for a part that a set does not have."""
        if not isinstance(self.file, str):
            input_file(self.file, _FILE)
        elif self.file in BUILT_IN:
            self._choice()
        elif self.languages.strip() or self.part.strip():
            raise EMoEError(
                f"Uncertainty Audit's languages and part choose of a built-in prompt set, and file is "
                f"'{self.file}'; empty both, or choose "
                "a built-in set."
            )
        elif self.file != NO_FILE:
            prompt_file(self.file)

    def state(self) -> str:
        """Changes when the prompts change in a way that the inputs do not show."""
        if isinstance(self.file, str) and (self.file == NO_FILE or self.file in BUILT_IN):
            return ""
        return state(self.file, _FILE)

    def path(self, folder: Path) -> Path:
        """The prompts as a file; prompts that are no file yet are written into `folder`."""
        self.check()
        if self.file in BUILT_IN:
            choice = self._choice()
            digest = fingerprint({"set": repr(choice), "source": choice.source})
            return write(choice, folder / f"{choice.name}-{digest[:8]}.csv")
        return prompt_file(self.file) if self.file != NO_FILE else _written(folder, self.text)

    def _choice(self) -> Choice:
        name, words = BUILT_IN[self.file], names(self.part)
        numbers = [int(word[:9]) for word in words if word.isdecimal()]  # more digits say all
        topics = [word for word in words if word.lower() in Choice(name).all_topics()]
        others = [word for word in words if not word.isdecimal() and word not in topics]
        if others and name != REGIONS:
            topics, others = topics + others, []  # the error then names the unknown part and the known ones
        return Choice(name, names(self.languages), tuple(topics), tuple(others), max(numbers, default=0))


def _written(folder: Path, text: str) -> Path:
    """The text box as a prompt file; a table if its first line names a prompt column among others."""
    check_text(text, "Uncertainty Audit's prompts")
    if not text.strip():
        raise EMoEError("Uncertainty Audit has no prompts; choose a file, or write prompts into the box, one per line.")
    first = text.strip().splitlines()[0]
    cells = [cell.strip().lower() for mark in ",;\t" for cell in first.split(mark) if mark in first]
    kind = ".csv" if any(cell in ALIASES for cell in cells) else ".txt"
    content = (text.strip() + "\n").encode()
    path = folder / f"{fingerprint({'text': content.decode()})}{kind}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
