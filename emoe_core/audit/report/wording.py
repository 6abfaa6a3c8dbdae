"""The report's sentences, in English and Japanese, from texts.json."""

from pathlib import Path

from ...pages.wording import Texts

TEXTS = Texts(Path(__file__).with_name("texts.json"))
say = TEXTS.say


def texts() -> dict[str, dict[str, str]]:
    """The sentence in each language, by key."""
    return TEXTS.all
