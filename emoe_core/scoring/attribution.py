"""Which words raise the score: leave one out, and see how much uncertainty is left.

The change of a word is s(prompt) - s(prompt without it), above 0 where the word makes the models less certain. Words act
together, so the changes need not add up to the score. (Leave-one-out influence; Cook, "Detection of influential
observation in linear regression", 1977, does the same for data points.)
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BRIEF, EMoEError, plain

WORDS_SCHEMA = 1
MOST_WORDS = 48
#: Scripts that are written without spaces. Han, Thai, Lao, Khmer and Myanmar are split letter by letter (with the marks
#: that belong to a letter); a run of one kana script stays whole.
_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HIRAGANA, _KATAKANA = "\u3041-\u309f", "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_LETTERWISE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_MARKS = "\u0e31\u0e33-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb3-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3"
#: Accents, vowel signs and joiners, which Python does not count as letters; of the Indic scripts all but the full stops.
_SIGNS = "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
_SIGNS += "\u0900-\u0963\u0966-\u0dff\u200c\u200d"
_SPACELESS = f"{_HAN}{_HIRAGANA}{_KATAKANA}{_LETTERWISE}"
_WORD = re.compile(
    rf"\([^()]*:\s*[\d.]+\s*\)"  # (a weighted part:1.2) stays whole
    rf"|embedding:[^\s,()]+"
    rf"|[{_HAN}]|[{_HIRAGANA}]+|[{_KATAKANA}]+|[{_LETTERWISE}][{_MARKS}]*"
    rf"|(?:[^\W{_SPACELESS}]|[{_SIGNS}]|(?<=\w)['’\-](?=\w))+"
)


@dataclass(frozen=True)
class Word:
    """One word of a prompt: its place in the text, and the score without it (None where it was not measured)."""

    start: int
    end: int
    text: str
    without: float | None = None


@dataclass(frozen=True)
class Attribution:
    """How each word changes the score of a prompt."""

    prompt: str
    score: float
    words: tuple[Word, ...]

    def change(self, word: Word) -> float | None:
        """How much the word raises the score; None for the only word of a prompt."""
        return None if word.without is None else self.score - word.without

    def ranked(self) -> list[tuple[str, float]]:
        """Words and their changes, highest first."""
        known = [(w.text, self.score - w.without) for w in self.words if w.without is not None]
        return sorted(known, key=lambda pair: -pair[1])

    def lines(self) -> list[str]:
        """For a person: the score, then one line per word."""
        head = f'uncertainty {self.score:.4g} of "{plain(self.prompt, BRIEF)}"'
        if len(self.words) == 1:
            return [head, "a single word: the whole score is its own"]
        return [head, *(f"{change:+.4g}  {text}" for text, change in self.ranked())]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        words = [{"text": w.text, "start": w.start, "end": w.end, "change": self.change(w)} for w in self.words]
        return {"schema": WORDS_SCHEMA, "kind": "words", "prompt": self.prompt, "score": self.score, "words": words}


def split_words(text: str) -> list[Word]:
    """The words of a text in any script, in order; punctuation belongs to no word.

    Raises:
        EMoEError: no word, or more than `MOST_WORDS`.
    """
    found = [Word(m.start(), m.end(), m[0]) for m in _WORD.finditer(text)]
    if not found:
        raise EMoEError("Word Attribution's text has no word in it; write a prompt.")
    if len(found) > MOST_WORDS:
        raise EMoEError(
            f"Word Attribution's text has {len(found)} words, and each costs one score; use at most {MOST_WORDS}, for "
            "example one part of the prompt at a time."
        )
    return found


def without(text: str, word: Word) -> str:
    """The text without the word, and without a double space or comma in its place."""
    left = text[: word.start] + text[word.end :]
    left = re.sub(r"\s*,(?:\s*,)+", ",", left)
    left = re.sub(r"[ \t]{2,}", " ", left)
    return re.sub(r"^[\s,]+|[\s,]+$", "", re.sub(r"\s+,", ",", left))


def attribute(text: str, score: Callable[[Sequence[str]], Iterable[float]]) -> Attribution:
    """Scores the text and every text with one word left out.

    Args:
        score: gives one score per text, in order; called once for all of them, the whole text first and none twice.
    """
    words = split_words(text)
    rests = [without(text, word) for word in words] if len(words) > 1 else []
    asked = list(dict.fromkeys([text, *rests]))  # leaving out either of two equal neighbours gives the same text
    scores = dict(zip(asked, score(asked), strict=True))
    done = [replace(word, without=scores[rest]) for word, rest in zip(words, rests, strict=True)] if rests else words
    return Attribution(text, scores[text], tuple(done))
