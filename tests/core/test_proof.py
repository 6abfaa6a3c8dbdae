"""Calibrations that prove themselves: which prompts, how close, and what the Gate makes of it."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from emoe_testing.verdicts import SETTINGS

from emoe_core.errors import EMoEError, SettingsMismatch
from emoe_core.gating.gate import decide, fitting
from emoe_core.gating.proof import PROMPTS, TOLERANCE, chosen, needs_proof, prove, unproved
from emoe_core.records.calibration import Calibration
from emoe_core.records.proof import Proof
from emoe_core.records.report import ItemScore, Report
from emoe_core.records.settings import Settings

SCORES = tuple(0.1 + 0.01 * (place * 37 % 101) for place in range(101))
TEXTS = tuple(f"prompt {place}" for place in range(101))
HELD = Calibration("held", SETTINGS, SCORES, TEXTS)
SPREAD = statistics.pstdev(SCORES)
OTHERS = replace(SETTINGS, experts=("a" * 64, "c" * 64), text_encoders=("shared",), dtype="float16")


def moved(by: Callable[[int], float]) -> Callable[[Sequence[str]], list[float]]:
    """A scorer whose scores lie `by` away from the calibration's, prompt by prompt in the order they are asked for."""
    return lambda texts: [SCORES[TEXTS.index(text)] + by(number) for number, text in enumerate(texts)]


def report(score: float, settings: Settings, *proofs: Proof) -> Report:
    item = ItemScore(score, None, score, None, 1.0, None)
    return Report(
        settings, (item,), ("x", "y"), ("", ""), ((0.0, 1.0), (1.0, 0.0)), calibrations=(HELD,), proofs=proofs
    )


def test_the_question_is_all_but_the_models_and_their_precision() -> None:
    assert needs_proof(HELD, OTHERS) and needs_proof(HELD, replace(SETTINGS, dtype="bfloat16"))
    assert not needs_proof(HELD, SETTINGS)
    for change in (
        {"tap": "noise_pred"}, {"estimator": "variance"}, {"sigma": 14.6147}, {"noise_seed": 1}, {"noise_seed": None},
        {"noise_samples": 3}, {"latent_shape": (4, 16, 17)}, {"latent": "given"}, {"conditioning": ("area",)},
        {"mode": "mixture"}, {"version": 2}, {"experts": ("a" * 64, "b" * 64, "c" * 64)},
        {"text_encoders": ("d" * 64, "d" * 64)},
    ):  # fmt: skip
        assert not needs_proof(HELD, replace(SETTINGS, **change)), change  # type: ignore[arg-type]
    own = replace(SETTINGS, text_encoders=("d" * 64, "e" * 64))
    assert replace(own, text_encoders=("d" * 64, "f" * 64)).question() == own.question()


def test_prompts_are_chosen_evenly_over_the_ranks_with_both_ends() -> None:
    ranks = sorted(SCORES)
    found = [ranks.index(SCORES[place]) for place in chosen(HELD)]
    assert len(found) == PROMPTS and found[0] == 0 and found[-1] == 100
    assert all(6 <= b - a <= 7 for a, b in zip(found, found[1:], strict=False))
    few = replace(HELD, scores=(3.0, 1.0, 2.0, 3.0), prompts=("c", "a", "b", "c"))
    assert chosen(few) == [1, 2, 0]  # each prompt once


@pytest.mark.parametrize(("share", "holds"), [(0.0, True), (0.95, True), (1.05, False)])
def test_the_tolerance_is_a_share_of_the_spread(share: float, holds: bool) -> None:
    """By turns up and down; the limit is on the root mean square."""
    proof = prove(HELD, moved(lambda number: share * TOLERANCE * SPREAD * (-1) ** number))
    assert proof.holds is holds and proof.prompts == PROMPTS
    assert proof.difference == pytest.approx(share * TOLERANCE * SPREAD, abs=1e-12) == proof.largest
    assert ("proved on 16 of its prompts" in proof.line()) is holds
    assert json.loads(json.dumps(proof.as_dict(), allow_nan=False))["holds"] is holds


def test_one_prompt_far_off_is_refused() -> None:
    assert not prove(HELD, moved(lambda number: 5 * TOLERANCE * SPREAD * (number == 7))).holds


def test_scores_that_lie_within_rounding_of_each_other_may_differ_by_it() -> None:
    """Networks that know nothing score every prompt alike; no host computes that to the last bit."""
    alike = replace(HELD, scores=tuple(0.5 + 1e-9 * place for place in range(101)))
    shifted = [lambda texts, by=by: [0.5 + by for _ in texts] for by in (5e-7, 5e-6)]
    assert [prove(alike, one).holds for one in shifted] == [True, False]


def test_marked_prompts_do_not_widen_the_tolerance() -> None:
    wild = replace(HELD, scores=(*SCORES[:-1], 1000.0), bad=(*(False,) * 100, True))
    assert (
        prove(wild, lambda texts: [wild.scores[TEXTS.index(text)] for text in texts]).allowed < 2 * TOLERANCE * SPREAD
    )


def test_the_tolerance_hardly_moves_a_rate() -> None:
    """The reason for the tolerance, for scores of any of three shapes and a rate of 0.05."""
    normal = statistics.NormalDist()
    limit = normal.inv_cdf(0.95)
    shapes: dict[str, Callable[[float], float]] = {
        "normal": lambda t: (1 - normal.cdf(limit - t)) - 0.05,
        "exponential": lambda t: math.exp(-(math.log(20) - t)) - 0.05,  # of standard deviation 1
        "uniform": lambda t: t / math.sqrt(12),
    }
    assert all(shape(TOLERANCE) < 0.0018 for shape in shapes.values()) and shapes["normal"](TOLERANCE) < 0.00063


def test_what_cannot_be_tried_is_refused_with_the_reason() -> None:
    def broken(texts: Sequence[str]) -> list[float]:
        raise EMoEError("Expert 'x' gives NaN.")

    bare = replace(HELD, prompts=())
    for kept, proof, said in (
        (bare, prove(bare, moved(lambda _: 0.0)), "keeps none of its prompts"),
        (HELD, prove(HELD, broken), "cannot be scored here (Expert 'x' gives NaN)."),
    ):
        assert not proof.holds and said in proof.line() and proof.as_dict()["difference"] is None
        with pytest.raises(SettingsMismatch) as told:
            decide(report(0.2, OTHERS, proof), "false_block_rate", calibrations=(kept,))
        assert told.value.args[0].startswith(proof.line())


def test_the_gate_decides_by_a_proved_calibration_and_says_so() -> None:
    proof = prove(HELD, moved(lambda _: 1e-6))
    mine, verdict = (decide(report(0.9, s, *p), "false_block_rate") for s, p in ((SETTINGS, ()), (OTHERS, (proof,))))
    assert (mine.verdict, mine.p_value, mine.threshold) == (verdict.verdict, verdict.p_value, verdict.threshold)
    assert mine.proof is None and verdict.proof == proof and "proved" not in mine.reason
    assert verdict.reason == f"{mine.reason}; calibration proved on 16 of its prompts, largest difference 1e-06"
    assert verdict.as_dict()["proof"]["prompts"] == 16 and mine.as_dict()["proof"] is None
    assert report(0.9, OTHERS, proof).as_dict()["proofs"] == [proof.as_dict()]


def test_a_proof_of_another_calibration_or_question_is_none() -> None:
    proof = prove(HELD, moved(lambda _: 0.0))
    other = replace(HELD, scores=(*SCORES[:-1], 0.5))
    asked = replace(OTHERS, noise_seed=5)
    assert fitting(report(0.2, OTHERS, proof), (other,)) is None and fitting(report(0.2, asked, proof), (HELD,)) is None
    assert fitting(report(0.2, OTHERS, unproved(HELD, "no")), (HELD,)) is None
    assert fitting(report(0.2, OTHERS, proof), (other, HELD)) is HELD


def test_a_gate_without_proof_says_where_to_connect_the_calibration() -> None:
    with pytest.raises(SettingsMismatch, match="Connect it to Uncertainty Score's input calibration too") as told:
        decide(report(0.2, OTHERS), "false_block_rate")
    assert "experts is (aaaaaaaa, cccccccc) instead of (aaaaaaaa, bbbbbbbb)" in str(told.value)
    refused = prove(HELD, moved(lambda _: 0.01))
    with pytest.raises(
        SettingsMismatch, match="made with other models: on 16 of its prompts the scores differ by 0.01"
    ):
        decide(report(0.2, OTHERS, refused), "false_block_rate")
    assert decide(report(0.2, OTHERS, refused), "raw_threshold", threshold=0.5).percentile is None


def test_of_two_questions_the_message_names_only_what_was_asked() -> None:
    with pytest.raises(SettingsMismatch) as told:
        decide(report(0.2, replace(OTHERS, noise_seed=5)), "false_block_rate")
    assert "noise_seed is 5 instead of 0" in str(told.value) and "experts" not in str(told.value)
