"""Scores that are written down one by one while a long run goes on, so that its end loses none of them."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from .json_text import parse


@dataclass(frozen=True)
class KeptScores:
    """A file with a line of JSON per prompt; its folder is made with the first of them."""

    path: Path

    def read(self) -> dict[str, float]:
        """Scores by prompt; a line cut short by the death of its writer is left out."""
        found: dict[str, float] = {}
        if self.path.exists():
            # Bytes, since a line may be cut inside a character, and a prompt may hold what a text's lines end at (U+2028).
            for line in self.path.read_bytes().split(b"\n"):
                try:
                    entry = parse(line)
                    found[str(entry["prompt"])] = float(entry["score"])
                except (ValueError, KeyError, TypeError, OverflowError):
                    continue
        return found

    def add(self, prompt: str, score: float) -> None:
        """Writes one down; a file that cannot take its first line is not left behind."""
        entry = json.dumps({"prompt": prompt, "score": score}, ensure_ascii=False) + "\n"
        there = self.path.exists()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Lone surrogates as JSON has them.
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(("\n" if self._is_cut_short() else "") + entry)
        except OSError:
            if not there:  # never what was not made here
                with contextlib.suppress(OSError):
                    self.path.unlink()
            raise

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _is_cut_short(self) -> bool:
        with self.path.open("rb") as file:
            end = file.seek(0, 2)
            if end == 0:
                return False
            file.seek(end - 1)
            return file.read(1) != b"\n"
