"""The ledger's file: one row per verdict, written by any number of processes at once.

SQLite in WAL mode: readers and one writer do not wait for each other, and writers take turns (https://sqlite.org/wal.html).
Every call opens and closes the file, so nothing is held between two verdicts. Where WAL is not available, SQLite keeps
its rollback journal, which is slower. Neither is for network shares, whose locks are unreliable.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EMoEError

LEDGER_SCHEMA = 1
APPLICATION_ID = 0x454D6F45  # "EMoE": marks ledgers among SQLite files
PATIENCE = 5.0  # seconds to wait for a locked file

_TABLES = (
    "CREATE TABLE settings (fingerprint TEXT PRIMARY KEY, body TEXT NOT NULL, experts TEXT NOT NULL)",
    "CREATE TABLE calibrations (digest TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE runs (prompt_id TEXT PRIMARY KEY, seconds REAL NOT NULL, status TEXT NOT NULL, source TEXT NOT NULL)",
    """CREATE TABLE verdicts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, pack TEXT NOT NULL,
        prompt_id TEXT, node_id TEXT, list_index INTEGER,
        prompt TEXT NOT NULL, "group" TEXT,
        fingerprint TEXT NOT NULL REFERENCES settings (fingerprint),
        calibration TEXT REFERENCES calibrations (digest),
        mode TEXT NOT NULL, policy TEXT NOT NULL, alpha REAL, delta REAL, threshold REAL,
        verdict TEXT NOT NULL, passed INTEGER NOT NULL,
        score REAL NOT NULL, p_value REAL, percentile REAL, reason TEXT NOT NULL, items TEXT NOT NULL,
        quality TEXT CHECK (quality IN ('good', 'bad')))""",
    "CREATE INDEX verdicts_by_fingerprint ON verdicts (fingerprint, id)",
    "CREATE INDEX verdicts_by_prompt_id ON verdicts (prompt_id)",
)


class LedgerError(EMoEError):
    """The ledger cannot be read or written now; the message says why and what to do."""


class LedgerFile:
    """Where a ledger is, and how it is opened."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path, self._patience = path, patience

    @contextlib.contextmanager
    def open(self, *, write: bool = False, create: bool | None = None) -> Iterator[sqlite3.Connection]:
        """The database while the block runs.

        Args:
            create: make a missing file; as `write` when None.

        Raises:
            LedgerError: the file is missing, is no ledger of this version, or cannot be read or written.
        """
        create = write if create is None else create
        try:
            if not create and not self.path.is_file():
                raise LedgerError(
                    f"There is no ledger at '{self.path}'; switch on the Gate's input ledger and run a prompt, or name the "
                    "file with --db."
                )
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rwc" if create else "rw" if write else "ro"
            if not write and not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists():
                mode += "&immutable=1"  # nobody writes here, and SQLite cannot make its own files beside it
            place = f"{self.path.absolute().as_uri()}?mode={mode}"
            with contextlib.closing(
                sqlite3.connect(place, timeout=self._patience, isolation_level=None, uri=True)
            ) as database:
                self._prepare(database, create)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(
                f"The ledger '{self.path}' cannot be {'written' if write else 'read'}: {error}."
            ) from error

    def _prepare(self, database: sqlite3.Connection, create: bool) -> None:
        if create and not one(database, "PRAGMA application_id"):
            self._switch_to_wal(database)
            with transaction(database):  # when several processes come first together, one makes the tables
                if not one(database, "SELECT count(*) FROM sqlite_master"):
                    for statement in _TABLES:
                        database.execute(statement)
                    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    database.execute(f"PRAGMA user_version = {LEDGER_SCHEMA}")
        if one(database, "PRAGMA application_id") != APPLICATION_ID:
            raise LedgerError(f"'{self.path}' is not an EMoE ledger; name another file.")
        version = one(database, "PRAGMA user_version")
        if version != LEDGER_SCHEMA:
            raise LedgerError(
                f"'{self.path}' is a ledger of version {version}, and this node pack knows version {LEDGER_SCHEMA}; update "
                "the node pack, or move the file away to begin a new one."
            )
        database.execute("PRAGMA synchronous = NORMAL")

    def _switch_to_wal(self, database: sqlite3.Connection) -> None:
        """Sets WAL mode, which stays with the file. SQLite would not wait for its lock here."""
        deadline = time.monotonic() + self._patience
        while one(database, "PRAGMA journal_mode") != "wal":
            try:
                database.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; it takes the writer's lock at once, so that waiting for it can be patient."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def one(database: sqlite3.Connection, query: str) -> Any:
    """The first value of a query's first row."""
    return database.execute(query).fetchone()[0]
