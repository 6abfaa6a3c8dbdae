"""SQLite files of the pack's own: opened for one call, made with their tables, and told apart from other SQLite files."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EMoEError

PATIENCE = 5.0  # seconds to wait for a locked file


@dataclass(frozen=True)
class Kind:
    """What a file of this kind holds, and how it is spoken of.

    Attributes:
        name: with its article, such as "a ledger".
        application_id: marks the kind among SQLite files (https://sqlite.org/pragma.html#pragma_application_id).
        version: of the tables.
        tables: the statements that make them.
        missing: what to do where there is no such file.
        error: raised for everything that goes wrong.
    """

    name: str
    application_id: int
    version: int
    tables: tuple[str, ...]
    missing: str
    error: type[EMoEError]

    @property
    def noun(self) -> str:
        """The name without its article."""
        return self.name.partition(" ")[2]


class Database:
    """Where a file is, and how it is opened: any number of processes write into it at once.

    SQLite in WAL mode: readers and one writer do not wait for each other, and writers take turns (https://sqlite.org/wal.html).
    Every call opens and closes the file, so nothing is held between two calls. Where WAL is not available, SQLite keeps
    its rollback journal, which is slower. Neither is for network shares, whose locks are unreliable.
    """

    def __init__(self, kind: Kind, path: Path, patience: float = PATIENCE) -> None:
        self.path, self._kind, self._patience = path, kind, patience

    @contextlib.contextmanager
    def open(self, *, write: bool = False, create: bool | None = None) -> Iterator[sqlite3.Connection]:
        """The database while the block runs.

        Args:
            create: make a missing file; as `write` when None.

        Raises:
            EMoEError: of the kind's own type: the file is missing, is of another kind or version, or cannot be read or
                written.
        """
        create = write if create is None else create
        try:
            if not create and not self.path.is_file():
                raise self._missing()
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
            raise self._kind.error(
                f"The {self._kind.noun} '{self.path}' cannot be {'written' if write else 'read'}: {error}."
            ) from error

    def _prepare(self, database: sqlite3.Connection, create: bool) -> None:
        kind = self._kind
        if create and not one(database, "PRAGMA application_id"):
            self._switch_to_wal(database)
            with transaction(database):  # when several processes come first together, one makes the tables
                if not one(database, "SELECT count(*) FROM sqlite_master"):
                    for statement in kind.tables:
                        database.execute(statement)
                    database.execute(f"PRAGMA application_id = {kind.application_id}")
                    database.execute(f"PRAGMA user_version = {kind.version}")
        found = one(database, "PRAGMA application_id")
        if not found and not one(database, "SELECT count(*) FROM sqlite_master"):  # it is just being made
            raise self._missing()
        if found != kind.application_id:
            raise kind.error(f"'{self.path}' is not an EMoE {kind.noun}; name another file.")
        version = one(database, "PRAGMA user_version")
        if version != kind.version:
            raise kind.error(
                f"'{self.path}' is {kind.name} of version {version}, and this node pack knows version {kind.version}; update "
                "the node pack, or move the file away to begin a new one."
            )
        database.execute("PRAGMA synchronous = NORMAL")

    def _missing(self) -> EMoEError:
        return self._kind.error(f"There is no {self._kind.noun} at '{self.path}'; {self._kind.missing}.")

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


def one(database: sqlite3.Connection, query: str, values: tuple[Any, ...] = ()) -> Any:
    """The first value of a query's first row."""
    return database.execute(query, values).fetchone()[0]


def storable(value: Any) -> Any:
    """A text without lone surrogates, which JSON prompts may hold and SQLite refuses; other values unchanged."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
