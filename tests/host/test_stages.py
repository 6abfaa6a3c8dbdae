"""Scores in two stages: one fixed function of the prompt, cheaper than the full score and calibrated as itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from emoe_testing.scoring import WIDGETS, latent, options, score_prompt, score_prompts

LATENT = latent(size=16)
HOW: dict[str, Any] = {"preset": "layout", "noise_seed": 3}
PROMPTS = [
    "red apple",
    "xchtgg",
    "candle",
    "Käse",
    "a very much longer prompt about a horse",
    "horse",
    "blue zebra pizza",
]
FAST = {**WIDGETS, "preset": "fast", "block_index": -1, "sampler_name": "euler"}


@pytest.fixture
def encoded(host: Any, demo: Any) -> list[Any]:
    return [host.prompts.conditioning.encode_for_experts(demo, text) for text in PROMPTS]


@pytest.fixture
def stages(pack: Any) -> Any:
    return pack.emoe_core.scoring.stages


@pytest.fixture
def asked(host: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the experts that were asked, in order."""
    real, found = host.scoring.probe.ComfyProbe.latents, []

    def latents(self: Any, request: Any, advance: Any) -> Any:
        if not request.empty:
            found.append(self.experts.experts[request.expert].name)
        return real(self, request, advance)

    monkeypatch.setattr(host.scoring.probe.ComfyProbe, "latents", latents)
    return found


def halves(host: Any, demo: Any, positive: Any, text: str) -> list[Any]:
    """Plain scores of each half of the experts on its own noise sample."""
    found = []
    for number in (0, 1):
        part = type(demo)(demo.experts[2 * number : 2 * number + 2])
        own = host.prompts.conditioning.encode_for_experts(part, text)
        how = {**HOW, "noise_seed": HOW["noise_seed"] + number, "noise_samples": 1}
        found.append(score_prompt(host, part, own, LATENT, **how).report)
    return found


def test_the_score_is_the_first_stages_or_the_mean_of_both(host: Any, demo: Any, encoded: Any, stages: Any) -> None:
    first, second = halves(host, demo, encoded[0], PROMPTS[0])
    mean = (first.score + second.score) / 2
    for rule, score, stage, calls in (
        (stages.Stages(first.score * 1.01, 9.0), first.score, 1, 2),
        (stages.Stages(0.0, first.score * 0.99), first.score, 1, 2),
        (stages.Stages(0.0, first.score * 1.01), mean, 2, 4),
    ):
        report = score_prompt(host, demo, encoded[0], LATENT, stages=rule, **HOW).report
        assert report.score == pytest.approx(score, rel=1e-5)
        assert (report.stage.stage, report.stage.calls, report.stage.full) == (stage, calls, 8)
        assert f"stage {stage} of 2 decided: {calls} of 8 network calls" in report.lines()
        assert report.as_dict()["stage"] == {"stage": stage, "calls": calls, "full": 8}
        assert report.settings.mode == rule.mode and len(report.settings.experts) == 4 == len(report.experts)
        assert report.settings.noise_samples == 2 and report.settings.noise_seed == 3
        assert report.prompt == PROMPTS[0] and len(report.pairwise) == 2
        tap, name = report.settings.tap, report.settings.estimator
        assert report.items[0].all[tap][name].score == report.score
    assert report.items[0].stderr == pytest.approx(abs(first.score - second.score) / 2, rel=1e-4)


def test_the_other_experts_run_only_where_they_are_needed(
    host: Any, demo: Any, encoded: Any, stages: Any, asked: list[str]
) -> None:
    names = [expert.name for expert in demo.experts]
    score_prompt(host, demo, encoded[0], LATENT, stages=stages.FIRST_STAGE, **HOW)
    assert asked == names[:2]
    asked.clear()
    score_prompt(host, demo, encoded[0], LATENT, stages=stages.Stages(-1.0, 9.0), **HOW)
    assert asked == names
    asked.clear()
    list(score_prompts(host, demo, encoded, LATENT, stages=stages.FIRST_STAGE, **HOW))
    assert asked == names[:2]  # once for the whole block


def test_alone_and_in_a_list_a_prompt_has_the_same_stage_and_score_to_the_last_bit(
    host: Any, demo: Any, encoded: Any, stages: Any
) -> None:
    alone = [score_prompt(host, demo, one, LATENT, stages=stages.FIRST_STAGE, **HOW).report.score for one in encoded]
    low, high = sorted(alone)[1], sorted(alone)[-2]
    for rule in (stages.Stages(low, high), stages.Stages(low * (1 - 1e-12), high * (1 + 1e-12))):
        single = [score_prompt(host, demo, one, LATENT, stages=rule, **HOW).report for one in encoded]
        listed = [one.report for one in score_prompts(host, demo, encoded, LATENT, stages=rule, **HOW)]
        again = [one.report for one in score_prompts(host, demo, encoded[::-1], LATENT, stages=rule, **HOW)][::-1]
        for one, other, third in zip(single, listed, again, strict=True):
            assert one.score == other.score == third.score and one.stage == other.stage == third.stage
        assert {one.stage.stage for one in single} == {1, 2}


def test_every_item_of_a_batch_has_its_own_staged_score(host: Any, demo: Any, encoded: Any, stages: Any) -> None:
    batch = latent(batch=3, size=16)
    first = score_prompt(host, demo, encoded[2], batch, stages=stages.FIRST_STAGE, **HOW).report.items
    both = score_prompt(host, demo, encoded[2], batch, stages=stages.Stages(-1.0, 9.0), **HOW).report.items
    middle = sorted(item.score for item in first)[1]
    report = score_prompt(host, demo, encoded[2], batch, stages=stages.Stages(middle, 9.0), **HOW).report
    wanted = [one.score if one.score <= middle else two.score for one, two in zip(first, both, strict=True)]
    assert [item.score for item in report.items] == wanted and report.stage.stage == 2


def test_one_conditioning_for_all_and_other_presets_are_staged_too(host: Any, demo: Any, stages: Any) -> None:
    shared = host.prompts.conditioning.encode(demo.experts[0].clip, "horse")
    for preset in ("fast", "thorough", "paper"):
        report = score_prompt(host, demo, shared, LATENT, preset=preset, stages=stages.Stages(-1.0, 1e9)).report
        assert report.stage.stage == 2 and report.settings.text_encoders == ("shared",)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"noise_samples": 1}, "at least 2 noise samples and there are 1"),
        ({"add_noise": False}, "at least 2 noise samples and there are 1"),
        ({"preset": "one_model"}, "asks one expert, so there are no stages"),
    ],
)
def test_what_has_no_halves_is_refused(
    host: Any, demo: Any, encoded: Any, stages: Any, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        score_prompt(host, demo, encoded[0], LATENT, stages=stages.FIRST_STAGE, **{**HOW, **changed})


def test_three_experts_are_refused(host: Any, demo: Any, stages: Any) -> None:
    three = type(demo)(demo.experts[:3])
    positive = host.prompts.conditioning.encode_for_experts(three, "horse")
    with pytest.raises(ValueError, match="at least 4 experts and there are 3"):
        score_prompt(host, three, positive, LATENT, stages=stages.FIRST_STAGE, **HOW)


@pytest.fixture(scope="module")
def made(host: Any, demo: Any, node_classes: dict[str, Any], pack: Any) -> Any:
    """A staged calibration of the demo's reference prompts, through the node."""
    lines = "\n".join([*pack.emoe_core.demo.prompts()["calibration"], "!a bad one", "!another bad one"])
    return node_classes["EMoE_Calibrate"].execute(demo, LATENT, lines, "staged", staged=True, **FAST).result[0]


def test_a_staged_calibration_leaves_out_what_it_learnt_from(
    host: Any, demo: Any, made: Any, stages: Any, pack: Any
) -> None:
    prompts = pack.emoe_core.demo.prompts()["calibration"]
    kept = [prompt for prompt in prompts if not stages.is_learnt_from(prompt)]
    assert [prompt for prompt in made.prompts if "bad" not in prompt] == kept and len(kept) < len(prompts)
    learnt = [prompt for prompt in prompts if stages.is_learnt_from(prompt)]
    encoded = [host.prompts.conditioning.encode_for_experts(demo, text) for text in learnt]
    how = {"preset": "fast", "noise_seed": 0}
    first = [one.report.score for one in score_prompts(host, demo, encoded, LATENT, stages=stages.FIRST_STAGE, **how)]
    rule = stages.Stages.of_mode(made.settings.mode)
    assert rule == stages.Stages.learn(first)
    assert not list((host.calibrating.folder() / "unfinished").glob("*.jsonl"))


def test_scores_with_a_staged_calibration_are_staged_and_only_compared_with_it(
    host: Any, demo: Any, made: Any, encoded: Any, node_classes: dict[str, Any], pack: Any
) -> None:
    gate = pack.emoe_core.gating.gate
    _, report, _ = node_classes["EMoE_Score"].execute(demo, encoded[0], LATENT, calibration=made, **WIDGETS).result
    assert report.stage is not None and report.settings == made.settings
    assert gate.fitting(report, (made,)) is made
    place = made.prompts.index(next(prompt for prompt in made.prompts if "bad" not in prompt))
    positive = host.prompts.conditioning.encode_for_experts(demo, made.prompts[place])
    again = node_classes["EMoE_Score"].execute(demo, positive, LATENT, calibration=made, **WIDGETS).result[1]
    assert again.score == made.scores[place]
    _, plain, _ = node_classes["EMoE_Score"].execute(demo, encoded[0], LATENT, **FAST).result
    assert plain.stage is None and gate.fitting(plain, (made,)) is None
    with pytest.raises(ValueError, match="mode is"):
        gate.matching(plain, (made,))


def test_the_list_node_stages_too(made: Any, demo: Any, encoded: Any, node_classes: dict[str, Any]) -> None:
    given = {name: [value] for name, value in WIDGETS.items()}
    out = node_classes["EMoE_ScoreList"].execute(
        **given, experts=[demo], positive=encoded, latent_image=[LATENT], calibration=[made]
    )
    alone = [
        node_classes["EMoE_Score"].execute(demo, one, LATENT, calibration=made, **WIDGETS).result[0] for one in encoded
    ]
    assert out.result[0] == alone
    assert any("network calls" in text for text in out.ui["text"])


def test_a_staged_calibration_of_other_digests_is_proved(
    host: Any, demo: Any, made: Any, encoded: Any, pack: Any
) -> None:
    moved = replace(made, settings=replace(made.settings, experts=("0" * 64, *made.settings.experts[1:])))
    how = pack.emoe_core.scoring.presets.ScoreOptions.of(moved)
    report = host.scoring.score.score_prompt(demo, encoded[0], LATENT, how, calibration=moved).report
    (proof,) = report.proofs
    assert proof.holds and proof.difference == 0


def test_a_staged_calibration_comes_back_from_its_file(made: Any, tmp_path: Any) -> None:
    made.save(tmp_path / "staged.json")
    assert type(made).load(tmp_path / "staged.json") == made


def test_too_few_prompts_are_refused_before_anything_is_scored(
    demo: Any, node_classes: dict[str, Any], asked: list[str]
) -> None:
    lines = "\n".join(f"prompt {number}" for number in range(15))
    with pytest.raises(ValueError, match="give at least 60 good prompts, or switch staged off"):
        node_classes["EMoE_Calibrate"].execute(demo, LATENT, lines, "few", staged=True, **FAST)
    assert not asked


def test_known_or_unknown_scores_in_full(host: Any, demo: Any, stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It compares every preset, and stages would spoil the comparison."""
    seen: list[Any] = []
    monkeypatch.setattr(host.looking, "_looked", lambda *args: seen.append(args[3]))
    wanted = host.looking.Wanted(0, "", 0, "cat")
    host.looking.look(demo, wanted, LATENT, options(host, stages=stages.FIRST_STAGE, **HOW), None, "")
    assert seen[0].stages is None and seen[0].noise_seed == 3
