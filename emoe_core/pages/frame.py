"""What the pack's pages have in common: one HTML file that needs no network, no script and no font, in English and Japanese."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from ..errors import EMoEError
from ..records.message import LANGUAGES
from .markup import Both, Content, Html, tag, void

DASH = "–"
Say = Callable[..., Both]
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; {more}base-uri 'none'; form-action 'none'"
_ENDONYMS = {"en": "English", "ja": "\u65e5\u672c\u8a9e"}


@cache
def style() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def whole_page(title: str, language: str, content: Sequence[Content], pictures: bool = False) -> str:
    """The page as text. Both languages are in `content`; `language` ("en" or "ja") is shown first.

    Args:
        pictures: whether it has pictures inside (data URIs); the page's own policy forbids everything else.

    Raises:
        EMoEError: an unknown language.
    """
    check_language(language)
    head = [
        void("meta", charset="utf-8"),
        void(
            "meta",
            http_equiv="Content-Security-Policy",
            content=_POLICY.format(more="img-src data:; " if pictures else ""),
        ),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        void("meta", name="generator", content="EMoE"),
        tag("title", title),
        Html(f"<style>\n{style()}</style>"),
    ]
    body = [*_switches(language), tag("div", *content, cls="page")]
    return f"<!DOCTYPE html>\n{tag('html', tag('head', *head), tag('body', *body), lang=language)}\n"


def check_language(language: str) -> None:
    """An `EMoEError` for a language that pages are not written in."""
    if language not in LANGUAGES:
        raise EMoEError(f"The report has no language '{language}'; choose {' or '.join(LANGUAGES)}.")


def _switches(language: str) -> list[Html]:
    """Radio buttons that the style sheet reads, so that the language changes without a script."""
    return [
        void(
            "input",
            type="radio",
            name="language",
            id=f"show-{one}",
            aria_label=_ENDONYMS[one],
            checked="checked" if one == language else None,
        )
        for one in LANGUAGES
    ]


def top(say: Say, about: Content, keys: Iterable[str]) -> Html:
    """The page's title, the switch of languages, what the page is about, and links to its sections."""
    labels = (tag("label", _ENDONYMS[one], for_=f"show-{one}", lang=one) for one in LANGUAGES)
    links = (tag("a", say(f"nav_{key}"), href=f"#{key}") for key in keys)
    return tag(
        "header",
        tag("div", tag("h1", say("title")), tag("div", *labels, cls="languages"), cls="bar"),
        tag("p", about, cls="about"),
        tag("nav", *links, aria_label="Sections / \u76ee\u6b21"),
    )


def section(say: Say, key: str, body: Html) -> Html:
    """A section with its title and what it is about."""
    lead = tag("p", say(f"{key}_lead"), cls="lead")
    return tag(
        "section", tag("h2", say(f"{key}_title"), id=f"{key}-title"), lead, body, id=key, aria_labelledby=f"{key}-title"
    )


def tiles(*found: tuple[str, Content]) -> Html:
    """A few large numbers, each with what it counts."""
    made = (tag("div", tag("dt", text), tag("dd", number), cls="tile") for number, text in found)
    return tag("dl", *made, cls="tiles")


def table(title: Content, head: Sequence[Content], rows: Iterable[Sequence[Content]], key: str) -> Html:
    """A table that scrolls in its own box when it is wider than the page. The first cell of a row names it."""
    caption = tag("caption", title, id=f"table-{key}")
    top = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head)))
    body = [tag("tr", tag("th", cells[0], scope="row"), *(tag("td", cell) for cell in cells[1:])) for cells in rows]
    inner = tag("table", caption, top, tag("tbody", *body))
    return tag("div", inner, cls="scroll", tabindex=0, role="region", aria_labelledby=f"table-{key}")
