"""Scoring over a probe: what is asked of it, what the report says, and every bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from emoe_core.errors import EMoEError
from emoe_core.experts import Expert, ExpertSet
from emoe_core.probe import Request
from emoe_core.report import Settings
from emoe_core.score import score
from emoe_core.signature import Signature, signature


def weights(seed: int) -> Signature:
    generator = torch.Generator().manual_seed(seed)
    return signature([(f"layer.{i}", torch.randn(16, 16, generator=generator)) for i in range(5)])


def expert(name: str, seed: int = 0, family: str = "tiny", prediction: str = "EPS") -> Expert:
    own = weights(seed)
    return Expert(name, None, None, own, own.digest, "", family, prediction, "float32")


def experts(count: int = 3) -> ExpertSet:
    made = ExpertSet()
    for i in range(count):
        made = made.add(expert(f"e{i}"))
    return made


def settings(**changes: object) -> Settings:
    plain: dict[str, object] = {
        "experts": ("a", "b", "c"),
        "text_encoders": ("shared",),
        "tap": "mid_out",
        "estimator": "relative",
        "sigma": 14.6,
        "noise_seed": 0,
        "noise_samples": 2,
        "latent_shape": (4, 16, 16),
        "latent": "empty",
        "dtype": "float32",
    }
    return Settings(**{**plain, **changes})  # type: ignore[arg-type]


class Tensors:
    """A probe that answers with numbers drawn from the request, so that the maths can be done by hand."""

    def __init__(self, free: bool = False, bad: float | None = None) -> None:
        self.requests: list[Request] = []
        self.free, self.bad = free, bad

    def value(self, request: Request, tap: str) -> torch.Tensor:
        key = hash((request.expert, request.noise_sample, request.empty, tap)) % 2**31
        drawn = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(key))
        if self.bad is not None and request.expert == 1:
            drawn[0, 0, 0, 0] = self.bad
        return drawn

    def latents(self, request: Request) -> dict[str, list[torch.Tensor]]:
        self.requests.append(request)
        taps = {request.tap, "mid_out"} if self.free and not request.empty else {request.tap}
        return {tap: [self.value(request, tap)] for tap in taps}


def test_every_expert_gets_every_noise_sample_once_experts_outside() -> None:
    probe = Tensors()
    score(probe, experts(), settings())
    asked = [(r.expert, r.noise_sample, r.empty) for r in probe.requests]
    assert asked == [(e, k, False) for e in range(3) for k in range(2)]


def test_the_report_is_the_formula_on_the_probes_numbers() -> None:
    probe = Tensors()
    report = score(probe, experts(), settings(estimator="variance")).report
    m = torch.stack(
        [torch.stack([probe.value(Request(e, k, False, "mid_out"), "mid_out") for k in range(2)]) for e in range(3)]
    )
    per_noise = m.double().flatten(3).numpy().var(axis=0, ddof=1).mean(-1)  # [K, B]
    for item, values in zip(report.items, per_noise.T, strict=True):
        assert item.score == pytest.approx(values.mean(), rel=1e-5)
        assert item.epistemic == pytest.approx(values.mean(), rel=1e-5)
        assert item.stderr == pytest.approx(np.std(values, ddof=1) / math.sqrt(2), rel=1e-4)
        assert item.guidance is None and item.seed_variance is not None
    assert report.score == max(item.score for item in report.items)


def test_the_empty_prompt_is_asked_for_only_where_it_is_needed_and_brings_guidance() -> None:
    probe = Tensors(free=True)
    report = score(probe, experts(), settings(tap="noise_pred", estimator="centred_relative")).report
    assert [r.empty for r in probe.requests] == [False, False, True, True] * 3
    assert all(item.guidance is not None for item in report.items)
    shift = torch.stack(
        [
            probe.value(Request(0, k, False, "noise_pred"), "noise_pred")
            - probe.value(Request(0, k, True, "noise_pred"), "noise_pred")
            for k in range(2)
        ]
    )
    by_hand = (1 / shift.square().flatten(2).mean(-1)).mean(0)
    assert [item.guidance for item in report.items] == pytest.approx(by_hand.tolist(), rel=1e-5)


def test_response_is_the_middle_blocks_also_when_the_score_is_the_noise_predictions() -> None:
    probe = Tensors(free=True)
    report = score(probe, experts(), settings(tap="noise_pred")).report
    middle = torch.stack([probe.value(Request(0, k, False, "mid_out"), "mid_out") for k in range(2)])
    by_hand = (1 / middle.square().flatten(2).mean(-1)).mean(0)
    assert [item.response for item in report.items] == pytest.approx(by_hand.tolist(), rel=1e-5)


def test_the_map_has_one_place_a_latent_place() -> None:
    scored = score(Tensors(), experts(), settings())
    assert scored.disagreement.shape == (2, 4, 4) and bool((scored.disagreement >= 0).all())


def test_progress_is_told_before_each_call_and_at_the_end() -> None:
    told: list[tuple[int, int, str]] = []
    score(Tensors(), experts(2), settings(), progress=lambda *args: told.append(args))
    assert told == [(0, 4, "e0"), (1, 4, "e0"), (2, 4, "e1"), (3, 4, "e1"), (4, 4, "")]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_damaged_latent_is_an_error_that_names_the_expert(value: float) -> None:
    with pytest.raises(EMoEError, match="Expert 'e1' gives NaN or infinite values at 'mid_out'"):
        score(Tensors(bad=value), experts(), settings())


def test_one_expert_is_too_few_for_an_ensemble_and_enough_for_the_baseline() -> None:
    with pytest.raises(EMoEError, match="the set has 1: add at least 1 more"):
        score(Tensors(), experts(1), settings())
    report = score(Tensors(), experts(1), settings(estimator="response")).report
    assert report.items[0].score == report.items[0].response and report.items[0].epistemic == 0


def test_no_expert_at_all() -> None:
    with pytest.raises(EMoEError, match="the set has 0"):
        score(Tensors(), ExpertSet(), settings())


def test_experts_of_unrelated_lineage_are_refused_at_hidden_taps_only() -> None:
    mixed = ExpertSet().add(expert("a", seed=0)).add(expert("b", seed=1))
    with pytest.raises(EMoEError, match="'a' and 'b' do not descend from one base model.*thorough"):
        score(Tensors(), mixed, settings())
    assert score(Tensors(), mixed, settings(tap="noise_pred")).report.score > 0


def test_another_family_is_refused_when_it_is_added() -> None:
    with pytest.raises(EMoEError, match="'b' is SDXL, but 'a' is SD15"):
        ExpertSet().add(expert("a", family="SD15")).add(expert("b", family="SDXL"))


def test_mixed_prediction_types_are_refused_for_predictions_and_warned_about_inside() -> None:
    mixed = ExpertSet().add(expert("a")).add(expert("b", prediction="V_PREDICTION"))
    with pytest.raises(EMoEError, match="predict different things"):
        score(Tensors(), mixed, settings(tap="noise_pred"))
    assert "predict different things" in score(Tensors(), mixed, settings()).report.warnings[0]


def test_names_are_made_unique() -> None:
    made = ExpertSet().add(expert("x")).add(expert("x")).add(expert("")).add(expert("x"))
    assert [e.name for e in made.experts] == ["x", "x (2)", "expert 3", "x (3)"]


def test_a_copy_is_named() -> None:
    class Same(Tensors):
        def value(self, request: Request, tap: str) -> torch.Tensor:
            return super().value(Request(request.expert // 2, request.noise_sample, request.empty, request.tap), tap)

    report = score(Same(), experts(3), settings()).report
    assert len(report.warnings) == 1 and "'e1' and 'e0'" in report.warnings[0] and "e2" not in report.warnings[0]


def test_experts_that_answer_in_different_sizes_are_named() -> None:
    class Odd(Tensors):
        def value(self, request: Request, tap: str) -> torch.Tensor:
            drawn = super().value(request, tap)
            return drawn[:, :2] if request.expert == 2 else drawn

    with pytest.raises(EMoEError, match="'e2' gives a latent of another size"):
        score(Odd(), experts(), settings())
