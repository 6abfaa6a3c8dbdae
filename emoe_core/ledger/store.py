"""The ledger's file: one row a verdict, written by any number of processes at once.

SQLite in WAL mode: readers and one writer do not wait for each other, and writers take turns (https://sqlite.org/wal.html).
Every call opens the file and closes it again, so nothing is held between two verdicts. A file system that cannot do WAL
(some network shares) falls back to SQLite's rollback journal, which is as safe and only slower.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..calibration import Calibration
from ..errors import EMoEError
from ..gate import Verdict
from ..report import Settings

LEDGER_SCHEMA = 1
APPLICATION_ID = 0x454D6F45  # "EMoE": tells our files from other SQLite files
PATIENCE = 5.0  # seconds that a locked file is waited for
GOOD, BAD = "good", "bad"

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


@dataclass(frozen=True)
class Place:
    """Where in ComfyUI a verdict was made, as far as that is known."""

    prompt_id: str | None = None
    node_id: str | None = None
    list_index: int | None = None


@dataclass(frozen=True)
class Row:
    """A verdict as it was kept.

    Attributes:
        time: when, in seconds since 1970 (UTC).
        calibration: digest of the calibration that gave the p-value, None without one.
        items: verdict, score, p-value and percentile of each batch item; `score` is the highest of them.
        quality: 'good' or 'bad' where a person marked it.
        seconds, run_status: of the whole run in ComfyUI, None until `ledger sync` has learned them.
    """

    id: int
    time: float
    pack: str
    prompt_id: str | None
    node_id: str | None
    list_index: int | None
    prompt: str
    group: str | None
    fingerprint: str
    calibration: str | None
    mode: str
    policy: str
    alpha: float | None
    delta: float | None
    threshold: float | None
    verdict: str
    passed: bool
    score: float
    p_value: float | None
    percentile: float | None
    reason: str
    items: list[dict[str, Any]]
    quality: str | None
    seconds: float | None
    run_status: str | None


class Ledger:
    """A ledger file. Made by the first verdict; reading one that is not there is an error."""

    def __init__(self, path: str | Path, patience: float = PATIENCE) -> None:
        self.path = Path(path)
        self._patience = patience

    # --- writing ------------------------------------------------------------------------------------------------------

    def add(self, verdict: Verdict, calibration: Calibration | None = None, place: Place | None = None) -> int:
        """Keep a verdict; its row's id.

        Args:
            calibration: the one that gave the p-value. It is kept too, so that drift can be measured against it later.

        Raises:
            LedgerError: the file is locked for longer than the patience, read-only, full, or no ledger of this version.
        """
        place, settings, kept = place or Place(), verdict.report.settings, verdict.as_dict()
        digest, body = None, ""
        if calibration is not None:
            whole = calibration.as_dict()
            digest, body = str(whole["digest"]), json.dumps(whole, ensure_ascii=False)
        row = {
            "time": time.time(),
            "pack": __version__,
            **asdict(place),
            "prompt": verdict.report.prompt,
            "group": kept.get("group") or None,
            "fingerprint": settings.fingerprint(),
            "calibration": digest,
            **{name: kept[name] for name in ("mode", "policy", "alpha", "threshold", "verdict", "passed", "score")},
            **{name: kept.get(name) for name in ("p_value", "percentile", "reason", "delta")},
            "items": json.dumps(kept["items"]),
        }
        names = ", ".join(f'"{name}"' for name in row)
        with self._open(write=True) as database, _transaction(database):
            database.execute(
                "INSERT OR IGNORE INTO settings VALUES (?, ?, ?)",
                (row["fingerprint"], json.dumps(asdict(settings)), json.dumps(verdict.report.experts)),
            )
            if digest is not None:
                database.execute("INSERT OR IGNORE INTO calibrations VALUES (?, ?)", (digest, body))
            marks = ", ".join("?" * len(row))
            cursor = database.execute(f"INSERT INTO verdicts ({names}) VALUES ({marks})", tuple(row.values()))
            return int(cursor.lastrowid or 0)

    def mark(self, ids: Sequence[int], quality: str | None) -> None:
        """Say of rows whether their images are good or bad; None takes a mark away.

        Raises:
            LedgerError: one of the ids is in no row; nothing is marked then.
        """
        with self._open(write=True, create=False) as database, _transaction(database):
            for number in ids:
                done = database.execute("UPDATE verdicts SET quality = ? WHERE id = ?", (quality, number))
                if done.rowcount != 1:
                    raise LedgerError(f"There is no verdict {number} in '{self.path}'; `ledger export` lists the ids.")

    def add_runs(self, runs: Iterable[tuple[str, float, str]], source: str) -> int:
        """Keep how long runs took: prompt id, seconds, and status. Those without a verdict here are left out.

        Returns:
            How many were kept.
        """
        with self._open(write=True, create=False) as database, _transaction(database):
            before = database.total_changes
            database.executemany(
                "INSERT OR REPLACE INTO runs SELECT ?1, ?2, ?3, ?4 WHERE EXISTS "
                "(SELECT 1 FROM verdicts WHERE prompt_id = ?1)",
                ((prompt_id, seconds, status, source) for prompt_id, seconds, status in runs),
            )
            return database.total_changes - before

    # --- reading ------------------------------------------------------------------------------------------------------

    def rows(self, fingerprint: str | None = None) -> list[Row]:
        """All verdicts, or those of one fingerprint, oldest first."""
        where = "" if fingerprint is None else "WHERE fingerprint = ?"
        with self._open() as database:
            database.row_factory = sqlite3.Row
            found = database.execute(
                "SELECT verdicts.*, runs.seconds, runs.status AS run_status FROM verdicts LEFT JOIN runs USING (prompt_id) "
                f"{where} ORDER BY id",
                () if fingerprint is None else (fingerprint,),
            ).fetchall()
        return [Row(**{**dict(row), "passed": bool(row["passed"]), "items": json.loads(row["items"])}) for row in found]

    def without_seconds(self, limit: int) -> list[str]:
        """Prompt ids of which nobody knows yet how long their runs took, newest first."""
        query = (
            "SELECT prompt_id FROM verdicts WHERE prompt_id IS NOT NULL AND prompt_id NOT IN (SELECT prompt_id FROM runs) "
            "GROUP BY prompt_id ORDER BY max(id) DESC LIMIT ?"
        )
        with self._open() as database:
            return [str(prompt_id) for (prompt_id,) in database.execute(query, (limit,))]

    def settings(self) -> dict[str, tuple[Settings, tuple[str, ...]]]:
        """Settings and the experts' names, by fingerprint."""
        with self._open() as database:
            found = database.execute("SELECT fingerprint, body, experts FROM settings").fetchall()
        return {
            fingerprint: (Settings.from_dict(json.loads(body)), tuple(json.loads(experts)))
            for fingerprint, body, experts in found
        }

    def calibration(self, digest: str) -> Calibration:
        """A calibration that verdicts of this ledger were made with."""
        with self._open() as database:
            found = database.execute("SELECT body FROM calibrations WHERE digest = ?", (digest,)).fetchone()
        if found is None:
            raise LedgerError(f"'{self.path}' has no calibration {digest[:16]}.")
        return Calibration.from_dict(json.loads(found[0]), f"the ledger's calibration {digest[:16]}")

    # --- the file -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _open(self, *, write: bool = False, create: bool | None = None) -> Iterator[sqlite3.Connection]:
        create = write if create is None else create
        if not create and not self.path.is_file():
            raise LedgerError(
                f"There is no ledger at '{self.path}'; switch on the Gate's input ledger and run a prompt, or name the "
                "file with --db."
            )
        try:
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rwc" if create else "rw" if write else "ro"
            if not write and not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists():
                mode += "&immutable=1"  # nobody writes here, and SQLite's own files beside it cannot be made
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
        if create and not _one(database, "PRAGMA application_id"):
            self._switch_to_wal(database)
            with _transaction(database):  # of several processes that come first together, one makes the tables
                if not _one(database, "SELECT count(*) FROM sqlite_master"):
                    for statement in _TABLES:
                        database.execute(statement)
                    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    database.execute(f"PRAGMA user_version = {LEDGER_SCHEMA}")
        if _one(database, "PRAGMA application_id") != APPLICATION_ID:
            raise LedgerError(f"'{self.path}' is not an EMoE ledger; name another file.")
        version = _one(database, "PRAGMA user_version")
        if version != LEDGER_SCHEMA:
            raise LedgerError(
                f"'{self.path}' is a ledger of version {version}, and this node pack knows version {LEDGER_SCHEMA}; update "
                "the node pack, or move the file away to begin a new one."
            )
        database.execute("PRAGMA synchronous = NORMAL")

    def _switch_to_wal(self, database: sqlite3.Connection) -> None:
        """Lasts with the file. SQLite does not wait for its lock here, so we do."""
        deadline = time.monotonic() + self._patience
        while _one(database, "PRAGMA journal_mode") != "wal":
            try:
                database.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; the writer's lock is taken at once, so that waiting for it can be patient."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _one(database: sqlite3.Connection, query: str) -> Any:
    return database.execute(query).fetchone()[0]


def finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None
