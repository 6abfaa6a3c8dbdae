"""Choose Experts in ComfyUI: all candidates answer all prompts once, in blocks, and only products of the answers are kept."""

import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from torch import Tensor

from ...audit.plan import read_plan
from ...charts import as_array, stack, table
from ...choosing.findings import BY_ANSWERS, findings
from ...choosing.kin import Redundant, by_weights
from ...choosing.products import LAYOUT, PROMPT, SHIFT, Products, joined, measured_products
from ...choosing.record import ENDING, About, Asked, Block, Candidate, Kept, Level, Record, Spent, read
from ...choosing.result import TITLES, Choice, choose, presets
from ...choosing.tasks import of_rows, of_trial, twins
from ...errors import EMoEError
from ...experts.kin import Kin
from ...experts.kinship import kinship
from ...experts.sets import Expert, ExpertSet
from ...io.console import duration
from ...mixture.experts import MixtureSet
from ...prompts import check_text
from ...prompts.sets import EVERYDAY
from ...prompts.sets import Choice as Chosen
from ...records.calibration import Calibration
from ...records.message import Message
from ...records.settings import SHARED
from ...scoring.collect import checked, measured_of
from ...scoring.comparable import check_comparable
from ...scoring.presets import MIDDLE, NOISE_PRED, PRESETS, BadOption, ScoreOptions, is_hidden, resolve_tap
from ...scoring.probe import Request
from ...scoring.variance import PIXELS_A_LATENT
from ...trial.look import REFERENCE
from ...trial.store import Contents
from . import trials
from .auditing import names
from .experts.content import content
from .experts.identity import clip_identity
from .experts.partial import complete
from .experts.slim import with_difference
from .input_files import input_file
from .prompts import conditioning as cond
from .prompts.encoding import encode_many
from .scoring.probe import ComfyProbe, common_taps
from .scoring.progress import show_text
from .scoring.score import PROMPTS_A_BLOCK, Run, latent_samples
from .user_files import named_file

FOLDER = "emoe_choices"
PROMPT_FILE = "Choose Experts' prompt_file"
FEWEST_EXPERTS, MOST_EXPERTS = 2, 16
#: Bytes of answers that are held at once. What a block saves is loading every expert again.
BYTES_A_BLOCK = 1 << 29
_MOST_LEVELS = 24
_LONGEST_SIDE = 8192


@dataclass(frozen=True)
class Wanted:
    """The node's inputs for its prompts.

    Attributes:
        pairs: how many of the built-in everyday scenes, or of `known`.
        known: prompts that the experts know, one per line, in place of the everyday scenes.
        file, groups, most: a prompt file, its group columns (see `audit.plan`), and how many of its prompts.
        trial: whose marked prompts are taken in place of all these.
    """

    pairs: int
    known: str = ""
    file: str = ""
    groups: str = ""
    most: int = 0
    trial: str = ""

    def prompts(self) -> list[Asked]:
        """All of them; an `EMoEError` for a file or a trial that cannot be used."""
        if (marks := self.marks()) is not None:
            return of_trial(marks)
        check_text(self.known, "Choose Experts' prompts")
        own = list(dict.fromkeys(line.strip() for line in self.known.splitlines() if line.strip()))
        every = own or [row["prompt"] for row in Chosen(EVERYDAY).rows() if row["kind"] == "scene"]
        count = min(self.pairs, len(every))
        found = twins([every[place * len(every) // count] for place in range(count)])
        if self.file.strip():
            plan = read_plan(input_file(self.file, PROMPT_FILE), names(self.groups) or None)
            taken = {one.pair for one in found}
            found += [one for one in of_rows(plan.rows(), plan.groups, self.most) if one.pair not in taken]
        if not found:
            raise EMoEError("Choose Experts has no prompts; set pairs above 0, or name a prompt_file or a trial.")
        return found

    def marks(self) -> Contents | None:
        """The trial, where one is named."""
        return trials.trial(self.trial.strip()).contents() if self.trial.strip() else None


@dataclass(frozen=True)
class Tried:
    """What is tried beside the node's own step and size: steps like "0, 4", and sizes like "512x512, 768x768"."""

    steps: str = ""
    sizes: str = ""


def options(preset: str, **others: Any) -> ScoreOptions:
    """The options in the node's inputs; an `EMoEError` for an impossible value."""
    if preset not in presets():
        raise EMoEError(f"Choose Experts' preset is '{preset}'; choose {', '.join(presets())}.")
    try:
        return ScoreOptions(preset=preset, **others)
    except BadOption as error:
        raise EMoEError(f"Choose Experts' {error}") from error


def path_of(name: str) -> Path:
    """The file of a choice's name; an `EMoEError` for a name that is no plain file name."""
    return named_file(Path(folder_paths.get_output_directory()) / FOLDER, name, ENDING, "choice")


def run(
    experts: ExpertSet,
    wanted: Wanted,
    tried: Tried,
    latent: dict[str, Any],
    options: ScoreOptions,
    clip: Any,
    name: str,
    most: int,
    loss: float,
) -> tuple[Choice, dict[str, str] | None]:
    """Measures what is not measured yet, and chooses. An interrupted run goes on with its next block.

    Args:
        options: of a preset that compares experts.
        name: of the choice's file in the output folder; "" keeps nothing.

    Returns:
        The choice, and where clients find its file.

    Raises:
        EMoEError: bad input, or a file of other experts, settings or prompts.
    """
    _check(experts, latent)
    prompts = wanted.prompts()
    if name.strip():
        path = path_of(name.strip())
        found = choose(_measured(experts, prompts, tried, latent, options, clip, path), most, loss)
        return found, {"filename": path.name, "subfolder": FOLDER, "type": "output"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"choice{ENDING}"
        return choose(_measured(experts, prompts, tried, latent, options, clip, path), most, loss), None


def _check(experts: ExpertSet, latent: dict[str, Any]) -> None:
    if isinstance(experts, MixtureSet):
        raise EMoEError("Choose Experts compares whole models, and a mixture is one network; connect its experts.")
    if not FEWEST_EXPERTS <= len(experts) <= MOST_EXPERTS:
        raise EMoEError(
            f"Choose Experts takes {FEWEST_EXPERTS} to {MOST_EXPERTS} experts and has {len(experts)}; change the list."
        )
    if len(latent_samples(experts.experts[0].model, latent)) != 1:
        raise EMoEError("Choose Experts' latent_image is a batch; set its batch_size to 1.")


def _measured(
    experts: ExpertSet,
    prompts: Sequence[Asked],
    tried: Tried,
    latent: dict[str, Any],
    options: ScoreOptions,
    clip: Any,
    path: Path,
) -> Record:
    wanted_tap = PRESETS[options.preset].tap
    middle = _middle(experts, must=is_hidden(wanted_tap))
    check_comparable(experts.experts, NOISE_PRED)
    runs = _runs(experts, tried, latent, replace(options, preset="layout", stages=None))
    first = encode_many(experts, [prompts[0].text], clip)[0]
    levels = tuple(Level(step, options.steps, _pixels(one, latent), middle, one.settings(first)) for step, one in runs)
    about = About(
        _candidates(experts, first),
        levels,
        tuple(prompts),
        options.noise_samples,
        options.preset,
        _by_weights(experts),
        _beside(experts, latent, clip),
    )
    kept = Kept(path, about)
    try:
        if kept.done < len(prompts):
            taps = (NOISE_PRED, middle) if middle else (NOISE_PRED,)
            work = _Work(experts, [one for _, one in runs], taps, clip)
            for block in work.blocks(prompts, kept.done, first):
                kept.add(block)
    finally:
        kept.close()
    return read(path)


def _beside(experts: ExpertSet, latent: dict[str, Any], clip: Any) -> str:
    """A digest of what the answers depend on and neither the experts nor the settings tell."""
    parts = []
    if clip is not None:  # the empty prompt goes through the experts' own text encoders
        parts += ["clip", clip_identity(clip, "the clip of Choose Experts"), *cond.encoders(experts)]
    if bool(torch.count_nonzero(latent["samples"])):
        parts += ["latent", content(latent["samples"])]
    return hashlib.sha256(repr(parts).encode()).hexdigest() if parts else ""


def _middle(experts: ExpertSet, must: bool) -> str:
    """The tap in the middle of the network; "" where the experts cannot be compared there."""
    try:
        tap = resolve_tap(MIDDLE, common_taps(experts))
        check_comparable(experts.experts, tap)
    except EMoEError:
        if must:
            raise
        return ""
    return tap


def _candidates(experts: ExpertSet, prompt: cond.Conditioning) -> tuple[Candidate, ...]:
    own = cond.is_per_expert(prompt)
    return tuple(
        Candidate(
            one.name,
            one.file,
            one.identity,
            one.text_encoder_identity() if own else SHARED[0],
            one.dtype,
            _bytes(one),
        )
        for one in experts.experts
    )


def _bytes(expert: Expert) -> int:
    """What its weights take in memory; all of them are needed, so what is still in its file is read."""
    complete(expert.model)
    return int(expert.model.model_size())


def _kin(experts: ExpertSet) -> Kin:
    return kinship(tuple(map(with_difference, experts.experts)))


def wrong(experts: ExpertSet, choice: Choice) -> list[Message]:
    """What these experts get wrong as a set, by their answers to the known prompts; copies and merges are said elsewhere."""
    known = [place for place, one in enumerate(choice.record.prompts) if choice.usable[place] and one.kind == REFERENCE]
    layout = choice.record.products[0, LAYOUT].at(known)
    texts = [choice.record.prompts[place].text for place in known]
    found = findings(experts.experts, _kin(experts), layout, texts=texts)
    return [one for one in found if one.code in BY_ANSWERS]


def _by_weights(experts: ExpertSet) -> tuple[Redundant, ...]:
    """What the weights say of experts without patches: those of others are not all in their weights."""
    patched = {place for place, one in enumerate(experts.experts) if one.model.patches}
    found = by_weights(_kin(experts))
    return tuple(one for one in found if not patched & {one.expert, *one.of})


def _runs(experts: ExpertSet, tried: Tried, latent: dict[str, Any], options: ScoreOptions) -> list[tuple[int, Run]]:
    """The node's own step and size first, then every other pair of them."""
    steps = list(dict.fromkeys([options.at_step, *_numbers(tried.steps)]))
    sizes: list[tuple[int, int] | None] = [None, *_sizes(tried.sizes)]
    if len(steps) * len(sizes) > _MOST_LEVELS:
        raise EMoEError(
            f"Choose Experts would try {len(steps)} steps at {len(sizes)} sizes; name fewer, so that there are at most "
            f"{_MOST_LEVELS} together."
        )
    found: list[tuple[int, Run]] = []
    for size in sizes:
        for step in steps:
            if not 0 <= step < options.steps:
                raise EMoEError(
                    f"Choose Experts' try_steps names step {step}, beyond the last of {options.steps} steps; choose 0 to "
                    f"{options.steps - 1}."
                )
            one = Run.of(experts, _resized(experts, latent, size), replace(options, at_step=step))
            if not any(one.samples.shape == other.samples.shape and step == at for at, other in found):
                found.append((step, one))
    return found


def _numbers(text: str) -> list[int]:
    parts = names(text)
    if bad := next((one for one in parts if not (one.isdecimal() and one.isascii() and len(one) < 6)), None):
        raise EMoEError(f"Choose Experts' try_steps has '{bad}', which is no step; write steps like 0, 4, 10.")
    return [int(one) for one in parts]


def _sizes(text: str) -> list[tuple[int, int]]:
    found = []
    for one in names(text):
        sides = one.lower().split("x")
        if len(sides) != 2 or not all(side.isdecimal() and side.isascii() and len(side) < 6 for side in sides):
            raise EMoEError(
                f"Choose Experts' try_sizes has '{one}', which is no size; write sizes like 512x512, 768x512."
            )
        width, height = map(int, sides)
        if not (64 <= width <= _LONGEST_SIDE and 64 <= height <= _LONGEST_SIDE):
            raise EMoEError(f"Choose Experts' try_sizes has '{one}'; choose 64 to {_LONGEST_SIDE} pixels a side.")
        found.append((width, height))
    return found


def _pixels_a_place(latent: dict[str, Any]) -> int:
    told = latent.get("downscale_ratio_spacial")
    return told if type(told) is int and told > 0 else PIXELS_A_LATENT


def _resized(experts: ExpertSet, latent: dict[str, Any], size: tuple[int, int] | None) -> dict[str, Any]:
    if size is None:
        return latent
    samples = latent["samples"]
    if bool(torch.count_nonzero(samples)):
        raise EMoEError(
            "Choose Experts' try_sizes needs an empty latent_image, since an image has one size; empty try_sizes."
        )
    places = _pixels_a_place(latent)
    width, height = size
    return {**latent, "samples": samples.new_zeros(*samples.shape[:-2], height // places, width // places)}


def _pixels(one: Run, latent: dict[str, Any]) -> tuple[int, int]:
    places = _pixels_a_place(latent)
    sides = one.samples.shape[2:]
    return int(sides[-1]) * places, int(sides[-2] if len(sides) > 1 else 1) * places


class _Work:
    """The measuring pass."""

    def __init__(self, experts: ExpertSet, runs: Sequence[Run], taps: tuple[str, ...], clip: Any) -> None:
        self._experts, self._runs, self._taps, self._clip = experts, runs, taps, clip

    def blocks(self, prompts: Sequence[Asked], done: int, first: cond.Conditioning) -> Iterator[Block]:
        """Measures prompts from number `done` on. Every expert is loaded once per block."""
        with torch.no_grad():
            size, share = self._tried(first)
            progress = _Progress(len(prompts), done, len(self._experts) * sum(len(one.noises) for one in self._runs))
            for start in range(done, len(prompts), size):
                comfy.model_management.throw_exception_if_processing_interrupted()
                block = self._block([one.text for one in prompts[start : start + size]], progress)
                yield replace(block, share=share)
                share = None
                progress.kept(min(start + size, len(prompts)))

    def _tried(self, first: cond.Conditioning) -> tuple[int, float | None]:
        """How many prompts a block has, and what a pass to the middle takes of a whole one: one prompt on one expert says it.

        The first pass also loads the expert, so it is not timed.
        """
        alone = ExpertSet(self._experts.experts[:1])
        prompt = [cond.split(first, self._experts)[:1]]
        size = 0
        for run in self._runs:
            answer = ComfyProbe(alone, prompt, None, *run.given()).latents(Request(0, False, self._taps), _nothing)
            size += sum(part.numel() * 4 for parts in answer.latents[0].values() for part in parts)
        share = None
        if len(self._taps) > 1:
            probe = ComfyProbe(alone, prompt, None, *self._runs[0].given())
            whole, middle = (self._seconds(probe, taps) for taps in (self._taps, self._taps[1:]))
            share = min(1.0, middle / whole) if whole > 0 else None
        return max(1, min(PROMPTS_A_BLOCK, BYTES_A_BLOCK // max(1, size * len(self._experts)))), share

    @staticmethod
    def _seconds(probe: ComfyProbe, taps: tuple[str, ...]) -> float:
        since = time.perf_counter()
        probe.latents(Request(0, False, taps), _nothing)
        return time.perf_counter() - since

    def _block(self, texts: list[str], progress: "_Progress") -> Block:
        encoded = encode_many(self._experts, texts, self._clip)
        alone = self._clip is not None and all(one.clip is None for one in self._experts.experts)
        empties = cond.empty_for_experts(self._experts, cond.encode(self._clip, "") if alone else None, encoded[0])
        own = [cond.split(prompt, self._experts) for prompt in encoded]
        silent = [all(map(cond.same_words, prompt, empties)) for prompt in own]
        probes = [ComfyProbe(self._experts, own, empties, *run.given()) for run in self._runs]
        rows: list[list[dict[str, list[list[Tensor]]]]] = [
            [{tap: [] for tap in self._taps} for _ in own] for _ in probes
        ]
        nothing: list[list[list[Tensor]]] = [[] for _ in probes]
        spent: list[list[Spent]] = [[] for _ in probes]
        for index, expert in enumerate(self._experts.experts):
            for level, probe in enumerate(probes):
                clock = _Clock(progress)
                answer = probe.latents(Request(index, False, self._taps), clock.advance)
                spent[level].append(clock.spent)
                for place, latents in zip(rows[level], answer.latents, strict=True):
                    for tap in self._taps:
                        place[tap].append(checked(latents, tap, expert.name))
                (empty,) = probe.latents(Request(index, True, (NOISE_PRED,)), _nothing).latents
                nothing[level].append(checked(empty, NOISE_PRED, expert.name))
        products = tuple(self._products(rows[level], nothing[level], silent) for level in range(len(probes)))
        return Block(products, tuple(map(tuple, spent)))

    def _products(
        self, rows: list[dict[str, list[list[Tensor]]]], empty: list[list[Tensor]], silent: Sequence[bool]
    ) -> dict[str, Products]:
        """The products of each prompt, whose answers are dropped as it goes; 0 where it says no more than the empty prompt."""
        each: dict[str, list[Products]] = {}
        for place, says_nothing in zip(rows, silent, strict=True):
            found: dict[str, Products] = {}
            for tap in self._taps:
                of_tap = measured_of(place.pop(tap), empty if tap == NOISE_PRED else None, self._experts, tap)
                found |= measured_products(of_tap, (LAYOUT, SHIFT) if tap == NOISE_PRED else (PROMPT,))
            for feature, one in found.items():
                nought = says_nothing and feature != PROMPT
                each.setdefault(feature, []).append(Products(0 * one.square, 0 * one.apart) if nought else one)
        return {feature: joined(parts) for feature, parts in each.items()}


class _Clock:
    """The seconds of one expert's calls."""

    def __init__(self, progress: "_Progress") -> None:
        self._progress, self._since = progress, time.perf_counter()
        self.spent = Spent()

    def advance(self, units: int) -> None:
        """So many more units are done."""
        now = time.perf_counter()
        took, self._since = now - self._since, now
        first = self.spent.units == 0
        self.spent += Spent(units, took, units if first else 0, took if first else 0.0)
        self._progress.advance(units)


class _Progress:
    """ComfyUI's progress bar, which moves with every call, and the time left below the node."""

    def __init__(self, prompts: int, done: int, units: int) -> None:
        self._bar, self._prompts, self._units = comfy.utils.ProgressBar(prompts * units), prompts, units
        self._begun, self._moved, self._since = done, done * units, time.monotonic()

    def advance(self, units: int) -> None:
        self._moved += units
        self._bar.update_absolute(self._moved, self._prompts * self._units)

    def kept(self, done: int) -> None:
        """So many prompts are on disk."""
        left = (time.monotonic() - self._since) / (done - self._begun) * (self._prompts - done)
        show_text(f"{done} of {self._prompts} prompts{f', about {duration(left)} left' if left > 0 else ''}")


def _nothing(_: int) -> None:
    pass


def chosen(experts: ExpertSet, found: Choice) -> ExpertSet:
    """The chosen experts in their order; calibrations belong to the whole set only."""
    places = found.selection.chosen
    if list(places) == list(range(len(experts))):
        return experts
    return ExpertSet(tuple(experts.experts[place] for place in places))


def settings(found: Choice, name: str) -> Calibration:
    """The advised settings as a calibration."""
    return found.calibration(name.strip() or "choice")


def picture(found: Choice) -> Tensor:
    """Both tables as a ComfyUI image [1, height, width, 3]."""
    made = [
        table(head, rows, title=title, highlight=marked)
        for title, (head, rows, marked) in zip(TITLES, found.tables(), strict=True)
    ]
    return torch.from_numpy(as_array(stack(made)))


def told(found: Choice, place: dict[str, str] | None) -> dict[str, Any]:
    """All of it for JSON, and where the file is."""
    return {**found.as_dict(), "file": place}


def state(trial: str | None) -> str:
    """Changes with every mark in a trial; "" where none is named."""
    with suppress(EMoEError):
        return trials.trial((trial or "").strip()).state() if (trial or "").strip() else ""
    return "missing"
