"""The judge `question`: a vision-language text encoder is asked about each picture, on hosts whose encoders can write."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import comfy.model_management
import numpy as np
import torch
from PIL.Image import Image

from ....errors import EMoEError
from ....trial.judges import Asked, LeftOut, digest
from ....trial.pictures import NoPicture
from ....trial.store import Judgement
from ..experts.identity import clip_identity
from . import See

NAME = "question"
PROMPT = "{prompt}"
QUESTION = f"Does this picture show the following? {PROMPT}\nAnswer with yes or no only."
_WORDS = 16  # tokens of an answer
_YES_OR_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_THOUGHT = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)
_UNCLEAR = "the text encoder answered neither yes nor no"
_OTHER = "load one that sees pictures and writes, such as Qwen3-VL or Gemma, with Load CLIP, or choose another judge"


class QuestionJudge:
    """Asks whether the picture shows its prompt: yes is 1 and good, no is 0 and bad."""

    name = NAME
    notes: Sequence[str] = ()

    def __init__(self, clip: Any, see: See, question: str = "") -> None:
        """
        Args:
            question: with {prompt} where the prompt belongs; "" takes the pack's own.
        """
        self._clip, self._see, self._question = clip, see, question.strip() or QUESTION
        if clip is None:
            raise EMoEError(f"The judge {NAME} needs clip; {_OTHER}.")
        if PROMPT not in self._question:
            raise EMoEError(f"The question does not say where the prompt belongs; write {PROMPT} there.")
        if not callable(getattr(clip, "generate", None)):
            raise EMoEError(
                "Text encoders of this ComfyUI cannot answer questions; update ComfyUI to one that has the node Generate Text, "
                "or choose another judge."
            )

    def about(self, asked: Asked) -> str:
        """See `Judge.about`."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest([clip_identity(self._clip, "the text encoder"), self._question])

    def judge(self, asked: Sequence[Asked]) -> Iterable[Judgement | LeftOut]:
        """See `Judge.judge`."""
        for one in asked:
            comfy.model_management.throw_exception_if_processing_interrupted()
            try:
                answer = self._answer(self._see(one.picture), one.prompt.prompt)
            except NoPicture as reason:
                yield LeftOut(one.picture.id, str(reason))
                continue
            found = _YES_OR_NO.search(_THOUGHT.sub(" ", answer))
            if found is None:
                yield LeftOut(one.picture.id, _UNCLEAR)
            else:
                yes = found.group().lower() == "yes"
                yield Judgement(one.picture.id, NAME, float(yes), not yes, self._digest)

    def _answer(self, image: Image, prompt: str) -> str:
        """As the node Generate Text asks, without drawing lots."""
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)[None]
        text = self._question.replace(PROMPT, prompt)
        try:
            tokens = self._clip.tokenize(text, image=pixels, skip_template=False, min_length=1, thinking=False)
            sees = any(
                not isinstance(token[0], (int, float))
                for windows in tokens.values()
                for window in windows
                for token in window
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise EMoEError(f"This text encoder cannot see pictures; {_OTHER}.") from error
        if not sees:
            raise EMoEError(f"This text encoder cannot see pictures; {_OTHER}.")
        try:
            with torch.no_grad():
                written = self._clip.generate(tokens, do_sample=False, max_length=_WORDS, seed=0)
            return str(self._clip.decode(written))
        except (AttributeError, NotImplementedError) as error:
            raise EMoEError(f"This text encoder cannot write; {_OTHER}.") from error
