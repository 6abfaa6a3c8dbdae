"""Calibrations in ComfyUI: made prompt by prompt, stored in the user directory, resumed after an interruption."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths

from ...errors import EMoEError
from ...experts.sets import ExpertSet
from ...gating.reference_prompts import ReferencePrompts, from_file, from_set, from_text
from ...io.console import duration
from ...io.files import explained
from ...io.kept_scores import KeptScores
from ...prompts.sets import EVERYDAY
from ...records.calibration import Calibration
from ...records.settings import Settings
from ...scoring.presets import ScoreOptions
from ...scoring.stages import FIRST_STAGE, Stages, is_learnt_from
from .experts.identity import clip_identity
from .input_files import input_file
from .prompts.conditioning import encoded
from .scoring.progress import show_text
from .scoring.score import Run, score_prompts
from .user_files import named_file

_UNWRITTEN = "cannot be written into ComfyUI's user directory"
_MAKE_ROOM = "make room there, and queue the graph again"
PROMPT_FILE = "Calibrate Gate's prompt_file"
NO_SET = "none"
BUILT_IN = (EVERYDAY,)


def folder() -> Path:
    """The calibrations' folder: `emoe/calibrations` in ComfyUI's user directory."""
    return Path(folder_paths.get_user_directory()) / "emoe" / "calibrations"


def names() -> list[str]:
    """Names of the stored calibrations, sorted."""
    return sorted(path.stem for path in folder().glob("*.json"))


def path_of(name: str) -> Path:
    """The file for a name; an `EMoEError` for a name that is no plain file name."""
    return named_file(folder(), name, ".json", "calibration")


def load(name: str) -> Calibration:
    """A stored calibration; an `EMoEError` when it is missing or damaged."""
    return Calibration.load(path_of(name))


def save(calibration: Calibration, name: str, overwrite: bool) -> Path:
    """Stores a calibration under a name.

    Raises:
        EMoEError: another calibration has that name and `overwrite` is off.
    """
    path = path_of(name.strip() or calibration.name)
    if path.exists() and not overwrite:
        if calibration.is_kept_in(path):
            return path
        raise EMoEError(
            f"There is another calibration named '{path.stem}'; choose another name, or switch overwrite on."
        )
    with explained(f"The calibration '{path.stem}' {_UNWRITTEN}", _MAKE_ROOM):
        path.parent.mkdir(parents=True, exist_ok=True)
        calibration.save(path)
    return path


def reference_prompts(text: str, file: str, bad_below: float, built_in: str = NO_SET) -> ReferencePrompts:
    """The prompts of Calibrate's text box, of its file and of its built-in set, together.

    Raises:
        EMoEError: the file is missing or has nothing usable, or a prompt is marked good here and bad there.
    """
    found = from_text(text)
    if file.strip():
        found += from_file(input_file(file, PROMPT_FILE), bad_below)
    if built_in == NO_SET:
        return found
    if built_in not in BUILT_IN:
        raise EMoEError(f"Calibrate Gate's built_in is '{built_in}'; choose {NO_SET} or {', '.join(BUILT_IN)}.")
    return found + from_set(built_in)


def calibrate(
    experts: ExpertSet,
    references: ReferencePrompts,
    latent: dict[str, Any],
    name: str,
    clip: Any,
    options: ScoreOptions,
    reference: str = "",
    staged: bool = False,
) -> Calibration:
    """Scores reference prompts and makes a calibration of them.

    Prompts are scored in blocks and every score is written down. After an interrupt, or the death of the server, the same
    call continues where it stopped.

    Args:
        latent: a LATENT with one item.
        clip: one text encoder for all experts, or None for each expert's own.
        reference: one sentence that describes the prompts.
        staged: score in two stages, by a rule learnt from every third prompt, which the calibration then leaves out.

    Raises:
        EMoEError: no prompts, a batch, or bad input to the score.
    """
    if not references.prompts:
        raise EMoEError(
            "Calibrate Gate has no prompts; write at least 19 (for alpha 0.05), one per line, or choose a prompt_file or "
            "a built_in set."
        )
    known = _learnt_from(references) if staged else ()
    if staged:
        references = references.where(lambda prompt: not is_learnt_from(prompt))
        if not references.prompts:
            raise EMoEError(
                "Calibrate Gate's staged learns from all of these prompts and leaves none to compare with; add more."
            )
    progress = _Progress(len(known) + len(set(references.prompts)))
    tries = []
    if staged:
        learning = _Scores(experts, latent, clip, replace(options, stages=FIRST_STAGE), progress)
        tries.append(learning)
        options = replace(options, stages=Stages.learn(learning.of(known)))
    scores = _Scores(experts, latent, clip, options, progress)
    tries.append(scores)
    found = scores.of(references.prompts)
    made = Calibration(
        name or "calibration",
        scores.settings,
        found,
        references.prompts,
        reference,
        bad=references.bad,
        groups=references.groups,
    )
    for each in tries:
        each.kept.remove()
    return made


def _learnt_from(references: ReferencePrompts) -> tuple[str, ...]:
    """The good prompts that the rule of the stages is learnt from; an `EMoEError` where they are too few."""
    bad = {prompt for prompt, is_bad in zip(references.prompts, references.bad, strict=False) if is_bad}
    found = tuple(dict.fromkeys(p for p in references.prompts if is_learnt_from(p) and p not in bad))
    Stages.check(len(found))
    return found


class _Scores:
    """Scores of reference prompts under some options, each written down as soon as it is there."""

    def __init__(
        self, experts: ExpertSet, latent: dict[str, Any], clip: Any, options: ScoreOptions, progress: "_Progress"
    ) -> None:
        self._experts, self._latent, self._clip, self._options = experts, latent, clip, options
        self._progress = progress
        self._run = Run.of(experts, latent, options)
        if len(self._run.samples) != 1:
            # A batch's score is that of its worst item, which cannot be compared with the score of a single image.
            raise EMoEError(
                "Calibrate Gate's latent_image is a batch; set its batch_size to 1: every prompt gets the same one."
            )

    def of(self, references: tuple[str, ...]) -> tuple[float, ...]:
        """A score for each prompt. Those that an earlier try has written down are not scored again."""
        prompts = list(dict.fromkeys(references))
        self.settings = self._run.settings(encoded(self._experts, prompts[0], self._clip))
        self.kept = unfinished(self.settings, self._clip)
        scores = self.kept.read()
        self._progress.add(sum(p in scores for p in prompts), fresh=False)
        todo = [prompt for prompt in prompts if prompt not in scores]
        waiting = (encoded(self._experts, prompt, self._clip) for prompt in todo)
        found = score_prompts(self._experts, waiting, self._latent, self._options)
        for prompt, scored in zip(todo, found, strict=True):
            scores[prompt] = scored.report.score
            with explained(f"Calibrate Gate's scores {_UNWRITTEN}", _MAKE_ROOM):
                self.kept.add(prompt, scored.report.score)
            self._progress.add(1)
        return tuple(scores[prompt] for prompt in references)


class _Progress:
    """ComfyUI's progress bar, and the time left below the node."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(total)
        self._total, self._done, self._made = total, 0, 0
        self._since = time.monotonic()

    def add(self, count: int, fresh: bool = True) -> None:
        """So many more prompts are done; those from an earlier try took no time now."""
        self._done += count
        self._made += count if fresh else 0
        self._bar.update_absolute(self._done, self._total)
        if not self._made:
            return
        left = (time.monotonic() - self._since) / self._made * (self._total - self._done)
        togo = f", about {duration(left)} left" if self._done < self._total else ""
        show_text(f"{self._done} of {self._total} prompts{togo}")


def unfinished(settings: Settings, clip: Any) -> KeptScores:
    """The scores of an earlier try that was not ended, and agrees in all that they depend on."""
    # The settings say of a shared text encoder only that it is shared.
    own = "" if clip is None else f"-{clip_identity(clip, 'the clip of Calibrate Gate')[:16]}"
    return KeptScores(folder() / "unfinished" / f"{settings.fingerprint()}{own}.jsonl")
