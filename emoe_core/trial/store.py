"""A trial's file: prompts, their readings, the pictures drawn of them, and what eyes and judges said of the pictures."""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.database import PATIENCE, Database, Kind, one, storable, transaction
from ..records.settings import Settings

TRIAL_SCHEMA = 1
APPLICATION_ID = 0x454D6F54  # "EMoT": marks trials among SQLite files
GOOD, BAD = "good", "bad"

_TABLES = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE readings (name TEXT PRIMARY KEY, place INTEGER NOT NULL, settings TEXT NOT NULL)",
    """CREATE TABLE prompts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, row INTEGER NOT NULL, prompt TEXT NOT NULL,
        columns TEXT NOT NULL)""",
    """CREATE TABLE scores (
        prompt INTEGER NOT NULL REFERENCES prompts (id), reading TEXT NOT NULL, score REAL NOT NULL,
        PRIMARY KEY (prompt, reading)) WITHOUT ROWID""",
    """CREATE TABLE pictures (
        id INTEGER PRIMARY KEY AUTOINCREMENT, prompt INTEGER NOT NULL REFERENCES prompts (id), number INTEGER NOT NULL,
        server TEXT NOT NULL, filename TEXT NOT NULL, subfolder TEXT NOT NULL, type TEXT NOT NULL,
        seed INTEGER, seconds REAL, time REAL NOT NULL, UNIQUE (prompt, number))""",
    """CREATE TABLE marks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, picture INTEGER NOT NULL REFERENCES pictures (id),
        quality TEXT CHECK (quality IN ('good', 'bad')), time REAL NOT NULL, token TEXT UNIQUE)""",
    "CREATE INDEX marks_by_picture ON marks (picture, id)",
    """CREATE TABLE judgements (
        picture INTEGER NOT NULL REFERENCES pictures (id), judge TEXT NOT NULL, value REAL NOT NULL, bad INTEGER,
        about TEXT NOT NULL, PRIMARY KEY (picture, judge)) WITHOUT ROWID""",
)


class TrialError(EMoEError):
    """The trial cannot be read or written now; the message says why and what to do."""


class UnknownPicture(TrialError):
    """A mark is for a picture that the trial does not have."""


_KIND = Kind(
    "a trial",
    APPLICATION_ID,
    TRIAL_SCHEMA,
    _TABLES,
    "draw one first with 'python -m emoe_core prove draw', or name another",
    TrialError,
)


@dataclass(frozen=True)
class Reading:
    """One way to read the score, measured for every prompt.

    Attributes:
        name: a preset's name; or that of a number of one model, such as "response".
        settings: everything that its scores depend on besides the prompt; None where it is no preset's, and so cannot become
            a calibration.
    """

    name: str
    settings: Settings | None


@dataclass(frozen=True)
class Picture:
    """A picture of a prompt.

    Attributes:
        number: from 0 among the prompt's pictures.
        server: the address that drew it, "" for the ComfyUI that holds the trial.
        filename, subfolder, type: where ComfyUI's /view finds it there.
        seconds: what its run took.
        quality: 'good' or 'bad' as the last mark says; None without one.
        marked: when that mark was made, in seconds since 1970 (UTC), and `order` its place among all marks.
    """

    id: int
    prompt: int
    number: int
    server: str
    filename: str
    subfolder: str
    type: str
    seed: int | None
    seconds: float | None
    time: float
    quality: str | None = None
    marked: float | None = None
    order: int | None = None


@dataclass(frozen=True)
class Prompt:
    """A prompt of a trial.

    Attributes:
        key: the row's identity in the prompt file.
        columns: the row's other columns as text, such as its groups.
        scores: by reading.
    """

    id: int
    key: str
    row: int
    prompt: str
    columns: Mapping[str, str]
    scores: Mapping[str, float]
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What a judge says of a picture.

    Attributes:
        value: higher is better.
        bad: the judge's own verdict, None where it only gives a value.
        about: a digest of what it rests on besides the picture, such as the judge's models, so that a judge knows what it has
            judged already; "" where that is not kept.
    """

    picture: int
    judge: str
    value: float
    bad: bool | None
    about: str = ""


@dataclass(frozen=True)
class Drawn:
    """A picture as it comes from a run."""

    number: int
    server: str
    filename: str
    subfolder: str
    type: str
    seed: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Contents:
    """All that a trial holds, as of one moment."""

    facts: Mapping[str, Any]
    readings: tuple[Reading, ...]
    prompts: tuple[Prompt, ...]
    judgements: tuple[Judgement, ...] = field(default=())

    @property
    def pictured(self) -> list[Prompt]:
        """The prompts that were drawn; those of a look were only scored (`trial.look`)."""
        return [prompt for prompt in self.prompts if prompt.pictures]


class Trial:
    """A trial's file. The first prompt makes it; reading a missing one is an error."""

    def __init__(self, path: str | Path, patience: float = PATIENCE) -> None:
        self.path = Path(path)
        self._file = Database(_KIND, self.path, patience)

    # --- writing ------------------------------------------------------------------------------------------------------

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Makes the file, or goes on with it; `facts` say what all its prompts share (workflow, experts, ...).

        Raises:
            TrialError: the file is there with other facts; the message names the first that differs.
        """
        with self._file.open(write=True) as database, transaction(database):
            known = dict(database.execute("SELECT name, body FROM facts"))
            for name, value in facts.items():
                body = storable(json.dumps(value, ensure_ascii=False, sort_keys=True))
                if known.setdefault(name, body) != body:
                    raise TrialError(
                        f"The trial '{self.path.stem}' was begun with another {name}; name a new trial, or use what it was begun "
                        "with."
                    )
                database.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, body))

    def note(self, facts: Mapping[str, Any]) -> None:
        """Facts that may change as the trial grows, such as how many pictures a prompt has: the last word counts."""
        with self._file.open(write=True) as database, transaction(database):
            for name, value in facts.items():
                body = storable(json.dumps(value, ensure_ascii=False, sort_keys=True))
                database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, body))

    def add(
        self,
        key: str,
        row: int,
        prompt: str,
        columns: Mapping[str, str],
        scores: Mapping[Reading, float],
        pictures: Sequence[Drawn],
    ) -> int:
        """Adds a prompt with its readings, or more pictures to one that is there; returns its id.

        A picture's number that the prompt has already stays as it is, so adding the same twice changes nothing.

        Raises:
            TrialError: the readings have other settings than the trial's.
        """
        with self._file.open(write=True, create=False) as database, transaction(database):
            self._check_readings(database, list(scores))
            database.execute(
                "INSERT OR IGNORE INTO prompts (key, row, prompt, columns) VALUES (?, ?, ?, ?)",
                (key, row, storable(prompt), storable(json.dumps(dict(columns), ensure_ascii=False))),
            )
            number = int(one(database, "SELECT id FROM prompts WHERE key = ?", (key,)))
            database.executemany(
                "INSERT OR IGNORE INTO scores VALUES (?, ?, ?)",
                ((number, reading.name, score) for reading, score in scores.items()),
            )
            database.executemany(
                "INSERT OR IGNORE INTO pictures (prompt, number, server, filename, subfolder, type, seed, seconds, time) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((number, *map(storable, asdict(picture).values()), time.time()) for picture in pictures),
            )
        return number

    def check(self, readings: Iterable[Reading]) -> None:
        """A `TrialError` where scores of these readings could not be added, as they have other settings than the trial's."""
        with self._file.open() as database:
            known = dict(database.execute("SELECT name, settings FROM readings"))
        for reading in readings:
            self._settings(reading, known)

    def _settings(self, reading: Reading, known: dict[str, str]) -> str:
        body = json.dumps(None if reading.settings is None else asdict(reading.settings), sort_keys=True)
        if known.setdefault(reading.name, body) != body:
            raise TrialError(
                f"The trial '{self.path.stem}' has scores of other models or settings (reading '{reading.name}'); name a new "
                "trial for these."
            )
        return body

    def _check_readings(self, database: sqlite3.Connection, readings: Sequence[Reading]) -> None:
        known = dict(database.execute("SELECT name, settings FROM readings"))
        for place, reading in enumerate(readings, len(known)):
            body = self._settings(reading, known)
            database.execute("INSERT OR IGNORE INTO readings VALUES (?, ?, ?)", (reading.name, place, body))

    def mark(self, picture: int, quality: str | None, token: str | None = None) -> int:
        """Marks a picture good or bad; None takes its mark away. Returns the mark's id.

        Marks are added and never changed, so the last one counts and earlier ones are kept.

        Args:
            token: names this act of marking; the same token again changes nothing, so that a request may be repeated.

        Raises:
            UnknownPicture: there is no such picture.
            TrialError: the token was used for another one.
        """
        with self._file.open(write=True, create=False) as database, transaction(database):
            if not one(database, "SELECT count(*) FROM pictures WHERE id = ?", (picture,)):
                raise UnknownPicture(f"There is no picture {picture} in the trial '{self.path.stem}'.")
            if token is not None:
                found = database.execute("SELECT id, picture FROM marks WHERE token = ?", (token,)).fetchone()
                if found is not None:
                    if found[1] != picture:
                        raise TrialError("This mark was made of another picture; load the page again.")
                    return int(found[0])
            done = database.execute(
                "INSERT INTO marks (picture, quality, time, token) VALUES (?, ?, ?, ?)",
                (picture, quality, time.time(), token),
            )
            return int(done.lastrowid or 0)

    def judge(self, judgements: Iterable[Judgement]) -> int:
        """Stores what a judge says, in place of what it said before of the same pictures; returns how many were stored.

        Raises:
            TrialError: a picture does not exist; then nothing is stored.
        """
        with self._file.open(write=True, create=False) as database, transaction(database):
            count = 0
            for judgement in judgements:
                if not one(database, "SELECT count(*) FROM pictures WHERE id = ?", (judgement.picture,)):
                    raise TrialError(f"There is no picture {judgement.picture} in the trial '{self.path.stem}'.")
                bad = None if judgement.bad is None else int(judgement.bad)
                database.execute(
                    "INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?, ?)",
                    (judgement.picture, storable(judgement.judge), judgement.value, bad, judgement.about),
                )
                count += 1
            return count

    # --- reading ------------------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What all prompts share."""
        with self._file.open() as database:
            return {name: json.loads(body) for name, body in database.execute("SELECT name, body FROM facts")}

    def keys(self) -> dict[str, int]:
        """How many pictures each prompt has, by the prompt's key."""
        query = "SELECT key, count(pictures.id) FROM prompts LEFT JOIN pictures ON pictures.prompt = prompts.id GROUP BY key"
        with self._file.open() as database:
            return {key: int(count) for key, count in database.execute(query)}

    def contents(self) -> Contents:
        """Everything, as of one moment; prompts and pictures in the order in which they came."""
        with self._file.open() as database:
            database.execute("BEGIN")
            facts = {name: json.loads(body) for name, body in database.execute("SELECT name, body FROM facts")}
            readings = [
                (name, json.loads(body))
                for name, body in database.execute("SELECT name, settings FROM readings ORDER BY place, name")
            ]
            scores: dict[int, dict[str, float]] = {}
            for prompt, reading, score in database.execute("SELECT prompt, reading, score FROM scores"):
                scores.setdefault(prompt, {})[reading] = score
            pictures: dict[int, list[Picture]] = {}
            for row in database.execute(_PICTURES):
                pictures.setdefault(row[1], []).append(Picture(*row))
            prompts = tuple(
                Prompt(
                    number,
                    key,
                    row,
                    prompt,
                    json.loads(columns),
                    scores.get(number, {}),
                    tuple(pictures.get(number, ())),
                )
                for number, key, row, prompt, columns in database.execute(
                    "SELECT id, key, row, prompt, columns FROM prompts ORDER BY id"
                )
            )
            judgements = tuple(
                Judgement(picture, judge, value, None if bad is None else bool(bad), about)
                for picture, judge, value, bad, about in database.execute(
                    "SELECT picture, judge, value, bad, about FROM judgements"
                )
            )
        named = tuple(Reading(name, None if body is None else Settings.from_dict(body)) for name, body in readings)
        return Contents(facts, named, prompts, judgements)

    def state(self) -> str:
        """A text that changes with every new picture, mark or judgement."""
        with self._file.open() as database:
            counts = [one(database, f"SELECT count(*) FROM {name}") for name in ("pictures", "marks", "judgements")]
            return ":".join(map(str, (*counts, one(database, "SELECT coalesce(total(value), 0) FROM judgements"))))


#: Every picture with its last mark, in the order of its prompt and number.
_PICTURES = """
    SELECT pictures.id, prompt, number, server, filename, subfolder, type, seed, seconds, pictures.time,
        last.quality, CASE WHEN last.quality IS NULL THEN NULL ELSE last.time END,
        CASE WHEN last.quality IS NULL THEN NULL ELSE last.id END
    FROM pictures LEFT JOIN marks AS last
        ON last.id = (SELECT max(id) FROM marks WHERE marks.picture = pictures.id)
    ORDER BY prompt, number
"""
