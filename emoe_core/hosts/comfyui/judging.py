"""The node Judge Trial: judges the pictures of a trial in ComfyUI's own folders."""

import platform
import re
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.utils
from comfy.cli_args import args
from PIL.Image import Image

from ...errors import EMoEError
from ...trial.judges import Judge, Judged, work
from ...trial.judges.demo import NAME as DEMO
from ...trial.judges.demo import DemoJudge
from ...trial.pictures import NoPicture, load
from ...trial.store import Picture, Trial
from . import trials
from .files import picture_file
from .judges.clip import RETRIEVAL, SCORE, ClipJudge
from .judges.question import NAME as QUESTION
from .judges.question import QuestionJudge
from .judges.space import Space

JUDGES = (RETRIEVAL, SCORE, QUESTION, DEMO)
_ADDRESS = re.compile(r"(https?)://(\[[^\]/]+\]|[^:/\[\]]+)(?::(\d{1,5}))?/?")
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")


@dataclass(frozen=True)
class Inputs:
    """The node's inputs besides the trial.

    Attributes:
        judge: one of JUDGES.
        top: of RETRIEVAL; `threshold`: of SCORE, where 0 is none; `question`: of QUESTION.
    """

    judge: str
    clip_vision: Any
    clip: Any
    top: int
    threshold: float
    question: str


def judge_trial(name: str, inputs: Inputs) -> Judged:
    """Judges what was not judged before, and keeps it in the trial as it comes.

    Raises:
        EMoEError: there is no such trial, or the judge lacks something.
    """
    trial = trials.trial(name)
    bar = _Bar()
    return work(trial, _judge(trial, inputs), bar.show)


def _judge(trial: Trial, inputs: Inputs) -> Judge:
    if inputs.judge == DEMO:
        return DemoJudge(_see)
    if inputs.judge == QUESTION:
        return QuestionJudge(inputs.clip, _see, inputs.question)
    if inputs.judge not in JUDGES:
        raise EMoEError(f"There is no judge named '{inputs.judge}'; choose one of {', '.join(JUDGES)}.")
    contents = trial.contents()  # first, since a missing trial is said before a missing model
    space = Space(inputs.clip_vision, inputs.clip, inputs.judge)
    return ClipJudge(inputs.judge, space, _see, contents, inputs.top, inputs.threshold or None)


class _Bar:
    """The node's progress bar; how long it is, the first call says."""

    _bar: Any = None

    def show(self, done: int, total: int) -> None:
        self._bar = self._bar or comfy.utils.ProgressBar(total)
        self._bar.update_absolute(done, total)


def _see(picture: Picture) -> Image:
    comfy.model_management.throw_exception_if_processing_interrupted()
    if picture.server and not _is_here(picture.server):
        # Servers count their files alike, so a file of the same name here may be another picture.
        raise NoPicture(f"{picture.server} drew them, which is not this ComfyUI")
    return load(picture_file(picture))


def _is_here(server: str) -> bool:
    """Whether this ComfyUI answers at the address."""
    address = _ADDRESS.fullmatch(server)
    if address is None:
        return False
    scheme, name, port = address.groups()
    own = (*_LOOPBACK, *str(args.listen).split(","), platform.node())
    return name.strip("[]") in own and int(port or _PORTS[scheme]) == args.port
