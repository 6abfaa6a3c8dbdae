"""What a score depends on, and the report that carries it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .message import Message, dump_all
from .settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from .calibration import Calibration
    from .proof import Proof
    from .took import Took

#: Version 2 added items[].all to version 1.
REPORT_SCHEMA = 2


@dataclass(frozen=True)
class Estimate:
    """One estimator's result for one batch item.

    Attributes:
        score: mean over noise samples. Higher means less certain.
        stderr: its standard error over noise samples; None with one sample.
        seed: the same estimator on the experts' mean, with noise samples in the experts' place: the score of the noise
            alone. None with one sample and for the baselines without an ensemble.
    """

    score: float
    stderr: float | None
    seed: float | None


@dataclass(frozen=True)
class ItemScore:
    """The score of one batch item.

    Attributes:
        score: mean of the estimator over noise samples. Higher means less certain.
        stderr: its standard error over noise samples; None with one sample.
        epistemic: variance across experts, in the latent's unit squared.
        seed_variance: variance from the noise alone, same unit; None with one sample.
        response: the no-ensemble baseline, 1 / mean square of the first expert's latent (at the middle block if any).
        guidance: the no-ensemble baseline, 1 / mean square of the first expert's prompt minus empty-prompt noise
            prediction; None where the empty prompt was not measured.
        all: every estimator that the measured latents allow, by tap and estimator.
    """

    score: float
    stderr: float | None
    epistemic: float
    seed_variance: float | None
    response: float
    guidance: float | None
    all: dict[str, dict[str, Estimate]] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """The item's own numbers by name, without `all`."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "all"}


@dataclass(frozen=True)
class StageCalls:
    """What a staged score took.

    Attributes:
        stage: the one that decided, 1 or 2.
        calls: network calls with the prompt.
        full: those of a score by all experts on all noise samples.
    """

    stage: int
    calls: int
    full: int

    def line(self) -> str:
        """For a person."""
        return f"stage {self.stage} of 2 decided: {self.calls} of {self.full} network calls"


@dataclass(frozen=True)
class Report:
    """Everything known about one scored prompt.

    Attributes:
        settings: everything the score depends on besides the prompt.
        items: one score per batch item.
        experts: the experts' names, in the order of `settings.experts`.
        files: file name and SHA-256 of each expert, "" where this pack did not read it from a file.
        pairwise: mean squared distance between every two experts over their mean square; of a staged score, between the
            experts of the first stage.
        messages: what a user should know before trusting the score.
        prompt: the text, "" where it is unknown.
        calibrations: the calibrations that came with the experts.
        routing: how the router of a mixture distributed the prompt.
        maps: the pictures for Disagreement Map; no part of the stored report.
        proofs: whether calibrations made by other digests hold for these models.
        alike: pairs of experts, by their places, that gave the same latents but for rounding.
        stage: what a staged score took; None for any other.
        took: seconds and calls; no part of the stored report, since the same score takes another time elsewhere.
    """

    settings: Settings
    items: tuple[ItemScore, ...]
    experts: tuple[str, ...]
    files: tuple[str, ...]
    pairwise: tuple[tuple[float, ...], ...]
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    calibrations: tuple[Calibration, ...] = ()
    schema: int = REPORT_SCHEMA
    routing: Routing | None = None
    maps: Maps | None = field(default=None, compare=False, repr=False)
    proofs: tuple[Proof, ...] = ()
    alike: tuple[tuple[int, int], ...] = ()
    stage: StageCalls | None = None
    took: Took | None = field(default=None, compare=False, repr=False)

    @property
    def score(self) -> float:
        """The score that decides: the highest of the batch, so that no item hides behind the others."""
        return self._deciding().score

    @property
    def warnings(self) -> tuple[str, ...]:
        """The messages in English."""
        return tuple(map(str, self.messages))

    def lines(self) -> list[str]:
        """For a person: the score, the numbers to compare it with, and the warnings."""
        item = self._deciding()
        alone = f"without the ensemble: response {item.response:.4g}"
        if item.guidance is not None:
            alone += f", guidance {item.guidance:.4g}"
        found = [self.line(), alone]
        if item.seed_variance is not None:
            found.append(f"variance across experts {item.epistemic:.3g}, across seeds {item.seed_variance:.3g}")
        if self.routing is not None:
            found.append(self.routing.line())
        if self.stage is not None:
            found.append(self.stage.line())
        return [*found, *(proof.line() for proof in self.proofs), *self.warnings]

    def proof_of(self, calibration: Calibration) -> Proof | None:
        """The proof of a calibration, if one was tried."""
        return next((proof for proof in self.proofs if proof.calibration == calibration.digest), None)

    def _deciding(self) -> ItemScore:
        return max(self.items, key=lambda item: item.score)

    def line(self) -> str:
        """One line for a person."""
        deciding = self._deciding()
        error = "" if deciding.stderr is None else f" ± {deciding.stderr:.2g}"
        batch = "" if len(self.items) == 1 else f", highest of {len(self.items)} items"
        return (
            f"uncertainty {deciding.score:.4g}{error} ({self.settings.estimator} at {self.settings.tap}, "
            f"{len(self.experts)} experts, {self.settings.noise_samples} noise samples{batch})"
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything but the calibrations and what it took, ready for JSON."""
        return {
            "schema": self.schema,
            "score": self.score,
            "items": [asdict(item) for item in self.items],
            "experts": [
                {"name": name, "identity": identity, "file": file}
                for name, identity, file in zip(self.experts, self.settings.experts, self.files, strict=True)
            ],
            "pairwise": [list(row) for row in self.pairwise],
            **dump_all(self.messages),
            "prompt": self.prompt,
            "settings": asdict(self.settings),
            "fingerprint": self.settings.fingerprint(),
            "proofs": [proof.as_dict() for proof in self.proofs],
            **({} if self.routing is None else {"routing": self.routing.as_dict()}),
            **({} if self.stage is None else {"stage": asdict(self.stage)}),
        }

    def as_told(self) -> dict[str, Any]:
        """`as_dict`, with what it took at the end."""
        return self.as_dict() | ({} if self.took is None else {"took": self.took.as_dict()})


@dataclass(frozen=True, eq=False)
class Maps:
    """What a score shows place by place.

    Attributes:
        disagreement: [B, h, w], see `disagreement`.
        denoised: the first expert's denoised estimate of the first noise sample, [B, C, H, W] in the scale of a LATENT;
            None where the pass ended before the prediction.
    """

    disagreement: Tensor
    denoised: Tensor | None = None


@dataclass(frozen=True)
class LayerRouting:
    """One mixture layer.

    Attributes:
        name: the layer's name in its network.
        entropy: of the router's softmax over all experts, mean over tokens, over its maximum: 0 picks one, 1 is undecided.
        load: each expert's share of the routing weight; sums to 1.
        separated: whether the paths were separated here, so the router's choice was not followed.
    """

    name: str
    entropy: float
    load: tuple[float, ...]
    separated: bool


@dataclass(frozen=True)
class Routing:
    """Where a mixture's router sent a prompt, a baseline to compare the score with: means over paths, noise samples and layers.

    Attributes:
        items: entropy of each batch item.
        separated_at: the layer where the paths were separated.
    """

    entropy: float
    load: tuple[float, ...]
    items: tuple[float, ...]
    separated_at: str
    top_k: int
    layers: tuple[LayerRouting, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    def line(self) -> str:
        """One line for a person."""
        load = ", ".join(f"{100 * share:.0f} %" for share in self.load)
        return (
            f"routing over {len(self.layers)} layers: entropy {self.entropy:.3f} of 1, load {load}; paths separated at "
            f"{self.separated_at}"
        )
