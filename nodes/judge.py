"""What a judge says of a trial's pictures."""

import time
from typing import Any

from comfy_api.latest import io

from ..emoe_core.hosts.comfyui import judging, trials
from ..emoe_core.hosts.comfyui.judges.question import QUESTION
from ..emoe_core.trial.judges.retrieval import OTHERS, TOP
from .api import ADVANCED, named
from .shown import joined, refused


class JudgeTrial(io.ComfyNode):
    """Judges the pictures of a trial, for those who do not want to look at all of them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named(
                "EMoE_JudgeTrial", "Judge Trial", "prove", "clip score", "retrieval", "image quality", "vision language"
            ),
            description=(
                "Judges a trial's pictures: does each show its prompt? Pictures that were judged before by the same models are "
                "not judged again, and a run that was stopped goes on where it was. Where some pictures were marked by hand, it "
                "says how far the judge agrees with the eye."
            ),
            inputs=[
                io.Combo.Input(
                    "trial",
                    options=trials.names(),
                    tooltip="One of the trials that were drawn. Press R to refresh the list.",
                ),
                io.Combo.Input(
                    "judge",
                    options=list(judging.JUDGES),
                    default=judging.JUDGES[0],
                    tooltip=(
                        "clip: does the picture find its own prompt among a hundred others? clip_score: the plain CLIP score. "
                        "question: a text encoder that sees pictures is asked. demo: the right pictures of the demo experts."
                    ),
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="For clip and clip_score: the vision part of a CLIP."
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="For clip and clip_score: the text part of the same CLIP, with its text projection. For question: a "
                    "text encoder that sees pictures.",
                ),
                io.Int.Input(
                    "top_k",
                    optional=True,
                    default=TOP,
                    min=1,
                    max=OTHERS,
                    tooltip="With clip: a picture is good if its own prompt is among the top_k that fit it best, out of 101.",
                    **ADVANCED,
                ),
                io.Float.Input(
                    "threshold",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.001,
                    tooltip="With clip_score: a picture below it is bad. 0: the scores alone are kept.",
                    **ADVANCED,
                ),
                io.String.Input(
                    "question",
                    optional=True,
                    multiline=True,
                    default=QUESTION,
                    tooltip="With question: what is asked about each picture, with its prompt in the place of prompt in curly "
                    "brackets. A good one must be answered with yes.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                io.String.Output(display_name="summary", tooltip="What came out, in sentences."),
                io.Int.Output(display_name="good", tooltip="How many pictures the judge calls good."),
                io.Int.Output(display_name="bad", tooltip="How many pictures the judge calls bad."),
                io.Int.Output(display_name="left_out", tooltip="How many pictures could not be judged."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        trial: str,
        judge: str,
        clip_vision: Any = None,
        clip: Any = None,
        top_k: int = TOP,
        threshold: float = 0.0,
        question: str = "",
    ) -> io.NodeOutput:
        found = judging.judge_trial(trial, judging.Inputs(judge, clip_vision, clip, top_k, threshold, question))
        summary = joined(found.lines())
        return io.NodeOutput(summary, found.good, found.bad, found.left_out.total(), ui={"text": [summary]})

    @classmethod
    def validate_inputs(cls, trial: str | None = None) -> bool | str:
        """Refuses a missing trial when the graph is queued. None: another node gives the name and has not run, or the graph
        has none, which ComfyUI says itself.
        """
        said = refused(trial, trials.names(), "There is no trial named", "")
        return f"{said} 'python -m emoe_core prove draw' makes one." if said else True

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """Looks at the trial and its pictures in every run: what was judged costs nothing."""
        return str(time.time_ns())
