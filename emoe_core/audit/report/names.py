"""The names of groups: languages and territories by their names instead of their codes."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ...pages.markup import Both, plain
from ..result import AuditResult
from .wording import say

LANGUAGE, TERRITORY, PLAIN = "language", "territory", "plain"
_LANGUAGE_COLUMNS = ("lang", "locale", "\u8a00\u8a9e")  # the last is Japanese for a language
_TERRITORY_COLUMNS = (
    *("territor", "country", "countries", "region", "market", "nation", "geo"),
    *("\u56fd", "\u5730\u57df", "\u5e02\u5834"),  # Japanese for a country, a region, a market
)
_ENOUGH = 0.6  # a column holds languages or territories if at least this share of its values is known
_LONGEST = 60


@cache
def data(name: str) -> Any:
    """world.json or names.json; see tools/world_map."""
    return json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text(encoding="utf-8"))


@cache
def _by_name() -> dict[str, str]:
    """Names of territories in lower case, English and Japanese, with their codes."""
    names = data("names")
    own = {name.lower(): code for code, both in names["territories"].items() for name in both}
    return {**names["also"], **own}


def language_name(value: str) -> Both | None:
    """Names of a language code such as ja, pt-BR or zh_Hans, or None."""
    known = data("names")
    code = value.strip().replace("_", "-")
    main, *rest = code.split("-")
    rest = [part.upper() if len(part) == 2 else part.title() for part in rest]
    code = "-".join([main.lower(), *rest])
    if code in known["languages"]:
        return Both(*known["languages"][code])
    if main.lower() in known["languages"] and len(rest) == 1:
        base = known["languages"][main.lower()]
        where = known["territories"].get(rest[0], [rest[0]] * 2)
        return Both(f"{base[0]} ({where[0]})", f"{base[1]} ({where[1]})")
    return None


def territory_code(value: str, any_case: bool = True) -> str | None:
    """The ISO 3166 alpha-2 code of a code (two letters, three letters, number) or of an English or Japanese name.

    Args:
        any_case: whether two small letters are also a code; otherwise they may be a language.
    """
    known = data("names")
    text = value.strip()
    code = text.upper()
    if len(text) in (2, 3) and not any_case and text != code and text.lower() not in _by_name():
        return None
    if code in known["territories"]:
        return code
    found = known["codes"].get(code.zfill(3) if code.isdecimal() else code) or _by_name().get(text.lower())
    return str(found) if found else None


def kind_of(column: str, values: Sequence[str]) -> str:
    """Whether a column holds languages, territories, or something else."""
    name = column.casefold()
    if any(part in name for part in _LANGUAGE_COLUMNS):
        return LANGUAGE if sum(language_name(v) is not None for v in values) >= _ENOUGH * len(values) else PLAIN
    hinted = any(part in name for part in _TERRITORY_COLUMNS)
    known = sum(territory_code(v, hinted) is not None for v in values)
    enough = known >= _ENOUGH * len(values) if hinted else known >= max(4, 0.9 * len(values))
    return TERRITORY if values and enough else PLAIN


class Names:
    """Names of the columns and groups of one audit."""

    def __init__(self, result: AuditResult) -> None:
        self.kinds = {c: kind_of(c, [g.value for g in result.of_column(c)]) for c in result.columns}

    def column(self, column: str) -> Both:
        """The column's name; the usual ones are translated."""
        name = column.strip().casefold()
        if name in ("language", "lang", "region", "territory", "country", "market", "topic", "kind", "gender", "age"):
            return say(f"column_{name}")
        return Both(plain(column, _LONGEST), plain(column, _LONGEST))

    def group(self, column: str, value: str) -> Both:
        """The group's name."""
        if not value:
            return say("empty_value")
        found: Both | None = None
        if self.kinds.get(column) == LANGUAGE:
            found = language_name(value)
        elif self.kinds.get(column) == TERRITORY and (code := territory_code(value)):
            found = Both(*data("names")["territories"][code])
        return found or Both(plain(value, _LONGEST), plain(value, _LONGEST))

    def code(self, column: str, value: str) -> str:
        """The value in the file if it differs from the name, else ""."""
        shown, name = plain(value, _LONGEST), self.group(column, value)
        return "" if not value or shown in (name.en, name.ja) else shown

    def against(self, column: str, against: str) -> Both:
        """The name of what a group is compared with, from `Effect.against`."""
        own, _, value = against.partition("=")
        return self.group(column, value) if own == column and value else say("others")
