"""The pack's HTML pages as a test reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = {"meta", "input", "img", "br", "path", "circle"}


class Page(HTMLParser):
    """Elements and texts of a page; complains when elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID or (tag in ("path", "circle") and not (self.get_starttag_text() or "").endswith("/>")):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class Japanese(HTMLParser):
    """What a page shows in Japanese, without the user's own texts; and what it shows in English all the same."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shown, self.english = "", ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        cls, language = dict(attrs).get("class") or "", dict(attrs).get("lang")
        own = tag in ("bdi", "code", "style", "title") or cls == "prompt"
        self._open.append("hidden" if own or cls == "en" else "english" if language == "en" and tag == "span" else "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if "english" in self._open:
            self.english += data
        elif "hidden" not in self._open:
            self.shown += data


def links_lead_somewhere(text: str) -> bool:
    """Whether every link, label and name of a page is that of one element, and there are as many as a page has."""
    elements = Page(text).elements
    ids = [str(attributes["id"]) for _, attributes in elements if "id" in attributes]
    wanted = {str(a["href"])[1:] for _, a in elements if "href" in a}
    wanted |= {str(a[name]) for _, a in elements for name in ("for", "aria-labelledby") if name in a}
    return len(ids) == len(set(ids)) and len(wanted) > 15 and wanted <= set(ids)


@contextmanager
def read_in(browser: Any, path: Path, width: int, scheme: str, embedded: str = "data:nothing") -> Iterator[Any]:
    """A page, opened from disk; afterwards nothing was said on the console and nothing else was asked for.

    Args:
        embedded: how the addresses begin of what lies in the page itself, and may be asked for.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    assert said == [] and [url for url in asked if not url.startswith(embedded)] == [path.as_uri()]
    context.close()


def too_wide(page: Any) -> list[str]:
    """What reaches beyond the page, boxes that scroll by themselves apart."""
    found: list[str] = page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            return [...document.querySelectorAll('body *')].filter((one) => {
                const box = one.getBoundingClientRect();
                return box.width && box.right > width + 1 && !one.closest('.scroll') && !one.closest('svg');
            }).map((one) => one.outerHTML.slice(0, 120));
        }"""
    )
    return found if page.evaluate("() => document.documentElement.scrollWidth > innerWidth") or found else []


def hard_to_read(page: Any) -> list[tuple[str, str]]:
    """What axe finds serious or critical on a page that a browser shows."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:160]) for one in found if one["impact"] in ("serious", "critical")]
