"""Words of a prompt in any script, and the share of them that English prompts have too."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

_WORD = re.compile(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*|\d+")
#: Scripts written without spaces: a run of one script counts as a word, the best guess without a dictionary.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_LONGEST = 10_000  # letters of a prompt that are read; the start of a long text is enough

#: Names of columns that hold a prompt's language, in lower case.
LANGUAGE_COLUMNS = ("language", "lang", "locale", "image/locale")
ENGLISH = ("en", "eng", "english")


def words(text: str) -> list[str]:
    """The words of a text in lower case, numbers included."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFC", text[:_LONGEST]).casefold()):
        word = match.group()
        if word.isascii():
            found.append(word)
        else:
            found.extend(_runs(word))
    return found


def _runs(word: str) -> list[str]:
    """The word, cut where an unspaced script begins, ends or changes."""
    runs: list[str] = []
    before: str | None = None
    for letter in word:
        script = _unspaced(letter)
        if letter == "\u30fc" or unicodedata.category(letter) == "Mn":
            script = before  # the long vowel mark and other marks belong to the letter before
        if runs and script == before:
            runs[-1] += letter
        else:
            runs.append(letter)
        before = script
    return runs


@cache
def _unspaced(letter: str) -> str | None:
    name = unicodedata.name(letter, "")
    return next((script for script in _UNSPACED if name.startswith(script)), None)


def is_english(language: str) -> bool:
    """Whether a language tag or name is English: en, en-GB, English."""
    return re.split(r"[-_]", language.strip().lower(), maxsplit=1)[0] in ENGLISH


def shared(found: Iterable[str], english: frozenset[str] | set[str]) -> float | None:
    """Share of the words that are in the English vocabulary, in [0, 1]; None for a text without words.

    Single letters and numbers do not count: they are shared by accident.
    """
    told = [word for word in found if len(word) > 1 and not word.isdigit()]
    return sum(word in english for word in told) / len(told) if told else None
