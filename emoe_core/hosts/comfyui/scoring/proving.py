"""Proofs in ComfyUI: a calibration's prompts are scored again on the models at hand, once per process."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.model_management

from ....gating.proof import chosen, needs_proof, prove, unproved
from ....io.log import log, timed
from ....records.calibration import Calibration
from ....records.proof import Proof
from ....records.settings import SHARED, Settings
from ....scoring.collect import Progress
from ..prompts import conditioning as cond
from ..prompts.encoding import encode_many
from .progress import show_text

#: How many proofs are kept; the oldest is dropped.
_MOST = 256
kept_proofs: OrderedDict[tuple[str, ...], Proof] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Prover:
    """What proofs need from a run.

    Attributes:
        run: a `scoring.score.Run` with the question that is asked.
        settings: the settings of the report that wants a calibration.
        prompt: the prompt's CONDITIONING; what other nodes added to it is added to the reference prompts too.
        clip: one text encoder for all experts, if it is known; None tries the experts' own.
    """

    run: Any
    settings: Settings
    prompt: cond.Conditioning | None = None
    clip: Any = None
    empty_prompt: cond.Conditioning | None = None

    def waiting(self, calibrations: Iterable[Calibration]) -> list[Calibration]:
        """Those of these calibrations whose proof is still to be made."""
        wanted = {one.digest: one for one in calibrations if needs_proof(one, self.settings)}
        return [one for one in wanted.values() if self._key(one) not in kept_proofs]

    def cost(self, calibration: Calibration) -> int:
        """How many prompts its proof scores."""
        return len(chosen(calibration))

    def proofs(self, calibrations: Sequence[Calibration], progress: Progress | None = None) -> tuple[Proof, ...]:
        """A proof for each calibration that needs one; `progress` gets (done, total, its name) for each."""
        for calibration in self.waiting(calibrations):
            show_text(f"proving the calibration '{calibration.name}' on {self.cost(calibration)} of its prompts")
            with timed("tried the calibration '%s' on %d of its prompts", calibration.name, self.cost(calibration)):
                proof = self._prove(calibration, progress)
            log.info("EMoE: %s", proof.line())
            kept_proofs[self._key(calibration)] = proof
            if len(kept_proofs) > _MOST:
                kept_proofs.popitem(last=False)
        found = (kept_proofs.get(self._key(one)) for one in calibrations if needs_proof(one, self.settings))
        return tuple(dict.fromkeys(proof for proof in found if proof is not None))

    def _key(self, calibration: Calibration) -> tuple[str, ...]:
        own = (cond.encoders(self.run.experts) if self.clip is None else ()) if self._shared else ()
        return (calibration.digest, self.settings.fingerprint(), str(id(self.clip)), *own)

    @property
    def _shared(self) -> bool:
        return self.settings.text_encoders == SHARED

    def _prove(self, calibration: Calibration, progress: Progress | None) -> Proof:
        """With one text encoder for all, it may be any expert's: the first that gives the calibration's scores counts."""
        clips = [self.clip]
        if self._shared and self.clip is None:
            clips = list({id(e.clip): e.clip for e in self.run.experts.experts if e.clip is not None}.values())
        best = unproved(calibration, "none of the experts brings a text encoder to encode its prompts with")
        for clip in clips:
            proof = prove(calibration, partial(self._scores, clip=clip, progress=progress))
            best = min(best, proof, key=lambda one: one.difference)
            if proof.holds or proof.why_not:
                return proof
        return best

    def _scores(self, prompts: Sequence[str], clip: Any, progress: Progress | None) -> list[float]:
        encoded = [cond.with_beside(one, self.prompt) for one in encode_many(self.run.experts, prompts, clip)]
        found: list[float] = []
        size = self.run.prompts_a_block()
        for start in range(0, len(encoded), size):
            comfy.model_management.throw_exception_if_processing_interrupted()
            block = encoded[start : start + size]

            def tell(done: int, total: int, expert: str, start: int = start, count: int = len(block)) -> None:
                if progress is not None:
                    progress(start * total + done * count, len(encoded) * total, expert)

            found += [one.report.score for one in self.run.score(block, self.empty_prompt, tell, brief=True)]
        return found
