"""CLIP as a judge: `clip` asks whether a picture finds its own prompt among others, `clip_score` how well it fits it at all."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import comfy.model_management
import torch
from torch import Tensor

from ....trial.judges import Asked, LeftOut, digest, drawn
from ....trial.judges.retrieval import FEWEST, LEVEL, OTHERS, chance, others, place, same
from ....trial.pictures import NoPicture
from ....trial.store import Contents, Judgement
from . import See
from .space import Space

RETRIEVAL, SCORE = "clip", "clip_score"
_TOGETHER = 8  # pictures that go through the model at once
_SAMPLE = 64  # pictures of the check
_UNPROVEN = "unproven"
_ALONE = "the trial has no other prompt to compare theirs with"


class ClipJudge:
    """Judges by the cosine of a picture's and a prompt's vector in CLIP's space.

    `clip`: its value is the share of other prompts that fit the picture worse than its own (`retrieval.Place`), and it is bad
    where its own is not among the first `top`. `clip_score`: its value is 100 max(cos, 0), which the text-to-image literature
    reports as CLIPScore and the paper used (arXiv 2505.13273); Hessel et al. 2021 (arXiv 2104.08718) have 2.5 in place of 100.
    It is bad below `threshold`, and without one there is no verdict: the number depends on the model.

    Equal shapes do not prove that a vision and a text model belong together. So a part of the trial is looked at first: where
    pictures find their own prompts no more often than chance does (`retrieval.chance`), values are given and no verdicts.
    """

    def __init__(
        self, kind: str, space: Space, see: See, contents: Contents, top: int, threshold: float | None = None
    ) -> None:
        """
        Args:
            kind: RETRIEVAL or SCORE.
            contents: of the trial, for its prompts and for what was judged before.
        """
        space.check()
        self.name, self._space, self._see = kind, space, see
        self._top, self._threshold = top, threshold
        self._asked = drawn(contents)
        self._before = {one.about for one in contents.judgements if one.judge == kind}
        self._prompts = list(dict.fromkeys(one.prompt.prompt for one in self._asked))
        self._rest: dict[str, list[str]] = {}
        self._texts: dict[str, Tensor] = {}
        self._seen: dict[int, Tensor | LeftOut] = {}
        self.notes: list[str] = []

    # --- what was judged before ---------------------------------------------------------------------------------------

    def about(self, asked: Asked) -> str:
        """See `Judge.about`. While the trial has no hundred others, the number of them counts: more make it harder."""
        return f"{self._digest}:{len(self._others(asked))}" if self.name == RETRIEVAL else self._digest

    @cached_property
    def _digest(self) -> str:
        setting = self._top if self.name == RETRIEVAL else self._threshold
        return digest([self._space.identity(), setting])

    def _others(self, asked: Asked) -> list[str]:
        own = asked.prompt.prompt
        if own not in self._rest:
            self._rest[own] = others(own, self._prompts)
        return self._rest[own]

    # --- judging ------------------------------------------------------------------------------------------------------

    def judge(self, asked: Sequence[Asked]) -> Iterable[Judgement | LeftOut]:
        """See `Judge.judge`."""
        proven = self._proven()
        fewest = OTHERS
        for start in range(0, len(asked), _TOGETHER):
            for one, seen in self._look(asked[start : start + _TOGETHER]):
                if isinstance(seen, LeftOut):
                    yield seen
                elif self.name == RETRIEVAL and not self._others(one):
                    yield LeftOut(one.picture.id, _ALONE)
                else:
                    value, bad = self._word(one, seen)
                    about = self.about(one)
                    yield Judgement(
                        one.picture.id,
                        self.name,
                        value,
                        bad if proven else None,
                        about if proven else f"{about}:{_UNPROVEN}",
                    )
                    fewest = min(fewest, len(self._others(one))) if self.name == RETRIEVAL else fewest
        if fewest < OTHERS:
            part = max(1.0, self._top * (fewest + 1) / (OTHERS + 1)) / (fewest + 1)
            self.notes.append(
                f"Each picture's own prompt was compared with {fewest} others, since the trial has no {OTHERS}; "
                f"by chance {part:.0%} of the pictures would be good."
            )

    def _word(self, asked: Asked, seen: Tensor) -> tuple[float, bool | None]:
        own = self._fit(seen, asked.prompt.prompt)
        if self.name == SCORE:
            score = 100 * max(own, 0.0)
            return score, None if self._threshold is None else score < self._threshold
        found = place(own, [self._fit(seen, text) for text in self._others(asked)])
        return found.share, not found.within(self._top)

    def _fit(self, seen: Tensor, text: str) -> float:
        return float(seen @ self._text(text))

    def _text(self, text: str) -> Tensor:
        if text not in self._texts:
            comfy.model_management.throw_exception_if_processing_interrupted()
            self._texts[text] = self._space.text(text)
        return self._texts[text]

    def _look(self, asked: Sequence[Asked]) -> Iterator[tuple[Asked, Tensor | LeftOut]]:
        """The pictures' vectors; what the check has looked at is not opened again."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        images = {}
        for one in asked:
            if one.picture.id in self._seen:
                continue
            try:
                images[one.picture.id] = self._see(one.picture)
            except NoPicture as reason:
                self._seen[one.picture.id] = LeftOut(one.picture.id, str(reason))
        if images:
            self._seen |= zip(images, self._space.pictures(list(images.values())), strict=True)
        for one in asked:
            yield one, self._seen[one.picture.id]

    # --- do both parts belong together? -------------------------------------------------------------------------------

    def _proven(self) -> bool:
        """Whether pictures find their own prompts more often than by chance; said in a note where they do not."""
        if any(about.startswith(self._digest) and not about.endswith(_UNPROVEN) for about in self._before):
            return True
        first = list({same(one.prompt.prompt): one for one in reversed(self._asked)}.values())
        step = max(1, len(first) // _SAMPLE)
        ordered = [one for offset in range(step) for one in first[offset::step]]  # spread over the trial
        seen: list[tuple[Asked, Tensor]] = []
        for start in range(0, len(ordered), _TOGETHER):
            if len(seen) >= _SAMPLE:
                break
            seen += [(one, v) for one, v in self._look(ordered[start : start + _TOGETHER]) if isinstance(v, Tensor)]
        no_verdicts = "so values are given and no verdicts"
        if len(seen) < FEWEST:
            self.notes.append(
                f"With pictures of fewer than {FEWEST} prompts it cannot be checked that the CLIP vision and the CLIP belong "
                f"together, {no_verdicts}."
            )
            return False
        fits = torch.stack([v for _, v in seen]) @ torch.stack([self._text(one.prompt.prompt) for one, _ in seen]).T
        found = chance(fits.double().numpy())
        if found >= LEVEL:
            self.notes.append(
                f"Pictures find their own prompts no more often than by chance (p = {found:.2f}): the CLIP vision and the CLIP "
                f"do not belong together, or the pictures show nothing of their prompts; {no_verdicts}."
            )
        return found < LEVEL
