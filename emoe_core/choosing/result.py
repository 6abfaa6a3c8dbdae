"""What a choice's file says: which experts, at which price, with which settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EMoEError
from ..io.console import size_text
from ..records.calibration import Calibration
from ..records.message import Code, Message, dump_all
from ..scoring.presets import PRESETS
from ..stats.effective import Interval as EffectiveNumber
from ..trial.look import REFERENCE
from ..trial.store import Contents
from .effective import effective_number
from .kin import left_out
from .products import LAYOUT
from .record import Record, alone
from .select import GAIN_AT_LEAST, MOST, Selection, Step, pool_of, select
from .sweep import LOSS, Setting, Sweep, sweep
from .tasks import Interval, Split, of_trial, split
from .workflow import advised

#: What `Choice.tables` show.
TITLES = "What each further expert adds", "What each setting costs and loses"

#: An AUROC that says nothing, and one above which a pair tells all prompts apart.
_CHANCE, _ALL = 0.5, 0.9995


@dataclass(frozen=True, eq=False)
class Choice:
    """A record and what follows from it.

    Attributes:
        usable: the prompts that have a score.
    """

    record: Record
    usable: NDArray[np.bool_]
    split: Split
    selection: Selection
    sweep: Sweep

    @property
    def number(self) -> EffectiveNumber:
        """How many independent experts the candidates make, by their answers; copies count once."""
        same = [(*one.of, one.expert) for one in self.selection.redundant if len(one.of) == 1]
        return effective_number(self.record.products[0, LAYOUT].values, same)

    def messages(self, wrong: Sequence[Message] = ()) -> list[Message]:
        """What was found, what matters most first.

        Args:
            wrong: what is wrong with the candidates as a set, where that is known.
        """
        about, picked = self.record.about, self.selection
        names = [one.name for one in about.experts]
        chosen = [one for one in picked.steps if one.kept][-1]
        found = [
            Message.of(
                Code.TAKE,
                count=len(chosen.experts),
                candidates=len(names),
                experts=self._named(chosen.experts),
                value=chosen.value.value,
                low=chosen.value.low,
                high=chosen.value.high,
            )
        ]
        if self.record.done < len(about.prompts):
            found.append(Message.of(Code.MEASURED, done=self.record.done, total=len(about.prompts)))
        if chosen.value.low <= _CHANCE:
            found.append(Message.of(Code.CHANCE))
        if picked.steps[0].chosen > _ALL:
            found.append(Message.of(Code.EASY))
        if (single := self.sweep.better_alone) is not None:
            found.append(
                Message.of(
                    Code.STYLES,
                    expert=names[single.experts[0]],
                    alone=single.value,
                    together=self.sweep.dearest.value,
                    low=-single.loss.high,
                    high=-single.loss.low,
                )
            )
        found.append(self._advice())
        if (doubtful := self.sweep.doubtful) is not None:
            found.append(self._more_prompts(doubtful))
        if self.sweep.cheapest.calls < self.sweep.advised.calls:
            found.append(self._fewer())
        if (staged := self.sweep.staged) is not None:
            found.append(
                Message.of(
                    Code.STAGED,
                    calls=staged.calls,
                    dearest=self.sweep.dearest.calls,
                    loss=staged.loss.value,
                    low=staged.loss.low,
                    high=staged.loss.high,
                )
            )
        for before, step in zip(picked.steps, picked.steps[1:], strict=False):
            if step.gain is not None:
                found.append(self._further(before.experts, step, step.gain))
            if not step.kept:
                break
        every = picked.all_experts
        if len(chosen.experts) < len(names):
            found.append(
                Message.of(Code.EVERY, candidates=len(names), value=every.value, low=every.low, high=every.high)
            )
        for one in picked.redundant:
            if len(one.of) == 1:
                found.append(Message.of(Code.COPY_OF, expert=names[one.expert], other=names[one.of[0]]))
            else:
                found.append(
                    Message.of(Code.MERGE_OF, expert=names[one.expert], parents=self._named(one.of), share=one.weight)
                )
        found += wrong
        number = self.number
        low, high = (number.value if end is None else end for end in (number.low, number.high))
        found.append(Message.of(Code.EFFECTIVE, candidates=len(names), value=number.value, low=low, high=high))
        if lost := int((~self.usable).sum()):
            found.append(Message.of(Code.SCORELESS, count=lost))
        found.append(Message.of(Code.FIGURES))
        return found

    def _named(self, experts: Sequence[int]) -> list[Message]:
        return [Message.of(Code.EXPERT, name=self.record.about.experts[number].name) for number in experts]

    def _further(self, before: Sequence[int], step: Step, gain: Interval) -> Message:
        new = next((number for number in step.experts if number not in before), step.experts[-1])
        name = self.record.about.experts[new].name
        if not step.kept:
            return Message.of(
                Code.STOPPED, expert=name, gain=gain.value, low=gain.low, high=gain.high, least=GAIN_AT_LEAST
            )
        return Message.of(
            Code.ADDS,
            expert=name,
            gain=gain.value,
            low=gain.low,
            high=gain.high,
            seconds=self._seconds([new]),
            size=size_text(self._bytes([new])),
        )

    def _seconds(self, experts: Sequence[int]) -> float:
        return self.record.seconds(0, self.record.about.preset, experts, self.record.about.samples)

    def _bytes(self, experts: Sequence[int]) -> int:
        return sum(self.record.about.experts[number].size for number in experts)

    def _advice(self) -> Message:
        one = self.sweep.advised
        if one == self.sweep.dearest:
            return Message.of(
                Code.NONE_CHEAPER,
                allowed=self.sweep.allowed,
                preset=one.preset,
                samples=one.samples,
                level=self._level(one),
                calls=one.calls,
                seconds=one.seconds,
            )
        return Message.of(
            Code.ADVISED,
            allowed=self.sweep.allowed,
            preset=one.preset,
            samples=one.samples,
            level=self._level(one),
            calls=one.calls,
            dearest=self.sweep.dearest.calls,
            seconds=one.seconds,
            loss=one.loss.value,
            low=one.loss.low,
            high=one.loss.high,
        )

    def _more_prompts(self, one: Setting) -> Message:
        count = len({prompt.pair for prompt, usable in zip(self.record.prompts, self.usable, strict=True) if usable})
        return Message.of(
            Code.MORE_PROMPTS,
            preset=one.preset,
            samples=one.samples,
            level=self._level(one),
            calls=one.calls,
            count=count,
            missed=one.at_most,
            needed=math.ceil(count * self.sweep.more),
        )

    def _fewer(self) -> Message:
        one = self.sweep.cheapest
        return Message.of(
            Code.FEWER,
            experts=self._named(one.experts),
            preset=one.preset,
            samples=one.samples,
            level=self._level(one),
            calls=one.calls,
            loss=one.loss.value,
            low=one.loss.low,
            high=one.loss.high,
        )

    def _level(self, one: Setting) -> str:
        return self.record.about.levels[one.level].name()

    def tables(self) -> tuple[tuple[Sequence[str], list[list[str]], list[bool]], ...]:
        """Two tables, each with its head, its rows, and which of them count: the sets, and the settings."""
        names = [one.name for one in self.record.about.experts]
        sets, kept = [], []
        for step in self.selection.steps:
            sets.append(
                [
                    " + ".join(names[number] for number in step.experts),
                    step.value.text(),
                    "" if step.gain is None else step.gain.text(sign=True),
                    f"{self._seconds(step.experts):.3g}",
                    size_text(self._bytes(step.experts)),
                ]
            )
            kept.append(step.experts == self.selection.chosen)
        every = range(len(names))
        if len(names) > 2:
            row = [f"all {len(names)}", self.selection.all_experts.text(), "", f"{self._seconds(every):.3g}"]
            sets.append([*row, size_text(self._bytes(every))])
            kept.append(False)
        settings = [
            [
                f"{one.preset}{', staged' * one.staged}, {one.samples} x {len(one.experts)}, {self._level(one)}",
                f"{one.value:.3f}",
                "" if one == self.sweep.dearest else one.loss.text(sign=True),
                "" if one.agreement is None else f"{one.agreement:.2f}",
                f"{one.calls:.3g}",
                f"{one.seconds:.3g}",
            ]
            for one in self.sweep.shown()
        ]
        return (
            (("experts", "AUROC", "gain", "s per prompt", "memory"), sets, kept),
            (
                ("preset, noise samples x experts", "AUROC", "loss", "agreement", "calls", "s per prompt"),
                settings,
                [one == self.sweep.advised for one in self.sweep.shown()],
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        about = self.record.about
        return {
            "experts": [
                {
                    "name": one.name,
                    "file": one.file,
                    "identity": one.identity,
                    "bytes": one.size,
                    "seconds": self._seconds([n]),
                }
                for n, one in enumerate(about.experts)
            ],
            "levels": [{"step": one.step, "steps": one.steps, "size": list(one.size)} for one in about.levels],
            "effective_number": self.number.as_dict(),
            "prompts": {
                "measured": self.record.done,
                "asked": len(about.prompts),
                "without_score": int((~self.usable).sum()),
            },
            "preset": about.preset,
            "selection": self.selection.as_dict(),
            "sweep": self.sweep.as_dict(),
            **dump_all(self.messages()),
        }

    def calibration(self, name: str) -> Calibration:
        """The chosen experts' scores of the known prompts under the advised setting: Calibrate Gate, Uncertainty Score and the
        others take it for its settings."""
        one = self.sweep.advised
        scores = self.record.scores(one.level, one.preset, one.experts, one.samples)
        marked = any(prompt.bad is not None for prompt in self.record.prompts)
        places = [
            place
            for place, prompt in enumerate(self.record.prompts)
            if self.usable[place] and (prompt.bad is not None if marked else prompt.kind == REFERENCE)
        ]
        prompts = [self.record.prompts[place] for place in places]
        return Calibration(
            name,
            self.record.about.settings(one.level, one.preset, one.experts, one.samples),
            tuple(float(scores[place]) for place in places),
            tuple(prompt.text for prompt in prompts),
            "The known prompts that the experts and settings were chosen with.",
            bad=tuple(bool(prompt.bad) for prompt in prompts) if marked else (),
        )

    def workflow(self, graph: Mapping[str, Any], calibration: str) -> dict[str, Any]:
        """A workflow in API format with the chosen experts, the advised settings, and Load Calibration with this name.

        Raises:
            EMoEError: it has no Uncertainty Score, or its experts do not come from Load Experts or Add Expert.
        """
        one, about = self.sweep.advised, self.record.about
        return advised(graph, calibration, one, about.levels[one.level], self.selection.chosen, len(about.experts))


def choose(
    record: Record, most: int = MOST, loss: float = LOSS, marks: Contents | None = None, labels: str = ""
) -> Choice:
    """Everything that a record says.

    Args:
        most: the largest set that is looked for.
        loss: what the cheapest setting may lose.
        marks: a trial whose marks say which prompts are bad, in place of those that were known when it was measured.
        labels: whose marks of that trial, see `tasks.of_trial`.

    Raises:
        EMoEError: too few experts or prompts.
    """
    if marks is not None:
        record = _marked(record, marks, labels)
    about = record.about
    every = range(len(about.experts))
    scores = [
        record.scores(level, preset, every)
        for level in range(len(about.levels))
        for preset in record.presets(level)
        if not alone(preset)
    ]
    kin = left_out(about.redundant, record.products[0, LAYOUT])
    usable = np.all([np.isfinite(one) for one in scores], axis=0) & _told(record, pool_of(len(every), kin))
    halves = split(record.prompts, usable)
    picked = select(lambda chosen: record.scores(0, about.preset, chosen), halves, len(every), most, kin)
    sets = [one.experts for one in picked.steps if one.kept]
    return Choice(record, usable, halves, picked, sweep(record, halves, sets, usable, loss))


def _told(record: Record, pool: Sequence[int]) -> NDArray[np.bool_]:
    """The prompts that say something to each pair of these experts: to all of them but one at most."""
    chosen = list(pool)
    heard = [(one.square[:, :, chosen] > 0).sum(axis=2).min(axis=1) for one in record.products.values()]
    found: NDArray[np.bool_] = np.min(heard, axis=0) >= len(chosen) - 1
    return found


def _marked(record: Record, marks: Contents, labels: str) -> Record:
    bad = {one.text: one.bad for one in of_trial(marks, labels)}
    prompts = tuple(replace(one, bad=bad.get(one.text)) for one in record.about.prompts)
    if all(one.bad is None for one in prompts[: record.done]):
        raise EMoEError("None of the choice's prompts is marked in this trial; measure with the trial's prompts first.")
    return replace(record, about=replace(record.about, prompts=prompts))


def presets() -> list[str]:
    """The presets that a choice can be made by: those that compare experts."""
    return [name for name in PRESETS if not alone(name)]
