"""Known or Unknown in ComfyUI: scores prompts without drawing them, and takes the controls of the set."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import comfy.utils
import torch
from torch import Tensor

from ...charts import as_array, bars
from ...charts.lines import Mark
from ...errors import EMoEError
from ...experts.sets import ExpertSet
from ...mixture.experts import MixtureSet
from ...prompts import check_text, load_prompts
from ...scoring import controls
from ...scoring.presets import NOISE_PRED, ScoreOptions
from ...trial.look import REFERENCE, STAGE, Look, LookPrompt, look_at, look_prompts, rated_prompts
from ...trial.readings import readings
from ...trial.store import Contents, Trial
from . import trials
from .input_files import input_file
from .prompts import conditioning as cond
from .scoring.score import Run, every_preset, in_precision, score_prompts

PROMPT_FILE = "Known or Unknown's prompt_file"
#: How many of the reference prompts the controls take.
MATCHED, ROUNDED = 16, 8


@dataclass(frozen=True)
class Wanted:
    """The node's inputs for its prompts; `known` has one per line, and `rated` limits the rows of the file (0: all)."""

    pairs: int
    languages: str
    names: int
    known: str = ""
    file: str = ""
    rated: int = 0

    def prompts(self) -> list[LookPrompt]:
        """All of them; an `EMoEError` for an unknown language or a file without ratings."""
        languages = tuple(one.strip() for one in self.languages.split(",") if one.strip())
        check_text(self.known, "Known or Unknown's prompts")
        known = list(dict.fromkeys(line.strip() for line in self.known.splitlines() if line.strip()))
        found = look_prompts(self.pairs, languages, self.names, known)
        if self.file.strip():
            found += rated_prompts(load_prompts(input_file(self.file, PROMPT_FILE))[0], self.rated)
        return found


def look(
    experts: ExpertSet, wanted: Wanted, latent: dict[str, Any], options: ScoreOptions, clip: Any, name: str
) -> tuple[Contents, Look]:
    """Scores the prompts with every reading, takes the controls, and keeps both in a trial.

    Prompts that the trial has already are not scored again, so an interrupted run goes on where it stopped.

    Args:
        name: of the trial; "" keeps nothing.

    Raises:
        EMoEError: bad input to the score, a trial of other models or settings, or a trial that cannot be written.
    """
    options = replace(options, stages=None)  # several readings are compared, and each is to be at its best
    prompts = wanted.prompts()
    if name.strip():
        return _looked(experts, prompts, latent, options, clip, trials.trial(name.strip()))
    with tempfile.TemporaryDirectory() as folder:
        return _looked(experts, prompts, latent, options, clip, Trial(Path(folder) / "trial.sqlite3"))


def _looked(
    experts: ExpertSet,
    prompts: Sequence[LookPrompt],
    latent: dict[str, Any],
    options: ScoreOptions,
    clip: Any,
    kept: Trial,
) -> tuple[Contents, Look]:
    run = Run.of(experts, latent, options)
    if len(run.samples) != 1:
        raise EMoEError("Known or Unknown's latent_image is a batch; set its batch_size to 1.")
    kept.begin({})
    known = kept.keys()
    todo = [prompt for prompt in prompts if prompt.key not in known]
    bar = comfy.utils.ProgressBar(len(todo) + MATCHED + ROUNDED)
    if todo:
        also = every_preset(experts, cond.encoded(experts, todo[0].text, clip))
        encoded = (cond.encoded(experts, prompt.text, clip) for prompt in todo)
        for prompt, scored in zip(todo, score_prompts(experts, encoded, latent, options, also=also), strict=True):
            columns = prompt.columns(_tokens(experts, prompt.text, clip))
            kept.add(prompt.key, 0, prompt.text, columns, readings(scored.report.as_dict()), [])
            bar.update(1)
    if kept.facts().get("controls") is None:
        references = [prompt.text for prompt in prompts if prompt.kind == REFERENCE]
        match = _matching(experts, references[:MATCHED], latent, options, clip)
        bar.update(MATCHED)
        rounded = _rounding(experts, references[:ROUNDED], latent, options, clip)
        bar.update(ROUNDED)
        kept.note({"controls": controls.as_dict(match, rounded)})
    contents = kept.contents()
    found = look_at(contents)
    if found is None:
        raise EMoEError("Known or Unknown has no prompts; set pairs or names above 0, or name a prompt_file.")
    return contents, found


def _tokens(experts: ExpertSet, text: str, clip: Any) -> int:
    """How many tokens differ from the empty prompt's: those of the text, up to one for its end."""
    encoder = clip or next((expert.clip for expert in experts.experts if expert.clip is not None), None)
    if encoder is None:
        return len(text)
    count = 0
    for name, windows in encoder.tokenize(text).items():
        nothing = [entry[0] for window in encoder.tokenize("")[name] for entry in window]
        mine = [entry[0] for window in windows for entry in window]
        count = max(count, sum(a != b for a, b in zip(mine, nothing, strict=False)) + max(0, len(mine) - len(nothing)))
    return count


def _matching(
    experts: ExpertSet, texts: Sequence[str], latent: dict[str, Any], options: ScoreOptions, clip: Any
) -> controls.Matching | None:
    """None where there are no two experts, or where they cannot be compared prompt by prompt."""
    if len(experts) < 2 or len(texts) < 2 or isinstance(experts, MixtureSet):
        return None
    run = Run.of(experts, latent, replace(options, noise_samples=1) if options.add_noise else options)
    prompts = [cond.encoded(experts, text, clip) for text in texts]
    return controls.matching(run.answers(prompts, (NOISE_PRED, "centred"), lambda *_: None), experts)


def _rounding(
    experts: ExpertSet, texts: Sequence[str], latent: dict[str, Any], options: ScoreOptions, clip: Any
) -> controls.Rounding | None:
    """None where there is no score of disagreement, or the first expert cannot compute otherwise."""
    if len(experts) < 2 or not texts or isinstance(experts, MixtureSet):
        return None
    first = experts.experts[0]
    on_cpu = torch.device(first.model.load_device).type == "cpu"
    other = "float32" if first.dtype != "float32" else "bfloat16" if on_cpu else "float16"
    (copy,) = in_precision(ExpertSet((first,)), other).experts
    if copy is first:
        return None
    found = [_ensemble_readings(each, texts, latent, options, clip) for each in (experts, ExpertSet((first, copy)))]
    return controls.rounding(first.dtype, other, *found)


def _ensemble_readings(
    experts: ExpertSet, texts: Sequence[str], latent: dict[str, Any], options: ScoreOptions, clip: Any
) -> list[dict[str, float]]:
    prompts = [cond.encoded(experts, text, clip) for text in texts]
    scored = score_prompts(experts, prompts, latent, options, also=every_preset(experts, prompts[0]))
    found = [readings(one.report.as_dict()) for one in scored]
    return [
        {
            one.name: value
            for one, value in each.items()
            if one.settings is not None and one.settings.estimator != "guidance"
        }
        for each in found
    ]


def main_reading(contents: Contents, options: ScoreOptions) -> str:
    """The reading that these options ask for; the first one where a preset was named otherwise."""
    names = [reading.name for reading in contents.readings]
    return options.preset if options.preset in names else names[0]


def told(contents: Contents, found: Look) -> dict[str, Any]:
    """All of it for JSON, so that a client can keep it elsewhere."""
    prompts = [
        {"key": one.key, "prompt": one.prompt, "columns": dict(one.columns), "scores": dict(one.scores)}
        for one in contents.prompts
        if one.columns.get("stage") == STAGE
    ]
    kept = {one.name: None if one.settings is None else asdict(one.settings) for one in contents.readings}
    return {**found.as_dict(), "readings": kept, "prompts": prompts}


def picture(found: Look, reading: str) -> Tensor:
    """The separations of one reading as a ComfyUI image [1, height, width, 3]."""
    shown = [one for one in found.separations if one.reading == reading]
    labels, values = [one.kind for one in shown], [one.auroc for one in shown]
    low, high = [one.low for one in shown], [one.high for one in shown]
    chart = bars(
        labels or ["none"],
        values or [float("nan")],
        low=low if shown else None,
        high=high if shown else None,
        title=f"unknown against known prompts ({reading})",
        x_label="AUROC, 0.5 is chance",
        marks=[Mark(0.5, "chance")],
        x_range=(0.0, 1.0),
    )
    return torch.from_numpy(as_array(chart))
