"""The ledger: one row per verdict, with its settings, its calibration, its mark, and the seconds of its run."""

import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import EMoEError
from ..gating.gate import Verdict
from ..io.database import PATIENCE, Database, Kind, one, storable, transaction
from ..records.calibration import Calibration
from ..records.settings import Settings

LEDGER_SCHEMA = 1
APPLICATION_ID = 0x454D6F45  # "EMoE": marks ledgers among SQLite files

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
#: Made when they are first written, since ledgers of this version may lack them; packs that do not know them ignore them.
_PICTURES = """CREATE TABLE IF NOT EXISTS pictures (
    verdict INTEGER NOT NULL REFERENCES verdicts (id), number INTEGER NOT NULL, server TEXT NOT NULL,
    filename TEXT NOT NULL, subfolder TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (verdict, number)) WITHOUT ROWID"""
_TOKENS = "CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, verdict INTEGER NOT NULL) WITHOUT ROWID"


class LedgerError(EMoEError):
    """The ledger cannot be read or written now; the message says why and what to do."""


class UnknownVerdict(LedgerError):
    """A mark is for a verdict that the ledger does not have."""


_KIND = Kind(
    "a ledger",
    APPLICATION_ID,
    LEDGER_SCHEMA,
    _TABLES,
    "switch on the Gate's input ledger and run a prompt, or name the file with --db",
    LedgerError,
)

GOOD, BAD = "good", "bad"


@dataclass(frozen=True)
class Place:
    """Where in ComfyUI a verdict was made, as far as that is known."""

    prompt_id: str | None = None
    node_id: str | None = None
    list_index: int | None = None


@dataclass(frozen=True)
class Saved:
    """A picture that a run saved.

    Attributes:
        server: the address that drew it, "" for the ComfyUI that holds the file which names it.
        filename, subfolder, type: where ComfyUI's /view finds it there.
    """

    server: str
    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True)
class LedgerRow:
    """A stored verdict.

    Attributes:
        time: when, in seconds since 1970 (UTC).
        calibration: digest of the calibration that gave the p-value, None without one.
        items: verdict, score, p-value and percentile of each batch item; `score` is the highest of them.
        quality: 'good' or 'bad' if a person marked it.
        seconds, run_status: of the whole run in ComfyUI, None until `ledger sync` has read them.
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
    """A ledger. The first verdict makes its file; reading a missing one is an error."""

    def __init__(self, path: str | Path, patience: float = PATIENCE) -> None:
        self.path = Path(path)
        self._file = Database(_KIND, self.path, patience)

    # --- writing ------------------------------------------------------------------------------------------------------

    def add(self, verdict: Verdict, place: Place | None = None) -> int:
        """Stores a verdict, and its calibration for later tests of drift; returns the row's id.

        Raises:
            LedgerError: the file is locked for longer than the patience, read-only, full, or no ledger of this version.
        """
        place, settings, kept = place or Place(), verdict.report.settings, verdict.as_dict()
        digest, body = None, ""
        if verdict.calibration is not None:
            whole = verdict.calibration.as_dict()
            digest, body = str(whole["digest"]), storable(json.dumps(whole, ensure_ascii=False))
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
        row = {name: storable(value) for name, value in row.items()}
        names = ", ".join(f'"{name}"' for name in row)
        with self._file.open(write=True) as database, transaction(database):
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
        """Marks rows whose images are good or bad; None removes a mark.

        Raises:
            UnknownVerdict: one of the ids does not exist; then nothing is marked.
        """
        with self._file.open(write=True, create=False) as database, transaction(database):
            for number in ids:
                self._mark(database, number, quality)

    def mark_once(self, number: int, quality: str | None, token: str) -> None:
        """As `mark` for one row, where `token` names this act of marking: the same token again changes nothing.

        Raises:
            UnknownVerdict: there is no such row.
            LedgerError: the token was used for another row.
        """
        with self._file.open(write=True, create=False) as database, transaction(database):
            database.execute(_TOKENS)
            found = database.execute("SELECT verdict FROM tokens WHERE token = ?", (token,)).fetchone()
            if found is not None and found[0] != number:
                raise LedgerError("This mark was made of another picture; load the page again.")
            if found is None:
                self._mark(database, number, quality)
                database.execute("INSERT INTO tokens VALUES (?, ?)", (token, number))

    def _mark(self, database: sqlite3.Connection, number: int, quality: str | None) -> None:
        done = database.execute("UPDATE verdicts SET quality = ? WHERE id = ?", (quality, number))
        if done.rowcount != 1:
            raise UnknownVerdict(f"There is no verdict {number} in '{self.path}'; `ledger export` lists the ids.")

    def add_pictures(self, runs: Iterable[tuple[str, Sequence[Saved]]]) -> int:
        """Stores the pictures that runs saved with the verdicts that they are of; pictures that are there stay.

        Returns:
            How many were stored. Where nothing tells which picture is of which verdict, none is.
        """
        with self._file.open(write=True, create=False) as database, transaction(database):
            database.execute(_PICTURES)
            before = database.total_changes
            for prompt_id, pictures in runs:
                verdicts = database.execute(
                    "SELECT id, node_id FROM verdicts WHERE prompt_id = ? AND passed ORDER BY list_index, id",
                    (prompt_id,),
                ).fetchall()
                database.executemany(
                    "INSERT OR IGNORE INTO pictures VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        (verdict, number, *map(storable, astuple(picture)))
                        for verdict, own in _shared(verdicts, pictures)
                        for number, picture in enumerate(own)
                    ),
                )
            return database.total_changes - before

    def add_runs(self, runs: Iterable[tuple[str, float, str]], source: str) -> int:
        """Stores how long runs took: prompt id, seconds, and status. Runs without a verdict here are left out.

        Returns:
            How many were stored.
        """
        with self._file.open(write=True, create=False) as database, transaction(database):
            before = database.total_changes
            database.executemany(
                "INSERT OR REPLACE INTO runs SELECT ?1, ?2, ?3, ?4 WHERE EXISTS "
                "(SELECT 1 FROM verdicts WHERE prompt_id = ?1)",
                ((prompt_id, seconds, status, source) for prompt_id, seconds, status in runs),
            )
            return database.total_changes - before

    # --- reading ------------------------------------------------------------------------------------------------------

    def rows(self, fingerprint: str | None = None) -> list[LedgerRow]:
        """All verdicts, or those of one fingerprint, oldest first."""
        where = "" if fingerprint is None else "WHERE fingerprint = ?"
        with self._file.open() as database:
            database.row_factory = sqlite3.Row
            found = database.execute(
                "SELECT verdicts.*, runs.seconds, runs.status AS run_status FROM verdicts LEFT JOIN runs USING (prompt_id) "
                f"{where} ORDER BY id",
                () if fingerprint is None else (fingerprint,),
            ).fetchall()
        return [
            LedgerRow(**{**dict(row), "passed": bool(row["passed"]), "items": json.loads(row["items"])})
            for row in found
        ]

    def without_seconds(self, limit: int) -> list[str]:
        """Prompt ids of runs with unknown duration, newest first."""
        query = (
            "SELECT prompt_id FROM verdicts WHERE prompt_id IS NOT NULL AND prompt_id NOT IN (SELECT prompt_id FROM runs) "
            "GROUP BY prompt_id ORDER BY max(id) DESC LIMIT ?"
        )
        with self._file.open() as database:
            return [str(prompt_id) for (prompt_id,) in database.execute(query, (limit,))]

    def without_pictures(self, limit: int) -> list[str]:
        """Prompt ids of runs whose Gates let something through and whose pictures are unknown, newest first."""
        with self._file.open() as database:
            known = "AND id NOT IN (SELECT verdict FROM pictures)" if _has_pictures(database) else ""
            query = (
                f"SELECT prompt_id FROM verdicts WHERE prompt_id IS NOT NULL AND passed {known} "
                "GROUP BY prompt_id ORDER BY max(id) DESC LIMIT ?"
            )
            return [str(prompt_id) for (prompt_id,) in database.execute(query, (limit,))]

    def pictures(self) -> dict[int, list[Saved]]:
        """The pictures of each verdict that has some, by the verdict's id."""
        found: dict[int, list[Saved]] = {}
        with self._file.open() as database:
            if _has_pictures(database):
                query = "SELECT verdict, server, filename, subfolder, type FROM pictures ORDER BY verdict, number"
                for verdict, *place in database.execute(query):
                    found.setdefault(verdict, []).append(Saved(*place))
        return found

    def state(self) -> str:
        """A text that changes with every new verdict or mark."""
        with self._file.open() as database:
            newest = one(database, "SELECT max(id) FROM verdicts")
            marks = database.execute(
                "SELECT id, quality FROM verdicts WHERE quality IS NOT NULL ORDER BY id"
            ).fetchall()
        return f"{newest}:{hashlib.sha256(repr(marks).encode()).hexdigest()[:16]}"

    def settings(self) -> dict[str, tuple[Settings, tuple[str, ...]]]:
        """Settings and the experts' names, by fingerprint."""
        with self._file.open() as database:
            found = database.execute("SELECT fingerprint, body, experts FROM settings").fetchall()
        return {
            fingerprint: (Settings.from_dict(json.loads(body)), tuple(json.loads(experts)))
            for fingerprint, body, experts in found
        }

    def calibration(self, digest: str) -> Calibration:
        """A calibration that verdicts of this ledger were made with."""
        with self._file.open() as database:
            found = database.execute("SELECT body FROM calibrations WHERE digest = ?", (digest,)).fetchone()
        if found is None:
            raise LedgerError(f"'{self.path}' has no calibration {digest[:16]}.")
        return Calibration.from_dict(json.loads(found[0]), f"the ledger's calibration {digest[:16]}")


def _has_pictures(database: sqlite3.Connection) -> bool:
    return bool(one(database, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'pictures'"))


def _shared(verdicts: Sequence[tuple[int, str]], pictures: Sequence[Saved]) -> list[tuple[int, Sequence[Saved]]]:
    """Which pictures of a run are of which verdict: all of the only one's, or one each in the order of one Gate's list."""
    if len(verdicts) == 1:
        return [(verdicts[0][0], pictures)]
    if len(verdicts) != len(pictures) or len({node for _, node in verdicts}) != 1:
        return []
    return [(verdict, [picture]) for (verdict, _), picture in zip(verdicts, pictures, strict=True)]


def finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None
