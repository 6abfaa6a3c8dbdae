"""Sentences in English and Japanese, and numbers as both write them."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..records.message import LANGUAGES, Code, Message
from .markup import Both, Content, Html, escaped, plain, render, tag

MINUS = "\u2212"  # as wide as the plus sign
JAPANESE_COMMA = "\u3001"


@dataclass(frozen=True)
class Texts:
    """A page's own sentences, from a JSON file: by key the sentence in each language."""

    path: Path

    @cached_property
    def all(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self.path.read_text(encoding="utf-8"))
        return found

    def say(self, key: str, **values: Content) -> Both:
        """The sentence in both languages. Values are escaped; a `Both` gives each language its own side."""

        def side(language: str) -> Html:
            filled = {
                name: escaped(getattr(value, language)) if isinstance(value, Both) else render(value)
                for name, value in values.items()
            }
            return Html(self.all[key][language].format_map(filled))

        return Both(side("en"), side("ja"))


def told(message: Message) -> Content:
    """The message in both languages; a message stored as a sentence stays English."""
    if message.code is Code.SENTENCE:
        return tag("span", plain(str(message), 400), lang="en")
    return Both(*(message.line(language, lambda text: plain(text, 60)) for language in LANGUAGES))


def commas(items: list[Both]) -> Both:
    """Items with commas between them."""
    english, japanese = (escaped(item.en) for item in items), (escaped(item.ja) for item in items)
    return Both(Html(", ".join(english)), Html(JAPANESE_COMMA.join(japanese)))


def listed(items: list[Both]) -> Both:
    """Items with commas between them and an "and" before the last."""
    if len(items) < 2:
        return items[0] if items else Both("", "")
    return Both(Html(f"{commas(items[:-1]).en} and {escaped(items[-1].en)}"), commas(items).ja)


def whole(value: int) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,}"


def percent(share: float) -> Both:
    """0.954 as 95 % and 95%."""
    number = f"{100 * share:.0f}"
    return Both(f"{number}\u00a0%", f"{number}%")


def short(value: float) -> str:
    """A score with three digits."""
    return f"{value:.3g}" if abs(value) >= 1e5 or (value and abs(value) < 1e-3) else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference of scores."""
    return f"{'+' if value >= 0 else MINUS}{short(abs(value))}"


def between(low: float, high: float) -> Both:
    """Two shares as an interval."""
    a, b = f"{100 * low:.0f}", f"{100 * high:.0f}"
    return Both(f"{a}–{b}\u00a0%", f"{a}–{b}%")
