"""The audit on diffusers models: prompts in batches through the experts."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import torch

from ...audit.scorer import About, ScoredRow
from ...audit.source import Source
from ...audit.text import words
from ...errors import EMoEError
from ...experts.sets import ExpertSet
from ...gating.gate import fitting, matching
from ...io.log import log
from ...records.calibration import Calibration
from ...records.report import Report
from ...scoring.presets import ScoreOptions
from .loading import load_asked
from .scoring import Computing, proofs_of, score, score_many, settings_of

_PLACES = 2 * 128 * 128
_MOST = 32
_NO_LIMIT = 100_000


class DiffusersScorer:
    """Implements `emoe_core.audit.scorer.Scorer`."""

    def __init__(
        self,
        experts: ExpertSet,
        options: ScoreOptions,
        computing: Computing,
        calibration: Calibration | None = None,
        batch_size: int = 16,
    ) -> None:
        self._experts, self._options, self._computing = experts, options, computing
        self._calibration, self.batch_size = calibration, batch_size
        encoders = next((e.clip for e in experts.experts if e.clip is not None), None)
        self._tokenizer: Any = getattr(getattr(encoders, "pipeline", None), "tokenizer", None)
        self._is_one = lru_cache(maxsize=1 << 17)(lambda word: len(self._ids(word)) == 1)

    def about(self) -> About:
        """Scores one prompt, so that experts that cannot be compared are refused before the first batch."""
        report = score(self._experts, "a", self._options, self._computing)
        candidates = self._experts.calibrations if self._calibration is None else (self._calibration,)
        report = replace(report, proofs=proofs_of(self._experts, self._options, candidates, self._computing))
        if self._calibration is not None:
            matching(report, (self._calibration,))
        else:
            self._calibration = fitting(report, self._experts.calibrations)
        told = None if self._calibration is None else self._calibration.message()
        return About(asdict(report.settings), tuple(report.as_dict()["experts"]), told, report.messages)

    def score(self, prompts: Sequence[str]) -> list[ScoredRow]:
        """See `emoe_core.audit.scorer.Scorer.score`; a batch that fails is halved until the faulty prompt is alone."""
        try:
            many = score_many(self._experts, list(prompts), self._options, self._computing, brief=True)
            found = [scored.report for scored in many]
        except (EMoEError, torch.OutOfMemoryError) as error:
            if len(prompts) == 1:
                said = str(error) if isinstance(error, EMoEError) else "There is not enough memory for this prompt."
                return [ScoredRow(None, **self._facts(prompts[0]), error=said)]
            half = len(prompts) // 2
            log.info("EMoE: %d prompts at once failed (%s) and are scored in halves", len(prompts), error)
            return self.score(prompts[:half]) + self.score(prompts[half:])
        return [self._row(prompt, report) for prompt, report in zip(prompts, found, strict=True)]

    def _row(self, prompt: str, report: Report) -> ScoredRow:
        p_value = None if self._calibration is None else self._calibration.p_value(report.score)
        return ScoredRow(**report.items[0].numbers(), p_value=p_value, **self._facts(prompt))

    def _facts(self, prompt: str) -> dict[str, Any]:
        if self._tokenizer is None:
            return {}
        found, tokens = words(prompt), len(self._ids(prompt))
        room = int(getattr(self._tokenizer, "model_max_length", _NO_LIMIT))
        return {
            "tokens": tokens,
            "truncated": tokens + 2 > room if room < _NO_LIMIT else False,  # start and end take two
            "unknown": sum(not self._is_one(word) for word in found) / len(found) if found else None,
        }

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return ids


def scorer_of(source: Source) -> DiffusersScorer:
    """The scorer of `emoe_core.audit.source.Source` with the host diffusers."""
    experts, device = load_asked(source.experts, source.config, source.device, source.dtype)
    *_, height, width = settings_of(experts, source.options).latent_shape
    size = source.batch or max(1, min(_MOST, _PLACES // (height * width)))
    computing = Computing(size * source.options.noise_samples, device)
    return DiffusersScorer(experts, source.options, computing, source.loaded_calibration(), size)
