"""Which of a trial's pictures are good and which are bad, and who says so."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EMoEError
from ..stats.agreement import Agreement, kappa
from ..stats.compare import wilson
from .store import BAD, Contents, Picture, Prompt

MARKS, JUDGE = "marks", "judge:"


@dataclass(frozen=True)
class Labelled:
    """A prompt with those of its pictures that have a label.

    Attributes:
        pictures: each with whether it is bad, in the order of their numbers.
    """

    prompt: Prompt
    pictures: tuple[tuple[Picture, bool], ...]

    @property
    def bad(self) -> bool:
        """Whether at least half of the pictures are bad."""
        return 2 * sum(bad for _, bad in self.pictures) >= len(self.pictures)

    @property
    def share(self) -> float:
        """The share of bad ones among the pictures."""
        return sum(bad for _, bad in self.pictures) / len(self.pictures)


def sources(contents: Contents) -> list[str]:
    """What labels the trial has: "marks", and each judge that says good or bad."""
    marked = any(picture.quality for prompt in contents.pictured for picture in prompt.pictures)
    judges = sorted({one.judge for one in contents.judgements if one.bad is not None})
    return [*([MARKS] if marked else []), *(f"{JUDGE}{judge}" for judge in judges)]


def labelled(contents: Contents, labels: str) -> tuple[Labelled, ...]:
    """The drawn prompts with a labelled picture.

    Raises:
        EMoEError: there are no pictures, or no such labels.
    """
    prompts = contents.pictured
    if not prompts:
        raise EMoEError("The trial has no pictures; draw some with 'python -m emoe_core prove draw'.")
    if labels == MARKS:
        bad = {one.id: one.quality == BAD for prompt in prompts for one in prompt.pictures if one.quality}
    elif labels.startswith(JUDGE):
        judge = labels.removeprefix(JUDGE)
        bad = {one.picture: one.bad for one in contents.judgements if one.judge == judge and one.bad is not None}
    else:
        raise EMoEError(f"Labels are '{MARKS}' or '{JUDGE}NAME', not '{labels}'.")
    rows = (
        Labelled(prompt, tuple((one, bad[one.id]) for one in prompt.pictures if one.id in bad)) for prompt in prompts
    )
    chosen = tuple(one for one in rows if one.pictures)
    if not chosen:
        known = sources(contents)
        advice = f"choose --labels {' or '.join(known)}" if known else "mark some in the Review tab, or let a judge say"
        wanted = "marked" if labels == MARKS else f"judged good or bad by '{labels.removeprefix(JUDGE)}'"
        raise EMoEError(f"No picture of the trial is {wanted}; {advice}.")
    return chosen


def agreement(contents: Contents) -> dict[str, Agreement]:
    """By judge: how far its verdicts agree with the marks on the pictures that have both."""
    marks = {one.id: one.quality == BAD for prompt in contents.pictured for one in prompt.pictures if one.quality}
    found: dict[str, tuple[list[bool], list[bool]]] = {}
    for one in contents.judgements:
        if one.bad is not None and one.picture in marks:
            eye, judge = found.setdefault(one.judge, ([], []))
            eye.append(marks[one.picture])
            judge.append(one.bad)
    return {judge: kappa(*both) for judge, both in sorted(found.items())}


def share(rows: Sequence[Labelled]) -> tuple[float, float, float]:
    """The prompts' mean share of bad pictures, with Wilson's interval for as many prompts."""
    mean = sum(one.share for one in rows) / len(rows)
    return (mean, *wilson(mean, len(rows)))


def group_columns(rows: Sequence[Labelled]) -> list[str]:
    """Columns whose labels cover two prompts or more on average: neither row numbers nor free text."""
    found = []
    for name in dict.fromkeys(column for one in rows for column in one.prompt.columns):
        values = [one.prompt.columns.get(name, "").strip() for one in rows]
        known = [value for value in values if value]
        if known and name != "stage" and 2 * len(set(known)) <= len(known):
            found.append(name)
    return found
