"""Known against unknown without a picture: prompts that models should know, beside ones that nobody can know.

Every known prompt has a twin of the same length: its own words in another order, or made-up words of as many letters. Names
of the same things in several languages are compared in pairs. A file of prompts whose pictures people rated elsewhere can be
put beside them. If the score cannot tell these apart, there is no need to draw anything.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import EMoEError
from ..prompts import PromptRow
from ..prompts.sets import CONCEPTS, EVERYDAY, Choice
from ..records.message import Code, Message
from ..scoring.controls import ROUNDING_AT_MOST
from ..stats.compare import between, paired
from ..stats.evaluation import Floats, partial_spearman, spearman
from .store import Contents, Prompt

STAGE = "look"
REFERENCE, SHUFFLED, NONSENSE, NAME, LANGUAGE, RATED = (
    "reference",
    "shuffled",
    "nonsense",
    "name",
    "language",
    "rated",
)
#: Languages of the paired names: one with much text on the web, and ones with less and less.
LANGUAGES = ("de", "ja", "fi", "sw")
PAIRS = 60
NAMES = 40
#: The columns in which files keep what people said of the pictures, higher being better; PQPP's is `score`.
RATINGS = ("quality", "rating", "human_score", "score")
#: Fewer than these are not compared.
FEWEST = 8
_WORD = re.compile(r"[^\W\d_]{3,}")
_SOUNDS = ("bcdfghjklmnprstvwz", "aeiou")


@dataclass(frozen=True)
class LookPrompt:
    """A prompt to score.

    Attributes:
        kind: what is known of it.
        pair: equal for prompts that are compared with each other.
        language: its BCP 47 tag.
        rating: what people said of its picture; None where nobody did.
    """

    kind: str
    pair: str
    text: str
    language: str = "en"
    rating: float | None = None

    @property
    def key(self) -> str:
        return f"{STAGE}-{self.kind}-{self.language}-{self.pair}"

    def columns(self, tokens: int) -> dict[str, str]:
        """What a trial keeps of it beside the text."""
        found = {"stage": STAGE, "kind": self.kind, "pair": self.pair, "language": self.language, "tokens": str(tokens)}
        return found if self.rating is None else {**found, "rating": repr(self.rating)}


def look_prompts(
    pairs: int = PAIRS,
    languages: Sequence[str] = LANGUAGES,
    names: int = NAMES,
    known: Sequence[str] = (),
    seed: int = 0,
) -> list[LookPrompt]:
    """The prompts of both kinds; the same arguments give the same ones.

    Args:
        pairs: how many known prompts, each with two twins.
        known: prompts that the models know; the built-in everyday scenes when empty. Below three words there is no other
            order.
        languages: of the paired names, beside English; see `prompts.sets`.
        names: how many things are named.

    Raises:
        EMoEError: there is no such language.
    """
    chance = random.Random(seed)
    every = list(known) or [row["prompt"] for row in Choice(EVERYDAY).rows() if row["kind"] == "scene"]
    chosen = [every[i * len(every) // pairs] for i in range(pairs)] if pairs < len(every) else every
    found = []
    for number, text in enumerate(chosen):
        made = {REFERENCE: text, SHUFFLED: shuffled(chance, text), NONSENSE: nonsense(chance, text)}
        found += [LookPrompt(kind, str(number), one) for kind, one in made.items() if kind == REFERENCE or one != text]
    tags = [tag for tag in Choice(CONCEPTS, tuple(languages)).tags() if tag != "en"] if languages else []
    if tags and names:
        for row in Choice(CONCEPTS, ("en", *tags), things=names).rows():
            kind = NAME if row["language"] == "en" else LANGUAGE
            found.append(LookPrompt(kind, row["id"], row["prompt"], row["language"]))
    return found


def shuffled(chance: random.Random, text: str) -> str:
    """Its words in another order; the text itself where there is none."""
    words = text.split()
    if len(words) < 3:
        return text
    while (mixed := chance.sample(words, len(words))) == words and len(set(words)) > 1:
        pass
    return " ".join(mixed)


def nonsense(chance: random.Random, text: str) -> str:
    """The text with made-up words of as many letters."""

    def made_up(word: re.Match[str]) -> str:
        return "".join(chance.choice(_SOUNDS[place % 2]) for place in range(len(word[0])))

    return _WORD.sub(made_up, text)


def rated_prompts(rows: Sequence[PromptRow], most: int = 0) -> list[LookPrompt]:
    """The prompts of a file with ratings, at most `most` of them (0: all), evenly spaced through it.

    Raises:
        EMoEError: the file has no column of ratings, or none of its ratings is a number.
    """
    column = next((name for one in RATINGS for name in rows[0].columns if name.strip().lower() == one), None)
    if column is None:
        raise EMoEError(
            f"The prompt file has no column of ratings; name one of its columns {', '.join(RATINGS[:-1])} or {RATINGS[-1]}."
        )
    found = []
    for row in rows:
        try:
            rating = float(row.columns.get(column, ""))
        except ValueError:
            continue
        if np.isfinite(rating):
            found.append(LookPrompt(RATED, str(row.row), row.prompt, rating=rating))
    if not found:
        raise EMoEError(
            f"No rating in the prompt file's column '{column}' is a number; put numbers there, higher for better."
        )
    return found if not most or most >= len(found) else [found[i * len(found) // most] for i in range(most)]


@dataclass(frozen=True)
class Separation:
    """How well one reading tells unknown prompts from known ones.

    Attributes:
        kind: which unknown prompts; a language by its tag.
        auroc: P(unknown higher), ties counted half, with a 95 % interval: of all pairs of a known and an unknown prompt
            (Newcombe 2006), or, if paired, of each name with its own translation (Wilson 1927).
        partial: Spearman's correlation of score and being unknown, with the number of tokens held constant; None where that
            number says it all.
    """

    kind: str
    reading: str
    unknown: int
    known: int
    auroc: float
    low: float
    high: float
    paired: bool
    partial: float | None


@dataclass(frozen=True)
class RatedFit:
    """How one reading goes with what people said of pictures elsewhere.

    Attributes:
        rho: Spearman's correlation of score and rating; below 0 where uncertain prompts have worse pictures.
        partial: the same with the number of tokens held constant.
    """

    reading: str
    prompts: int
    rho: float
    partial: float | None


@dataclass(frozen=True)
class Look:
    """What the scores say without a picture.

    Attributes:
        controls: of the set itself, as `scoring.controls` gives them; None where they were not measured.
    """

    separations: tuple[Separation, ...]
    rated: tuple[RatedFit, ...]
    controls: Mapping[str, Any] | None

    @property
    def passed(self) -> bool:
        """Whether no control failed."""
        return all(one is None or one["passed"] for one in (self.controls or {}).values())

    def messages(self, reading: str, expert: str) -> list[Message]:
        """What was found, by one reading.

        Args:
            expert: the name of the first expert.
        """
        found = [_words(one) for one in self.separations if one.reading == reading]
        found += [
            Message.of(Code.RATED, rho=fit.rho, prompts=fit.prompts, reading=reading)
            for fit in self.rated
            if fit.reading == reading
        ]
        return [*found, *self.control_messages(reading, expert)]

    def control_messages(self, reading: str, expert: str) -> list[Message]:
        """What the controls of the set say."""
        found = []
        told = self.controls or {}
        if match := told.get("matching"):
            agreed = Message.of(Code.MATCHED, auroc=match["auroc"])
            found.append(agreed if match["passed"] else Message.of(Code.STYLE, auroc=match["auroc"]))
        if rounded := told.get("rounding"):
            dtype, other, shares = rounded["dtype"], rounded["other"], rounded["shares"]
            high = {name: share for name, share in shares.items() if share > ROUNDING_AT_MOST}
            if reading in shares and reading not in high:
                share = shares[reading]
                found.append(Message.of(Code.ROUNDING, expert=expert, dtype=dtype, other=other, share=share))
            found += [
                Message.of(Code.ROUNDED, expert=expert, dtype=dtype, other=other, share=share, reading=name)
                for name, share in high.items()
            ]
        return found

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "separations": [asdict(one) for one in self.separations],
            "rated": [asdict(one) for one in self.rated],
            "controls": None if self.controls is None else dict(self.controls),
        }


def _words(one: Separation) -> Message:
    if one.paired:
        return Message.of(
            Code.APART_PAIRED,
            kind=one.kind,
            auroc=one.auroc,
            unknown=one.unknown,
            low=one.low,
            high=one.high,
            reading=one.reading,
        )
    return Message.of(
        Code.APART,
        kind=one.kind,
        auroc=one.auroc,
        low=one.low,
        high=one.high,
        unknown=one.unknown,
        known=one.known,
        reading=one.reading,
    )


def look_at(contents: Contents) -> Look | None:
    """What a trial's prompts without pictures say; None where it has none."""
    by_kind: dict[str, list[Prompt]] = {}
    for prompt in contents.prompts:
        if prompt.columns.get("stage") == STAGE and not prompt.pictures:
            kind = prompt.columns.get("kind", "")
            by_kind.setdefault(prompt.columns.get("language", "") if kind == LANGUAGE else kind, []).append(prompt)
    if not by_kind:
        return None
    names = [reading.name for reading in contents.readings]
    languages = [kind for kind in by_kind if kind not in (REFERENCE, SHUFFLED, NONSENSE, NAME, RATED)]
    separations = [
        found
        for kind in (SHUFFLED, NONSENSE, *languages)
        for name in names
        if (
            found := _separation(
                name, kind, by_kind.get(kind, []), by_kind.get(NAME if kind in languages else REFERENCE, [])
            )
        )
    ]
    rated = [fit for name in names if (fit := _rated(name, by_kind.get(RATED, [])))]
    return Look(tuple(separations), tuple(rated), contents.facts.get("controls"))


def _separation(reading: str, kind: str, unknown: list[Prompt], known: list[Prompt]) -> Separation | None:
    unknown, known = _with(reading, unknown), _with(reading, known)
    if min(len(unknown), len(known)) < FEWEST:
        return None
    high, low = _scores(reading, unknown), _scores(reading, known)
    in_pairs = kind not in (SHUFFLED, NONSENSE)
    if in_pairs:
        twins = {prompt.columns.get("pair"): prompt.scores[reading] for prompt in known}
        differences = [
            prompt.scores[reading] - twins[pair] for prompt in unknown if (pair := prompt.columns.get("pair")) in twins
        ]
        if len(differences) < FEWEST:
            return None
        compared = paired(np.array(differences))
    else:
        compared = between(high, low)
    both = np.concatenate([high, low])
    is_unknown = np.concatenate([np.ones(len(high)), np.zeros(len(low))])
    partial = partial_spearman(both, is_unknown, _tokens([*unknown, *known]))
    return Separation(
        kind,
        reading,
        len(unknown),
        len(known),
        (compared.delta + 1) / 2,
        (compared.delta_low + 1) / 2,
        (compared.delta_high + 1) / 2,
        in_pairs,
        partial if np.isfinite(partial) else None,
    )


def _rated(reading: str, prompts: list[Prompt]) -> RatedFit | None:
    prompts = [prompt for prompt in _with(reading, prompts) if "rating" in prompt.columns]
    if len(prompts) < FEWEST:
        return None
    scores, ratings = _scores(reading, prompts), np.array([float(prompt.columns["rating"]) for prompt in prompts])
    partial = partial_spearman(scores, ratings, _tokens(prompts))
    rho = spearman(scores, ratings)
    return RatedFit(reading, len(prompts), rho, partial if np.isfinite(partial) else None) if np.isfinite(rho) else None


def _with(reading: str, prompts: list[Prompt]) -> list[Prompt]:
    return [prompt for prompt in prompts if reading in prompt.scores]


def _scores(reading: str, prompts: list[Prompt]) -> Floats:
    return np.array([prompt.scores[reading] for prompt in prompts], dtype=np.float64)


def _tokens(prompts: list[Prompt]) -> Floats:
    return np.array([float(prompt.columns.get("tokens", "0")) for prompt in prompts])
