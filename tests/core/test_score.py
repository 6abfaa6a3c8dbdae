"""Scoring over a probe: what is asked of it, what the report says, and every bad input."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from emoe_core.errors import EMoEError
from emoe_core.experts.sets import Expert, ExpertSet
from emoe_core.experts.signature import Signature, signature
from emoe_core.records.settings import Settings
from emoe_core.scoring.estimators import ESTIMATORS
from emoe_core.scoring.presets import resolve, resolve_tap
from emoe_core.scoring.probe import Answer, Request
from emoe_core.scoring.score import Scored, score_many


def score(probe: Any, experts: ExpertSet, settings: Settings, prompt: str = "", **how: Any) -> Scored:
    """The score of a probe's one prompt."""
    return score_many(probe, experts, [settings], [prompt], **how)[0]


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

    def __init__(
        self, taps: tuple[str, ...] = ("mid_in", "mid_out", "noise_pred"), bad: float | None = None, prompts: int = 1
    ) -> None:
        self.requests: list[Request] = []
        self.taps, self.bad, self.prompts, self.samples = taps, bad, prompts, 2

    def value(self, expert: int, tap: str, empty: bool = False, prompt: int = 0) -> torch.Tensor:
        """[K, B, C, h, w]"""
        key = zlib.crc32(repr((expert, tap, empty, prompt)).encode())
        drawn = torch.randn(self.samples, 2, 3, 4, 4, generator=torch.Generator().manual_seed(key))
        if self.bad is not None and expert == 1:
            drawn[0, 0, 0, 0, 0] = self.bad
        return drawn

    def latents(self, request: Request, advance: Callable[[int], None]) -> Answer:
        self.requests.append(request)
        answers = []
        for prompt in range(1 if request.empty else self.prompts):
            answers.append({tap: [self.value(request.expert, tap, request.empty, prompt)] for tap in request.taps})
            for _ in range(self.samples):
                advance(1)
        return Answer(answers)

    def all(self, tap: str, count: int = 3, **how: Any) -> torch.Tensor:
        """[M, K, B, D] in double precision."""
        return torch.stack([self.value(i, tap, **how) for i in range(count)]).double().flatten(3)


def test_every_expert_is_asked_once_experts_outside() -> None:
    probe = Tensors()
    score(probe, experts(), settings())
    assert probe.requests == [Request(i, False, ("mid_out",)) for i in range(3)]


def test_the_report_is_the_formula_on_the_probes_numbers() -> None:
    probe = Tensors()
    report = score(probe, experts(), settings(estimator="variance")).report
    per_noise = probe.all("mid_out").numpy().var(axis=0, ddof=1).mean(-1)  # [K, B]
    for item, values in zip(report.items, per_noise.T, strict=True):
        assert item.score == pytest.approx(values.mean(), rel=1e-5)
        assert item.epistemic == pytest.approx(values.mean(), rel=1e-5)
        assert item.stderr == pytest.approx(np.std(values, ddof=1) / math.sqrt(2), rel=1e-4)
        assert item.guidance is None and item.seed_variance is not None
    assert report.score == max(item.score for item in report.items)


def test_the_empty_prompt_is_asked_for_only_where_it_is_needed_and_brings_guidance() -> None:
    probe = Tensors()
    report = score(probe, experts(), settings(tap="noise_pred", estimator="centred_relative")).report
    # the middle block comes with the pass, for the baseline
    assert probe.requests[:2] == [Request(0, False, ("noise_pred", "mid_out")), Request(0, True, ("noise_pred",))]
    shift = (probe.all("noise_pred") - probe.all("noise_pred", empty=True))[0]
    by_hand = (1 / shift.square().mean(-1)).mean(0)
    assert [item.guidance for item in report.items] == pytest.approx(by_hand.tolist(), rel=1e-5)


def test_response_is_the_middle_blocks_also_when_the_score_is_the_noise_predictions() -> None:
    probe = Tensors()
    report = score(probe, experts(), settings(tap="noise_pred")).report
    by_hand = (1 / probe.all("mid_out")[0].square().mean(-1)).mean(0)
    assert [item.response for item in report.items] == pytest.approx(by_hand.tolist(), rel=1e-5)
    without = Tensors(taps=("block:0", "noise_pred"))
    item = score(without, experts(), settings(tap="noise_pred")).report.items[0]
    assert item.response == item.all["noise_pred"]["response"].score


def test_every_estimator_that_the_latents_allow_is_in_the_report() -> None:
    probe = Tensors()
    item = score(probe, experts(), settings()).report.items[0]
    assert set(item.all) == {"mid_out"}
    assert set(item.all["mid_out"]) == {name for name, one in ESTIMATORS.items() if not one.needs_empty}
    assert item.all["mid_out"]["relative"].score == item.score
    m = probe.all("mid_out")
    centre = m.mean(0)[:, 0].numpy()
    seed = centre.var(axis=0, ddof=1).mean()
    assert item.all["mid_out"]["variance"].seed == pytest.approx(seed, rel=1e-5)
    assert item.seed_variance == pytest.approx(seed, rel=1e-5)
    assert item.all["mid_out"]["relative"].seed == pytest.approx(seed / (centre**2).mean(), rel=1e-5)
    assert item.all["mid_out"]["response"].seed is None


def test_several_readings_come_from_one_pass_and_are_what_they_are_alone() -> None:
    probe = Tensors()
    also = [("noise_pred", "centred_relative"), ("mid_in", "whitened")]
    item = score(probe, experts(), settings(), also=also).report.items[1]
    assert probe.requests[0] == Request(0, False, ("mid_out", "noise_pred", "mid_in"))
    assert probe.requests[1] == Request(0, True, ("noise_pred", "mid_in")) and len(probe.requests) == 6
    for tap, name in also:
        alone = score(Tensors(), experts(), settings(tap=tap, estimator=name)).report.items[1]
        assert item.all[tap][name].score == alone.score


def test_several_prompts_are_scored_as_each_alone() -> None:
    def one(prompt: int) -> Any:
        class Only(Tensors):
            def value(self, expert: int, tap: str, empty: bool = False, prompt: int = prompt) -> torch.Tensor:
                return super().value(expert, tap, empty, 0 if empty else only)

        only = prompt
        return score(Only(), experts(), settings(tap="noise_pred", estimator="centred_relative"), f"prompt {prompt}")

    probe, plain = Tensors(prompts=3), settings(tap="noise_pred", estimator="centred_relative")
    texts = [f"prompt {i}" for i in range(3)]
    together = score_many(probe, experts(), [plain] * 3, texts)
    assert len(probe.requests) == 6  # an expert is asked once for all prompts and once for the empty one
    for number, scored in enumerate(together):
        assert scored.report == one(number).report and torch.equal(
            scored.maps.disagreement, one(number).maps.disagreement
        )


def test_unrelated_experts_get_no_hidden_ensemble_score_by_the_way() -> None:
    mixed = ExpertSet().add(expert("a", seed=0)).add(expert("b", seed=1))
    item = score(Tensors(), mixed, settings(tap="noise_pred")).report.items[0]
    assert set(item.all["mid_out"]) == {"response"} and "variance" in item.all["noise_pred"]


def test_the_report_is_json_that_readers_of_the_first_schema_understand() -> None:
    data = json.loads(json.dumps(score(Tensors(), experts(), settings()).report.as_dict()))
    item = data["items"][0]
    assert data["schema"] == 2 and data["score"] >= item["score"]
    assert set(item) >= {"score", "stderr", "epistemic", "seed_variance", "response", "guidance"}
    assert set(item["all"]["mid_out"]["cosine"]) == {"score", "stderr", "seed"}


def test_the_map_has_one_place_a_latent_place() -> None:
    scored = score(Tensors(), experts(), settings())
    assert scored.maps.disagreement.shape == (2, 4, 4) and bool((scored.maps.disagreement >= 0).all())


@pytest.mark.parametrize("name", ["relative", "centred_relative", "centred_layout"])
def test_the_map_is_of_the_estimator_that_was_asked_for(name: str) -> None:
    scored = score(Tensors(), experts(), settings(tap="noise_pred", estimator=name))
    means = scored.maps.disagreement.mean(dim=(1, 2)).tolist()
    assert means == pytest.approx([item.score for item in scored.report.items], rel=1e-5)


def test_progress_is_told_before_each_expert_and_after_each_call() -> None:
    told: list[tuple[int, int, str]] = []
    score(Tensors(), experts(2), settings(), progress=lambda *args: told.append(args))
    assert told == [
        (0, 4, "e0"),
        (1, 4, "e0"),
        (2, 4, "e0"),
        (2, 4, "e1"),
        (3, 4, "e1"),
        (4, 4, ""),
    ]


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
    with pytest.raises(EMoEError, match="'a' and 'b' do not descend from one base model.*layout"):
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
        def value(self, expert: int, *args: Any, **how: Any) -> torch.Tensor:
            return super().value(expert // 2, *args, **how)

    report = score(Same(), experts(3), settings()).report
    assert len(report.warnings) == 1 and "'e1' and 'e0'" in report.warnings[0] and "e2" not in report.warnings[0]


def test_experts_that_answer_in_different_sizes_are_named() -> None:
    class Odd(Tensors):
        def value(self, expert: int, *args: Any, **how: Any) -> torch.Tensor:
            drawn = super().value(expert, *args, **how)
            return drawn[:, :, :2] if expert == 2 else drawn

    with pytest.raises(EMoEError, match="'e2' gives a latent of another size"):
        score(Odd(), experts(), settings())


UNET, DIT = ("mid_in", "mid_out", "noise_pred"), ("block:0", "block:1", "block:2", "block:3", "noise_pred")


@pytest.mark.parametrize(
    ("wanted", "taps", "meant"),
    [
        ("middle", UNET, "mid_out"),
        ("middle", DIT, "block:1"),
        ("block", DIT, "block:1"),
        ("block", DIT[2:], "block:2"),
        ("block:3", DIT, "block:3"),
        ("noise_pred", DIT, "noise_pred"),
    ],
)
def test_a_wanted_tap_is_settled_by_what_the_model_has(wanted: str, taps: tuple[str, ...], meant: str) -> None:
    assert resolve_tap(wanted, taps) == meant


@pytest.mark.parametrize(
    ("wanted", "taps", "said"),
    [
        ("mid_out", DIT, "no tap 'mid_out'; they have block:0 to block:3, noise_pred. Choose the preset fast"),
        ("block:4", DIT, "no tap 'block:4'"),
        ("block", UNET, "they have mid_in, mid_out, noise_pred"),
        ("middle", ("noise_pred",), "they have noise_pred. Choose the preset layout"),
    ],
)
def test_a_tap_that_is_not_there_is_an_error_that_lists_those_that_are(
    wanted: str, taps: tuple[str, ...], said: str
) -> None:
    with pytest.raises(EMoEError, match=said):
        resolve_tap(wanted, taps)


def test_a_custom_tap_must_exist_somewhere() -> None:
    assert resolve("custom", "block:7", "cosine") == ("block:7", "cosine")
    with pytest.raises(EMoEError, match="no tap 'mid_uot'; the known ones are mid_out, noise_pred, mid_in, block"):
        resolve("custom", "mid_uot", "cosine")
