"""HTML from Python. Everything from outside this module is escaped, so a prompt can never become markup."""

import html
import unicodedata
from dataclasses import dataclass

LONGEST = 240  # letters shown of a prompt or a message


class Html(str):
    """Text that is already markup."""

    __slots__ = ()


@dataclass(frozen=True)
class Both:
    """The same in English and in Japanese; each side is plain text or `Html`."""

    en: str
    ja: str

    @property
    def same(self) -> bool:
        return self.en == self.ja


Content = str | Both | int


def plain(text: str, longest: int = LONGEST) -> str:
    """A user's text in one line: cut, with invisible characters (controls, direction marks) spelled out."""
    cut = text if len(text) <= longest else text[:longest].rstrip() + " …"
    return "".join(_visible(letter) for letter in " ".join(cut.split()))


def _visible(letter: str) -> str:
    turning = "\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069"
    no_letter = ord(letter) & 0xFFFE == 0xFFFE or "\ufdd0" <= letter <= "\ufdef"
    hidden = turning or no_letter or unicodedata.category(letter) in ("Cc", "Cs")
    return f"[U+{ord(letter):04X}]" if hidden else letter


def escaped(text: str) -> Html:
    """Plain text as HTML; `Html` stays as it is."""
    return text if isinstance(text, Html) else Html(html.escape(text, quote=True))


def render(content: Content) -> Html:
    """Any content as HTML. A `Both` contains both languages, of which style.css shows one."""
    if isinstance(content, Both):
        if content.same:
            return escaped(content.en)
        sides = (
            f'<span class="{lang}" lang="{lang}">{escaped(getattr(content, lang))}</span>' for lang in ("en", "ja")
        )
        return Html("".join(sides))
    return escaped(content if isinstance(content, str) else str(content))


def tag(name: str, /, *children: Content, **attributes: str | int | None) -> Html:
    """An element. `cls` and `for_` stand for class and for, underscores for hyphens; None leaves an attribute out."""
    said = "".join(
        f' {_attribute(key)}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{said}>{''.join(map(render, children))}</{name}>")


def void(name: str, /, **attributes: str | int | None) -> Html:
    """An element without content."""
    return Html(tag(name, **attributes).removesuffix(f"</{name}>"))


def join(*parts: Content) -> Html:
    """Parts one after the other."""
    return Html("".join(map(render, parts)))


def prompt(text: str, longest: int = LONGEST) -> Html:
    """A user's text, in its own writing direction whatever surrounds it."""
    return tag("bdi", plain(text, longest), dir="auto", cls="prompt")


def _attribute(key: str) -> str:
    return {"cls": "class", "for_": "for"}.get(key, key.replace("_", "-"))
