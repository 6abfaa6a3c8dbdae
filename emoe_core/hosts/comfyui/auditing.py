"""The audit inside a ComfyUI process: the Audit node's prompts, which go in batches through the experts, and its work."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths

from ...audit import engine
from ...audit.analysis import Options, analyse
from ...audit.engine import fingerprint
from ...audit.plan import read_plan
from ...audit.result import AuditResult
from ...audit.scorer import About, ScoredRow
from ...audit.text import words
from ...errors import EMoEError
from ...experts.sets import ExpertSet
from ...gating.gate import fitting, matching
from ...io.log import log
from ...prompts import ALIASES, KINDS, check_text
from ...prompts.sets import REGIONS, SETS, Choice, write
from ...records.calibration import Calibration
from ...records.report import ItemScore
from ...scoring.presets import ScoreOptions
from .input_files import input_file, state
from .prompts.encoding import encode_many
from .scoring.proving import Prover
from .scoring.score import Run, score_prompts

NO_FILE = "none"
_FILE = "Uncertainty Audit's file"
BUILT_IN = {f"built-in set: {name}": name for name in SETS}


def choices() -> list[str]:
    """The node's choices; the files of ComfyUI's input folder come last."""
    base = Path(folder_paths.get_input_directory())
    found = []
    for folder, _, files in os.walk(base):
        found += [(Path(folder) / name).relative_to(base).as_posix() for name in files if name.lower().endswith(KINDS)]
    return [NO_FILE, *BUILT_IN, *sorted(found)]


def prompt_file(name: str) -> Path:
    """Full path of a file from `choices`; an `EMoEError` when it is missing or outside of the folder."""
    return input_file(name, _FILE)


def names(text: str) -> tuple[str, ...]:
    """The parts between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class Prompts:
    """The node's inputs for its prompts.

    Attributes:
        file: one of `choices`.
        text: with NO_FILE: one prompt per line, or a table whose first line names its columns.
        languages: of a built-in set, separated by commas; "" as in `Choice`.
        part: of a built-in set: topics, territories or areas, and a number of things, separated by commas.
    """

    file: str
    text: str = ""
    languages: str = ""
    part: str = ""

    def check(self) -> None:
        """An `EMoEError` for a missing file, or for a part that a set does not have."""
        if not isinstance(self.file, str):
            input_file(self.file, _FILE)
        elif self.file in BUILT_IN:
            self._choice()
        elif self.languages.strip() or self.part.strip():
            raise EMoEError(
                f"Uncertainty Audit's languages and part choose of a built-in prompt set, and file is "
                f"'{self.file}'; empty both, or choose "
                "a built-in set."
            )
        elif self.file != NO_FILE:
            prompt_file(self.file)

    def state(self) -> str:
        """Changes when the prompts change in a way that the inputs do not show."""
        if isinstance(self.file, str) and (self.file == NO_FILE or self.file in BUILT_IN):
            return ""
        return state(self.file, _FILE)

    def path(self, folder: Path) -> Path:
        """The prompts as a file; prompts that are no file yet are written into `folder`."""
        self.check()
        if self.file in BUILT_IN:
            choice = self._choice()
            digest = fingerprint({"set": repr(choice), "source": choice.source})
            return write(choice, folder / f"{choice.name}-{digest[:8]}.csv")
        return prompt_file(self.file) if self.file != NO_FILE else _written(folder, self.text)

    def _choice(self) -> Choice:
        name, words = BUILT_IN[self.file], names(self.part)
        numbers = [int(word[:9]) for word in words if word.isdecimal()]  # more digits say all
        topics = [word for word in words if word.lower() in Choice(name).all_topics()]
        others = [word for word in words if not word.isdecimal() and word not in topics]
        if others and name != REGIONS:
            topics, others = topics + others, []  # the error then names the unknown part and the known ones
        return Choice(name, names(self.languages), tuple(topics), tuple(others), max(numbers, default=0))


def _written(folder: Path, text: str) -> Path:
    """The text box as a prompt file; a table if its first line names a prompt column among others."""
    check_text(text, "Uncertainty Audit's prompts")
    if not text.strip():
        raise EMoEError("Uncertainty Audit has no prompts; choose a file, or write prompts into the box, one per line.")
    first = text.strip().splitlines()[0]
    cells = [cell.strip().lower() for mark in ",;\t" for cell in first.split(mark) if mark in first]
    kind = ".csv" if any(cell in ALIASES for cell in cells) else ".txt"
    content = (text.strip() + "\n").encode()
    path = folder / f"{fingerprint({'text': content.decode()})}{kind}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


FOLDER = "emoe_audits"
_PROBE = "a"


class ComfyScorer:
    """Implements `emoe_core.audit.scorer.Scorer` with experts in this process."""

    def __init__(
        self,
        experts: ExpertSet,
        latent: dict[str, Any],
        options: ScoreOptions,
        calibration: Calibration | None = None,
        clip: Any = None,
        batch_size: int | None = None,
    ) -> None:
        """
        Args:
            latent: a LATENT with one item.
            calibration: for p-values; None takes the experts' own if one fits.
            clip: one text encoder for all experts, or None for each expert's own.
            batch_size: prompts per call; None takes a block of `scoring.score.Run`.
        """
        if len(latent["samples"]) != 1:
            raise EMoEError(
                "The audit's latent_image is a batch; set its batch_size to 1: every prompt gets the same one."
            )
        self._experts, self._latent, self._options, self._clip = experts, latent, options, clip
        self._calibration = calibration
        self.batch_size = batch_size or Run.of(experts, latent, options).prompts_a_block()
        self._tokenizer = _Tokens(clip or next((e.clip for e in experts.experts if e.clip is not None), None))

    def about(self) -> About:
        """Scores one prompt, so that experts that cannot be compared are refused before the first batch."""
        (prompt,) = encode_many(self._experts, [_PROBE], self._clip)
        run = Run.of(self._experts, self._latent, self._options)
        (scored,) = run.score([prompt], None, lambda *_: None)
        candidates = self._experts.calibrations if self._calibration is None else (self._calibration,)
        proofs = Prover(run, scored.report.settings, prompt, self._clip).proofs(candidates)
        report = replace(scored.report, proofs=proofs)
        if self._calibration is not None:
            matching(report, (self._calibration,))
        else:
            self._calibration = fitting(report, self._experts.calibrations)
        named = report.as_dict()["experts"]
        calibration = None if self._calibration is None else self._calibration.message()
        proved = (proof.proved() for proof in proofs if proof.holds)
        return About(asdict(report.settings), tuple(named), calibration, (*report.messages, *proved))

    def score(self, prompts: Sequence[str]) -> list[ScoredRow]:
        """See `emoe_core.audit.scorer.Scorer.score`."""
        rows: list[ScoredRow] = []
        for start in range(0, len(prompts), self.batch_size):
            comfy.model_management.throw_exception_if_processing_interrupted()
            part = prompts[start : start + self.batch_size]
            rows += [self._row(prompt, found) for prompt, found in zip(part, self._batch(part), strict=True)]
        return rows

    def _batch(self, prompts: Sequence[str]) -> list[ItemScore | str]:
        """A score or a reason per prompt; a batch that fails or does not fit in memory is halved."""
        try:
            encoded = encode_many(self._experts, prompts, self._clip)
            found = score_prompts(self._experts, encoded, self._latent, self._options, brief=True)
            return [scored.report.items[0] for scored in found]
        except EMoEError as error:
            if len(prompts) == 1:
                return [str(error)]
            log.debug(
                "EMoE: a block of %d prompts failed and is halved to find the one at fault: %s", len(prompts), error
            )
        except comfy.model_management.OOM_EXCEPTION:
            if len(prompts) == 1:
                return ["There is not enough memory for this prompt at this size."]
            log.info("EMoE: a block of %d prompts did not fit into memory and is scored in halves", len(prompts))
            comfy.model_management.soft_empty_cache()
        half = len(prompts) // 2
        return self._batch(prompts[:half]) + self._batch(prompts[half:])

    def _row(self, prompt: str, found: ItemScore | str) -> ScoredRow:
        tokens, truncated, unknown = self._tokenizer.facts(prompt)
        if isinstance(found, str):
            return ScoredRow(None, tokens=tokens, truncated=truncated, unknown=unknown, error=found)
        p_value = None if self._calibration is None else self._calibration.p_value(found.score)
        return ScoredRow(**found.numbers(), p_value=p_value, tokens=tokens, truncated=truncated, unknown=unknown)


class _Tokens:
    """A prompt's tokens in the text encoder. Tokens of the empty prompt are start, end and padding."""

    def __init__(self, clip: Any) -> None:
        self._clip = clip
        self._special = {entry[0] for chunk in self._chunks("") for entry in chunk if isinstance(entry[0], int)}
        self._is_one = lru_cache(maxsize=1 << 17)(lambda word: self._count(word) == 1)

    def facts(self, prompt: str) -> tuple[int | None, bool | None, float | None]:
        """The number of tokens, whether one window holds them, and the share of words that are not one token."""
        if self._clip is None:
            return None, None, None
        found = words(prompt)
        unknown = sum(not self._is_one(word) for word in found) / len(found) if found else None
        chunks = self._chunks(prompt)
        return self._of(chunks), len(chunks) > 1, unknown

    def _count(self, text: str) -> int:
        return self._of(self._chunks(text))

    def _of(self, chunks: list[Any]) -> int:
        return sum(
            not isinstance(entry[0], int) or entry[0] not in self._special for chunk in chunks for entry in chunk
        )

    def _chunks(self, text: str) -> list[Any]:
        """The first text encoder's windows, each a list of (token, weight)."""
        return [] if self._clip is None else list(next(iter(self._clip.tokenize(text).values())))


# --- the node ---------------------------------------------------------------------------------------------------------


def audit(
    scorer: ComfyScorer, prompts: Prompts, name: str, groups: str, ids: str, options: Options
) -> tuple[AuditResult, Path]:
    """The Audit node: scores the missing prompts, analyses, and says where the audit is.

    An audit's folder is named by what it depends on, so the same inputs continue an audit and others begin a new one.
    Prompts that could not be scored in an earlier run are tried again.

    Args:
        prompts: the node's inputs for its prompts.
        groups: names of the group columns, separated by commas; "" to find them.
        ids: name of the column that pairs parallel prompts; "" for one of the usual names.
    """
    base = Path(folder_paths.get_output_directory()) / FOLDER
    plan = read_plan(prompts.path(base / "prompts"), names(groups) or None, ids.strip() or None)
    options.check(plan)
    about = scorer.about()
    what = [plan.sha256, plan.groups, plan.id_column, about.settings, str(about.calibration or "")]
    key = engine.fingerprint({"audit": json.loads(json.dumps(what))})
    folder = base / f"{safe_name(name) or 'audit'}-{key[:8]}"
    bar = comfy.utils.ProgressBar(max(1, plan.total))

    def progress(done: int, total: int, left: float | None) -> None:
        bar.update_absolute(done, total)

    # Failures are always tried again: a node has no switch for it, and the machine may have been at fault.
    with engine.run(plan, scorer, folder, progress, True, about, "queue the graph again") as store:
        return analyse(store, options), folder


def safe_name(name: str) -> str:
    """The name as a folder's name: letters, numbers, spaces and -_ only."""
    return "".join(letter if letter.isalnum() or letter in " -_" else "_" for letter in name).strip()[:60]
