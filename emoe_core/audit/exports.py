"""The scores as a table: CSV, JSON lines or Parquet, written row by row."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.files import explained, replacing
from ..io.spreadsheet import write_csv
from .store import COLUMNS, Store

KINDS = ("csv", "jsonl", "parquet")
_PLAIN = tuple(name for name in COLUMNS if name != "columns")
_BATCH = 4096
_TEXT = ("id", "prompt", "error")
_WHOLE = ("row", "line", "tokens", "truncated", "words")


def export(store: Store, path: str | Path) -> Path:
    """Writes every prompt with its scores; the ending of `path` gives the format. The file is complete or absent.

    Raises:
        EMoEError: the ending is unknown, pyarrow is missing for .parquet, or the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise EMoEError(f"'{path}' has an ending that is not written; use one of {', '.join('.' + k for k in KINDS)}.")
    with explained(f"'{path}' cannot be written", "make room or choose another folder"), replacing(path) as part:
        {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[kind](store, part)
    return path


def _names(store: Store) -> list[str]:
    """The prompt file's own columns; a name that the audit uses too gets `file_` in front."""
    plan = store.get("plan") or {}
    return [name for name in plan.get("columns", []) if name != plan.get("id_column")]


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    own = [(name, _own(name)) for name in _names(store)]
    for entry in store.prompts():
        columns = entry.pop("columns")
        yield {**entry, **{target: columns.get(name) for name, target in own}}


def _own(name: str) -> str:
    return f"file_{name}" if name in COLUMNS else name


def _header(store: Store) -> list[str]:
    return [*_PLAIN, *(_own(name) for name in _names(store))]


def _csv(store: Store, path: Path) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # the mark makes spreadsheets read UTF-8
        write_csv(file, _header(store), _rows(store))


def _jsonl(store: Store, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in _rows(store):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _parquet(store: Store, path: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise EMoEError("Parquet files need pyarrow, which is not installed; install it or export .csv.") from error
    kinds = {**dict.fromkeys(_PLAIN, pa.float64()), **dict.fromkeys(_TEXT, pa.string())}
    kinds |= dict.fromkeys(_WHOLE, pa.int64())
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in _header(store)])
    with parquet.ParquetWriter(path, schema) as writer:
        chunk: list[dict[str, Any]] = []
        for row in _rows(store):
            chunk.append(row)
            if len(chunk) == _BATCH:
                writer.write_table(pa.Table.from_pylist(chunk, schema))
                chunk = []
        writer.write_table(pa.Table.from_pylist(chunk, schema))
