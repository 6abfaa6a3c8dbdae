"""The page's section on the prompts that were scored and not drawn."""

from collections.abc import Sequence

from ...pages.frame import DASH, table
from ...pages.markup import Both, Content, Html, join, prompt, tag
from ...records.message import Message
from ..evidence import Evidence
from ..look import NONSENSE, SHUFFLED, Separation
from .wording import reading_name, say, two


def look_section(shown: Evidence) -> Html:
    """How well known and unknown prompts are told apart, by every reading, and the controls of the set."""
    if shown.look is None:
        return Html("")
    readings = list(dict.fromkeys(one.reading for one in shown.look.separations))
    kinds = list(dict.fromkeys(one.kind for one in shown.look.separations))
    known = {(one.kind, one.reading): one for one in shown.look.separations}
    rows: list[Sequence[Content]] = []
    for kind in kinds:
        cells = [_cell(known.get((kind, reading))) for reading in readings]
        rows.append([_kind(kind), *cells])
    rated = {fit.reading: fit for fit in shown.look.rated}
    if rated:
        fits = [rated.get(reading) for reading in readings or list(rated)]
        rows.append([say("look_rated"), *(DASH if fit is None else two(fit.rho) for fit in fits)])
    head = [say("head_kind"), *(reading_name(reading) for reading in readings or list(rated))]
    expert = next((name for name in shown.experts if name), "1")
    said = [_both(one) for one in shown.look.control_messages(_main(shown, readings), expert)]
    return join(
        table(say("look_table"), head, rows, "look") if rows else "",
        tag("ul", *(tag("li", one) for one in said), cls="plain") if said else "",
    )


def _main(shown: Evidence, readings: Sequence[str]) -> str:
    name = shown.main.name if shown.main is not None else ""
    return name if name in readings else next(iter(readings), "")


def _cell(one: Separation | None) -> Content:
    return DASH if one is None else say("with_range", value=two(one.auroc), low=two(one.low), high=two(one.high))


def _kind(kind: str) -> Content:
    if kind in (SHUFFLED, NONSENSE):
        return say(f"look_{kind}")
    return say("look_language", language=prompt(kind, 40))


def _both(message: Message) -> Both:
    """A message in both languages; its texts are shown as prompts are, so that nobody's name becomes markup."""

    def shown(text: str) -> str:
        return str(prompt(text, 60))

    return Both(Html(message.line("en", shown)), Html(message.line("ja", shown)))
