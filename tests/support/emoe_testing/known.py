"""A scorer whose scores are known, for the audit's loop. It imports little, since children of tests import it too."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from emoe_core.audit.scorer import About, ScoredRow


class Known:
    """Scores that a prompt's text fixes: a base by its first word, and noise from its digest."""

    def __init__(self, base: dict[str, float] | None = None, seed: int = 0, batch_size: int = 8) -> None:
        self.base, self.seed, self.batch_size = base or {}, seed, batch_size
        self.calls: list[list[str]] = []

    def about(self) -> About:
        return About({"preset": "known", "seed": self.seed}, ({"name": "one"}, {"name": "two"}))

    def score(self, prompts: Sequence[str]) -> list[ScoredRow]:
        self.calls.append(list(prompts))
        return [self._row(prompt) for prompt in prompts]

    def _row(self, prompt: str) -> ScoredRow:
        if "FAIL" in prompt:
            return ScoredRow(None, error="it holds FAIL")
        noise = np.random.default_rng(int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16)).normal()
        score = float(np.exp(self.base.get(prompt.split()[0], 0.0) + 0.3 * noise))
        return ScoredRow(score, response=1 / score, p_value=0.01 if score > 2 else 0.5, tokens=len(prompt) // 2)
