"""A built-in set written as a file that every command reads."""

import csv
import json
from pathlib import Path

from ...errors import EMoEError
from ...io.files import explained, replacing
from .choice import Choice

KINDS = (".csv", ".tsv", ".jsonl", ".txt")


def write(choice: Choice, path: str | Path) -> Path:
    """Writes the rows; the same choice gives the same bytes. A .txt holds only the prompts.

    Raises:
        EMoEError: this kind of file cannot be written, or not there.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise EMoEError(f"'{path}' is of a kind that is not written; use one of {', '.join(KINDS)}.")
    with explained(f"The prompts cannot be written to '{path}'", "choose another file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Spreadsheets read UTF-8 only with the mark.
        encoding = "utf-8-sig" if kind == ".csv" else "utf-8"
        with replacing(path) as part, part.open("w", encoding=encoding, newline="") as file:
            if kind in (".csv", ".tsv"):
                table = csv.DictWriter(file, choice.columns(), delimiter="," if kind == ".csv" else "\t")
                table.writeheader()
                table.writerows(choice.rows())
            else:
                for row in choice.rows():
                    file.write((row["prompt"] if kind == ".txt" else json.dumps(row, ensure_ascii=False)) + "\n")
    return path
