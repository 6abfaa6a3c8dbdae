"""The audit's own file: SQLite in WAL mode, one transaction per batch.

A process that dies leaves only whole batches, so a restart continues with the first missing row. Tables:

* `meta(key, value)`: JSON values; `plan` (what was asked), `about` (what the scores depend on), `result`.
* `prompts`: one row per prompt, keyed by its row in the prompt file, with the text, its other columns as JSON, the
  scores, and `error` where it could not be scored.
* `groups(id, "column", value)` and `members(group_id, row)`: which prompts belong to which group.
* `bad_rows(row, line, reason)`: rows of the prompt file that could not be read.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import EMoEError

STORE_SCHEMA = 1
SCORES = ("score", "stderr", "epistemic", "seed_variance", "response", "guidance", "p_value")
TEXT = ("tokens", "truncated", "unknown")
COLUMNS = ("row", "line", "id", "prompt", "columns", *SCORES, *TEXT, "words", "shared_english", "error")

_TABLES = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE prompts(row INTEGER PRIMARY KEY, line INTEGER NOT NULL, id TEXT NOT NULL, prompt TEXT NOT NULL,
    columns TEXT NOT NULL, {", ".join(f"{name} REAL" for name in SCORES)},
    tokens INTEGER, truncated INTEGER, unknown REAL, words INTEGER, shared_english REAL, error TEXT);
CREATE TABLE groups(id INTEGER PRIMARY KEY, "column" TEXT NOT NULL, value TEXT NOT NULL, UNIQUE("column", value));
CREATE TABLE members(group_id INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY(group_id, row)) WITHOUT ROWID;
CREATE TABLE bad_rows(row INTEGER PRIMARY KEY, line INTEGER NOT NULL, reason TEXT NOT NULL);
PRAGMA user_version = {STORE_SCHEMA};
"""


class Store:
    """One audit on disk."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db, self.path = connection, path
        self._groups: dict[tuple[str, str], int] = {}

    @classmethod
    def open(cls, path: str | Path, read_only: bool = False) -> "Store":
        """Opens the file, or makes a missing one unless `read_only` is on.

        Raises:
            EMoEError: it is missing, is no audit, has another version, or is in use by another audit.
        """
        path = Path(path)
        if read_only and not path.is_file():
            raise EMoEError(f"There is no audit at '{path}'; check the path.")
        try:
            db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro" if read_only else path, uri=read_only, timeout=10)
        except sqlite3.Error as error:
            raise EMoEError(f"The audit '{path}' cannot be opened ({error}); check that the folder exists.") from error
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if not read_only:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last batches, never the file
                if version == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                    db.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
                    version = STORE_SCHEMA
        except sqlite3.DatabaseError as error:
            db.close()
            raise EMoEError(f"'{path}' is no audit that can be read ({error}); choose another file.") from error
        if version != STORE_SCHEMA:
            db.close()
            raise EMoEError(f"'{path}' is no audit of this version of the node pack; choose another --out.")
        return cls(db, path)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- metadata -----------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Any:
        """A value of `meta`, or None."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def put(self, **values: Any) -> None:
        """Writes values of `meta` in one transaction."""
        with self._db:
            texts = [(key, json.dumps(value, ensure_ascii=False)) for key, value in values.items()]
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", texts)

    # --- writing ------------------------------------------------------------------------------------------------------

    def add_bad_rows(self, rows: Iterable[tuple[int, int, str]]) -> None:
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO bad_rows VALUES (?, ?, ?)", rows)

    def group_id(self, column: str, value: str) -> int:
        """The group's number, new if necessary; call it inside `add`'s transaction or before it."""
        key = (column, value)
        if key not in self._groups:
            self._db.execute('INSERT OR IGNORE INTO groups("column", value) VALUES (?, ?)', key)
            found = self._db.execute('SELECT id FROM groups WHERE "column" = ? AND value = ?', key).fetchone()
            self._groups[key] = int(found[0])
        return self._groups[key]

    def declare(self, groups: Iterable[tuple[str, str]]) -> None:
        """Adds groups before their prompts come, so that empty ones are seen."""
        with self._db:
            for column, value in groups:
                self.group_id(column, value)

    def add(self, rows: Sequence[Mapping[str, Any]], members: Sequence[tuple[str, str, int]]) -> None:
        """Writes one batch in one transaction: rows by the names of `COLUMNS`, and (group column, value, row)."""
        marks = ", ".join(f":{name}" for name in COLUMNS)
        try:
            with self._db:
                self._db.executemany(f"INSERT INTO prompts({', '.join(COLUMNS)}) VALUES ({marks})", rows)
                numbered = [(self.group_id(column, value), row) for column, value, row in members]
                self._db.executemany("INSERT INTO members VALUES (?, ?)", numbered)
        except sqlite3.IntegrityError as error:
            self._groups.clear()
            raise EMoEError(
                f"Another process writes into the audit '{self.path}' at the same time; let one of the two end."
            ) from error
        except sqlite3.OperationalError as error:
            self._groups.clear()
            raise EMoEError(
                f"The audit '{self.path}' cannot be written ({error}); make room and start again."
            ) from error

    def forget_errors(self) -> int:
        """Drops the rows that could not be scored, so that they are tried again; returns their number."""
        with self._db:
            self._db.execute("DELETE FROM members WHERE row IN (SELECT row FROM prompts WHERE error IS NOT NULL)")
            return self._db.execute("DELETE FROM prompts WHERE error IS NOT NULL").rowcount

    # --- reading ------------------------------------------------------------------------------------------------------

    def done(self) -> int:
        """How many prompts are stored, scored or failed."""
        return int(self._db.execute("SELECT COUNT(*) FROM prompts").fetchone()[0])

    def failed(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM prompts WHERE error IS NOT NULL").fetchone()[0])

    def rows_between(self, first: int, last: int) -> set[int]:
        """Numbers of the stored rows, from `first` to `last` inclusive."""
        found = self._db.execute("SELECT row FROM prompts WHERE row BETWEEN ? AND ?", (first, last))
        return {int(row) for (row,) in found}

    def groups(self) -> list[tuple[int, str, str]]:
        """(number, column, value) of every group, in the order in which they came."""
        return list(self._db.execute('SELECT id, "column", value FROM groups ORDER BY id'))

    def query(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of a SELECT, one by one."""
        yield from self._db.execute(sql, values)

    def prompts(self) -> Iterator[dict[str, Any]]:
        """Every prompt as a dictionary with the names of `COLUMNS`, in the file's order."""
        for values in self._db.execute(f"SELECT {', '.join(COLUMNS)} FROM prompts ORDER BY row"):
            entry = dict(zip(COLUMNS, values, strict=True))
            with suppress(ValueError):
                entry["columns"] = json.loads(entry["columns"])
            yield entry

    def bad_rows(self, most: int = -1) -> list[tuple[int, int, str]]:
        """(row, line, reason), the first `most`."""
        return list(self._db.execute("SELECT row, line, reason FROM bad_rows ORDER BY row LIMIT ?", (most,)))
