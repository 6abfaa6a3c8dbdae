"""The page's sentences, in English and Japanese, from texts.json."""

from pathlib import Path

from ...pages.markup import Both, Content, Html, tag
from ...pages.wording import Texts, whole
from ...stats.sequential import LEAST
from ..evidence import EDGE, JUDGE, LENGTH, Evidence, Found, lacking

TEXTS = Texts(Path(__file__).with_name("texts.json"))
say = TEXTS.say
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
#: The first sentences that give the best number of one model.
_COMPARED = ("proved_better", "proved_alike", "behind")


def two(value: float) -> str:
    """A number with two decimals."""
    return f"{value:.2f}".replace("-", "\u2212")


def models(shown: Evidence) -> Both:
    """The experts, as the first sentence names them."""
    count = len(shown.experts)
    if count < 2:
        return say("models_one" if count else "models_some")
    words = dict(enumerate(_NUMBERS, start=2))
    return say("models_many", count=Both(words.get(count, whole(count)), str(count)))


def auroc(found: Found) -> Both:
    """An AUROC with its interval."""
    return say("auroc", value=two(found.value), low=two(found.low), high=two(found.high))


def first(shown: Evidence) -> Both:
    """The sentence that the page begins with."""
    values: dict[str, Content] = {"models": models(shown)}
    if shown.why == "few":
        good, bad = whole(shown.pictures - shown.bad), whole(shown.bad)
        sentence = say("first_few", good=good, bad=bad, least=str(LEAST), **values)
        more = lacking(shown)
        if not more:
            return sentence
        added = say("few_more", count=whole(more))
        return Both(Html(f"{sentence.en} {added.en}"), Html(f"{sentence.ja}{added.ja}"))
    if shown.main is not None:
        values["auroc"] = auroc(shown.main)
    if shown.why in _COMPARED and shown.best is not None:
        values["single"] = two(shown.best.value)
    if shown.why == "open":
        values["needed"] = whole(_rounded(shown.needed or 0))
    if shown.why == "open_far":
        values["edge"] = f"{EDGE:g}"
    return say(f"first_{shown.why}", **values)


def _rounded(count: int) -> int:
    """A number of pictures that is only an estimate: to two digits, and up."""
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step


def reading_name(name: str) -> Content:
    """A reading as it is named on the page."""
    return say("reading_length") if name == LENGTH else tag("code", name)


def judge_of(labels: str) -> str:
    """The judge's name, "" for a person's marks."""
    return labels.removeprefix(JUDGE) if labels.startswith(JUDGE) else ""
