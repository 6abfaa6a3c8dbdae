"""Judges: what says of a trial's pictures how good they are, for those who do not want to look at everything.

A judge is any object with the parts of `Judge`. Adding one is one file: it gets pictures with their prompts, and answers
each with a `Judgement` or a `LeftOut`. `work` gives it what it has not judged yet, and keeps what it says as it comes.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...errors import EMoEError
from ...stats.agreement import kappa
from ..store import BAD, Contents, Judgement, Picture, Prompt, Trial

#: Judgements are stored after this many, or after this many seconds.
_TOGETHER, _SECONDS = 32, 5.0


@dataclass(frozen=True)
class Asked:
    """A picture with its prompt, as a judge gets it."""

    picture: Picture
    prompt: Prompt


@dataclass(frozen=True)
class LeftOut:
    """A picture that a judge could not judge.

    Attributes:
        reason: follows "left out:", such as "no file of theirs is in ComfyUI's folders".
    """

    picture: int
    reason: str


class Judge(Protocol):
    """Says how good pictures are."""

    @property
    def name(self) -> str:
        """What its judgements are stored under."""

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say when it has judged, in sentences."""

    def about(self, asked: Asked) -> str:
        """A digest of what its word on this picture rests on besides the picture; what was judged so is not asked again.

        "" where asking costs nothing: then it is always asked again.
        """

    def judge(self, asked: Sequence[Asked]) -> Iterable[Judgement | LeftOut]:
        """Its word on each picture, in any order; one that takes long yields them one by one."""


@dataclass
class Judged:
    """What a judge has done.

    Attributes:
        judge: its name.
        now: pictures that were judged in this run; `before`: those that had been judged earlier and were not asked again.
        bad: how many of its judgements say bad, and `good` the opposite; a judge may give a value alone.
        left_out: pictures by the reason why they were not judged.
        notes: what else there is to say.
    """

    judge: str
    now: int = 0
    before: int = 0
    good: int = 0
    bad: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The same as sentences."""
        done = f"'{self.judge}' judged {_counted(self.now)}"
        done += f" now and {self.before} before" if self.before else ""
        verdicts = self.good + self.bad
        says = f": {self.bad} of {verdicts} are bad" if verdicts else ", without saying good or bad"
        said = [f"{done}{says}."]
        said += [f"{_counted(count)} left out: {reason}." for reason, count in sorted(self.left_out.items())]
        return [*said, *self.notes]


def _counted(pictures: int) -> str:
    return f"{pictures} picture{'' if pictures == 1 else 's'}"


def drawn(contents: Contents) -> list[Asked]:
    """The trial's pictures with their prompts."""
    return [Asked(picture, prompt) for prompt in contents.pictured for picture in prompt.pictures]


def digest(what: Any) -> str:
    """A short digest of anything that is JSON."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def work(trial: Trial, judge: Judge, progress: Callable[[int, int], None] = lambda done, total: None) -> Judged:
    """Asks the judge of every picture that it has not judged yet, and stores what it says as it comes.

    What was said is kept when the judge fails or is stopped, and the next call goes on from there.

    Args:
        progress: called with how many pictures are done, and how many there are.

    Raises:
        EMoEError: there is no such trial, or it has no pictures.
    """
    contents = trial.contents()
    everything = drawn(contents)
    if not everything:
        raise EMoEError(f"The trial '{trial.path.stem}' has no pictures yet; draw some before they are judged.")
    known = {one.picture: one.about for one in contents.judgements if one.judge == judge.name}
    left = [asked for asked in everything if not _is_known(known.get(asked.picture.id), judge.about(asked))]
    found = Judged(judge.name, before=len(everything) - len(left))
    progress(found.before, len(everything))
    waiting: list[Judgement] = []
    since = time.monotonic()
    try:
        for said in judge.judge(left) if left else ():
            if isinstance(said, LeftOut):
                found.left_out[said.reason] += 1
            else:
                waiting.append(said)
                found.now += 1
            if len(waiting) >= _TOGETHER or time.monotonic() - since > _SECONDS:
                waiting, since = _stored(trial, waiting), time.monotonic()
            progress(found.before + found.now + found.left_out.total(), len(everything))
    finally:
        _stored(trial, waiting)
    found.notes += judge.notes
    _sum_up(trial, found)
    return found


def _is_known(before: str | None, now: str) -> bool:
    return bool(now) and before == now


def _stored(trial: Trial, waiting: list[Judgement]) -> list[Judgement]:
    """Stores them, and returns what then waits: nothing."""
    if waiting:
        trial.judge(waiting)
    return []


def _sum_up(trial: Trial, found: Judged) -> None:
    contents = trial.contents()
    verdicts = {one.picture: one.bad for one in contents.judgements if one.judge == found.judge and one.bad is not None}
    found.bad = sum(verdicts.values())
    found.good = len(verdicts) - found.bad
    eye = {asked.picture.id: asked.picture.quality == BAD for asked in drawn(contents) if asked.picture.quality}
    both = sorted(eye.keys() & verdicts.keys())
    if not both:
        return
    agreed = kappa([eye[picture] for picture in both], [verdicts[picture] for picture in both])
    same = sum(eye[picture] == verdicts[picture] for picture in both)
    if agreed.value != agreed.value:
        how = "all are on one side, so kappa cannot be told"
    else:
        how = f"Cohen's kappa {agreed.value:.2f}, 95 % interval {agreed.low:.2f} to {agreed.high:.2f}"
    found.notes.append(
        f"Of {_counted(len(both))} that were marked by eye too, the judge says the same of {same} ({how})."
    )
