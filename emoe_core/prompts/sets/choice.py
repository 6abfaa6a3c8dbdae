"""The built-in sets: their files, the chosen part of one with its rows, and that part written as a file of prompts."""

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors import EMoEError
from ...io.files import explained, replacing

DATA = Path(__file__).resolve().parent / "data"
CONCEPTS, REGIONS, EVERYDAY = "concepts", "regions", "everyday"
SETS = (CONCEPTS, REGIONS, EVERYDAY)


@lru_cache(maxsize=len(SETS))
def table(name: str) -> dict[str, Any]:
    """A set's file, read once.

    All have `version`, `source`, and `languages` (tag -> name, script, speakers). `concepts` has `concepts` (emoji, topic,
    id) and `names` (language -> one name per concept). `regions` has `ids` and `topics` of the things, `territories`
    (territory, continent, region, population), and per language `names` of the territories, `things` and `commas`.
    `everyday` has `rows` (prompt, topic, kind).

    Raises:
        EMoEError: there is no such set, or its file is missing or damaged.
    """
    if name not in SETS:
        raise EMoEError(f"There is no built-in prompt set '{name}'; choose one of {', '.join(SETS)}.")
    if name == EVERYDAY:
        return _everyday()
    path = DATA / f"{name}.json.gz"
    try:
        found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise EMoEError(f"The prompt set '{path}' is damaged ({error}); install the node pack again.") from error
    return found


def _everyday() -> dict[str, Any]:
    path = DATA / "everyday.csv"
    with explained(f"The prompt set '{path}' cannot be read", "install the node pack again"):
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    english = {"en": {"name": "English", "script": "Latn", "speakers": 0}}
    return {"version": 1, "source": "plain phrases of this project's own", "languages": english, "rows": rows}


ALL = "all"

Row = dict[str, str]


@dataclass(frozen=True)
class Choice:
    """A built-in set, or a part of it. A field that is left out restricts nothing, except the languages of `regions`.

    Attributes:
        name: the set's name.
        languages: BCP 47 tags or English names; ("all",) for all of them. When empty: all of `concepts`, English of
            `regions` (each language's way with foreign names would be mixed into the territories).
        topics: see `topics`.
        territories: of `regions`: ISO 3166 alpha-2 codes or English names of territories, UN M49 regions and continents.
        things: of `concepts` and `everyday`: at most this many, evenly spaced through all of them; 0 for all.

    Raises:
        EMoEError: there is no such set, language, topic or territory; the message lists the known ones.
    """

    name: str
    languages: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    territories: tuple[str, ...] = ()
    things: int = 0

    def __post_init__(self) -> None:
        if self.territories and self.name != REGIONS:
            raise EMoEError(f"Only the prompt set '{REGIONS}' has territories; leave them out for '{self.name}'.")
        if self.things and self.name == REGIONS:
            raise EMoEError(
                f"A number of things can be chosen of '{CONCEPTS}' and '{EVERYDAY}' only; "
                f"'{self.name}' is made smaller by its topics and "
                "territories."
            )
        if self.things < 0:
            raise EMoEError(f"{self.things} things cannot be chosen; give 1 or more, or 0 for all.")
        self.count()  # looks all names up

    @property
    def source(self) -> str:
        """The source of the names, and the set's version."""
        found = table(self.name)
        return f"{found['source']}, version {found['version']}"

    def tags(self) -> list[str]:
        """The chosen languages, in the order they were given."""
        known: Mapping[str, Any] = table(self.name)["languages"]
        if not self.languages:
            return ["en"] if self.name == REGIONS else list(known)
        if [text.lower() for text in self.languages] == [ALL]:
            return list(known)
        keys = {key.lower(): tag for tag, about in known.items() for key in (about["name"], tag)}
        return _found(self.languages, keys, known, f"The prompt set '{self.name}' has no language")

    def all_topics(self) -> list[str]:
        """The set's topics."""
        return list(dict.fromkeys(self._topic_of_each()))

    def _topic_of_each(self) -> list[str]:
        found = table(self.name)
        if self.name == REGIONS:
            topics: list[str] = found["topics"]
            return topics
        return [entry["topic"] for entry in found["concepts" if self.name == CONCEPTS else "rows"]]

    def count(self) -> int:
        """The number of rows."""
        return len(self.tags()) * len(self._of_topics()) * max(1, len(self._places()))

    def rows(self) -> Iterator[Row]:
        """The rows, one thing after the other in all languages, so that any first part is parallel too."""
        if self.name == EVERYDAY:
            yield from (dict(table(self.name)["rows"][place]) for place in self._of_topics())
        else:
            yield from self._concepts() if self.name == CONCEPTS else self._regions()

    def columns(self) -> tuple[str, ...]:
        """The names of the rows' values, in order."""
        return tuple(next(self.rows()))

    def _concepts(self) -> Iterator[Row]:
        found = table(self.name)
        tags = self.tags()
        for place in self._of_topics():
            concept = found["concepts"][place]
            for tag in tags:
                about = found["languages"][tag]
                yield {
                    "prompt": found["names"][tag][place],
                    "language": tag,
                    "language_name": about["name"],
                    "script": about["script"],
                    "speakers": str(about["speakers"]),
                    "topic": concept["topic"],
                    "id": concept["id"],
                }

    def _regions(self) -> Iterator[Row]:
        found = table(self.name)
        tags, things = self.tags(), self._of_topics()
        for place in self._places():
            territory = found["territories"][place]
            for thing in things:
                for tag in tags:
                    yield {
                        "prompt": f"{found['things'][tag][thing]}{found['commas'][tag]}{found['names'][tag][place]}",
                        "language": tag,
                        "territory": territory["territory"],
                        "territory_name": found["names"]["en"][place],
                        "region": territory["region"],
                        "continent": territory["continent"],
                        "population": str(territory["population"]),
                        "topic": found["topics"][thing],
                        "id": found["ids"][thing],
                    }

    def _of_topics(self) -> list[int]:
        """Indices of the chosen things."""
        known = self.all_topics()
        sentence = f"The prompt set '{self.name}' has no topic"
        wanted = set(_found(self.topics, dict(zip(known, known, strict=True)), known, sentence) or known)
        places = [place for place, topic in enumerate(self._topic_of_each()) if topic in wanted]
        if not self.things or self.things >= len(places):
            return places
        return [places[number * len(places) // self.things] for number in range(self.things)]

    def _places(self) -> list[int]:
        """Indices of the chosen territories, in the set's order."""
        if self.name != REGIONS:
            return []
        found = table(self.name)
        codes = [entry["territory"] for entry in found["territories"]]
        if not self.territories:
            return list(range(len(codes)))
        inside: dict[str, set[int]] = {}
        for place, entry in enumerate(found["territories"]):
            for key in (entry["territory"], found["names"]["en"][place], entry["region"], entry["continent"]):
                inside.setdefault(key.lower(), set()).add(place)
        areas = sorted({entry["continent"] for entry in found["territories"]})
        listed = [*codes, *areas, *sorted({entry["region"] for entry in found["territories"]})]
        keys = {key: key for key in inside}
        wanted = _found(self.territories, keys, listed, f"The prompt set '{self.name}' has no territory")
        return sorted(set().union(*(inside[key] for key in wanted)))


def _found(wanted: Sequence[str], keys: Mapping[str, str], known: Iterable[str], sentence: str) -> list[str]:
    """The keys that the wanted names stand for, each once."""
    found = []
    for text in wanted:
        key = text.strip().lower().replace("_", "-")
        if key not in keys:
            raise EMoEError(f"{sentence} '{text}'; choose among {', '.join(dict.fromkeys(known))}.")
        found.append(keys[key])
    return list(dict.fromkeys(found))


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
