"""Group by group: its worst and best prompts, and the words and concepts that raise its score most."""

from collections.abc import Sequence

from ...pages.markup import LONGEST, Both, Content, Html, join, prompt, tag
from ...pages.wording import percent, short, signed, whole
from ..result import AuditResult, Cause, GroupStats, PromptScore
from .charts import finding_of
from .names import Names
from .wording import say

MANY = 60  # from this many groups on, fewer prompts per group are shown
MOST = 400  # groups that are shown one by one
PRINTED = 60  # groups that are printed without being opened


def groups(result: AuditResult, names: Names) -> Html:
    """All groups, those that need data first at the top."""
    wanted = {(p.column, p.value): place for place, p in enumerate(result.priorities)}
    ordered = sorted(result.groups, key=lambda g: wanted.get((g.column, g.value), len(wanted)))
    few, longest = (5, LONGEST) if len(ordered) <= MANY else (3, LONGEST // 2)
    parts: list[Content] = []
    for column in result.columns:
        own = [g for g in ordered if g.column == column]
        shown = own[: max(1, MOST * len(own) // len(ordered))] if len(ordered) > MOST else own
        parts.append(tag("h3", names.column(column)))
        for place, group in enumerate(shown):
            parts.append(_group(group, names, (few, longest), place == 0, place < PRINTED, finding_of(result, group)))
        if len(shown) < len(own):
            parts.append(tag("p", say("groups_left", count=whole(len(own) - len(shown))), cls="note"))
    return join(*parts)


def _group(group: GroupStats, names: Names, room: tuple[int, int], first: bool, printed: bool, found: Both) -> Html:
    few, longest = room
    code = names.code(group.column, group.value)
    head: list[Content] = [tag("bdi", names.group(group.column, group.value), cls="name")]
    if code:
        head.append(tag("small", code))
    head.append(tag("span", found, cls=f"pill {group.finding.split()[-1]}"))
    count = say("prompts_count", count=whole(group.n))
    median = say("median_is", value=short(group.score.median)) if group.score else ""
    head.append(tag("span", count, " · " if median else "", median, cls="facts"))
    body: list[Content] = [_text(group), _prompts(group.worst[:few], "worst_prompts", longest)]
    if group.n > few:
        body.append(_prompts(group.best[:few], "best_prompts", longest))
    body += [_concepts(group.concepts[: 2 * few]), _words(group.words[: 2 * few])]
    said = {"open": "open"} if first else {}
    cls = "group" if printed else "group unprinted"
    return tag("details", tag("summary", *head), tag("div", *body, cls="body"), cls=cls, **said)


def _text(group: GroupStats) -> Content:
    facts = group.text
    if facts is None:
        return ""
    said: list[Content] = [say("fact_words", value=f"{facts.words:g}")]
    if facts.tokens is not None:
        said.append(say("fact_tokens", value=f"{facts.tokens:g}"))
    if facts.truncated:
        said.append(say("fact_truncated", share=percent(facts.truncated)))
    if group.failed:
        said.append(say("fact_failed", count=whole(group.failed)))
    return tag("p", *(tag("span", part, cls="listed") for part in said), cls="note")


def _prompts(found: Sequence[PromptScore], title: str, longest: int) -> Html:
    rows = [
        tag("li", tag("span", short(one.score), cls="score"), prompt(one.prompt, longest), _id(one)) for one in found
    ]
    return _part(title, rows)


def _part(title: str, rows: Sequence[Html], cls: str = "prompts") -> Html:
    return tag("div", tag("h4", say(title)), tag("ul", *rows, cls=cls), cls="part") if rows else Html("")


def _id(one: PromptScore) -> Content:
    return tag("small", prompt(one.id, 60)) if one.id and one.id != one.prompt else ""


def _concepts(found: Sequence[Cause]) -> Html:
    rows = [
        tag(
            "li",
            tag("span", signed(cause.lift), cls="score"),
            prompt(cause.text, 100),
            tag("small", prompt(cause.example, 100)) if cause.example != cause.text else "",
        )
        for cause in found
    ]
    return _part("concepts", rows)


def _words(found: Sequence[Cause]) -> Html:
    chips = [tag("li", prompt(cause.text, 40), tag("small", signed(cause.lift))) for cause in found]
    return _part("words", chips, "chips")
