"""Calibrations in ComfyUI: made prompt by prompt, stored in the user directory, resumed after an interruption."""

import time
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
        if _same(path, calibration):
            return path
        raise EMoEError(
            f"There is another calibration named '{path.stem}'; choose another name, or switch overwrite on."
        )
    with explained(f"The calibration '{path.stem}' {_UNWRITTEN}", _MAKE_ROOM):
        path.parent.mkdir(parents=True, exist_ok=True)
        calibration.save(path)
    return path


def _same(path: Path, calibration: Calibration) -> bool:
    try:
        return Calibration.load(path) == calibration
    except EMoEError:
        return False


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
) -> Calibration:
    """Scores reference prompts and makes a calibration of them.

    Prompts are scored in blocks and every score is written down. After an interrupt, or the death of the server, the same
    call continues where it stopped.

    Args:
        latent: a LATENT with one item.
        clip: one text encoder for all experts, or None for each expert's own.
        reference: one sentence that describes the prompts.

    Raises:
        EMoEError: no prompts, a batch, or bad input to the score.
    """
    if not references.prompts:
        raise EMoEError(
            "Calibrate Gate has no prompts; write at least 19 (for alpha 0.05), one per line, or choose a prompt_file or "
            "a built_in set."
        )
    prompts = list(dict.fromkeys(references.prompts))
    progress = _Progress(len(prompts))
    run = Run.of(experts, latent, options)
    if len(run.samples) != 1:
        # A batch's score is that of its worst item, which cannot be compared with the score of a single image.
        raise EMoEError(
            "Calibrate Gate's latent_image is a batch; set its batch_size to 1: every prompt gets the same one."
        )
    settings = run.settings(encoded(experts, prompts[0], clip))
    kept = unfinished(settings, clip)
    scores = kept.read()
    progress.update(sum(p in scores for p in prompts))
    todo = [prompt for prompt in prompts if prompt not in scores]
    waiting = (encoded(experts, prompt, clip) for prompt in todo)
    for prompt, scored in zip(todo, score_prompts(experts, waiting, latent, options), strict=True):
        scores[prompt] = scored.report.score
        with explained(f"Calibrate Gate's scores {_UNWRITTEN}", _MAKE_ROOM):
            kept.add(prompt, scored.report.score)
        progress.update(sum(p in scores for p in prompts))
    made = Calibration(
        name or "calibration",
        settings,
        tuple(scores[prompt] for prompt in references.prompts),
        references.prompts,
        reference,
        bad=references.bad,
        groups=references.groups,
    )
    kept.remove()
    return made


class _Progress:
    """ComfyUI's progress bar, and the time left below the node."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(total)
        self._total = total
        self._first: tuple[float, int] | None = None

    def update(self, done: int) -> None:
        self._bar.update_absolute(done, self._total)
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)  # scores from an earlier try took no time now
            return
        since, before = self._first
        left = (now - since) / max(done - before, 1) * (self._total - done)
        togo = f", about {duration(left)} left" if done < self._total else ""
        show_text(f"{done} of {self._total} prompts{togo}")


def unfinished(settings: Settings, clip: Any) -> KeptScores:
    """The scores of an earlier try that was not ended, and agrees in all that they depend on."""
    # The settings say of a shared text encoder only that it is shared.
    own = "" if clip is None else f"-{clip_identity(clip, 'the clip of Calibrate Gate')[:16]}"
    return KeptScores(folder() / "unfinished" / f"{settings.fingerprint()}{own}.jsonl")
