"""What other nodes do to a prompt between its encoding and Uncertainty Score: it counts, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.checkpoints import make_sd15_inpainting
from emoe_testing.scoring import score_prompt
from emoe_testing.transformers import FLUX_CONTEXT, make_flux

HOW: dict[str, Any] = {"tap": "noise_pred", "estimator": "centred_relative", "noise_samples": 1}


@pytest.fixture
def encoded(host: Any, demo: Any) -> Callable[[str], Any]:
    return lambda text: host.prompts.conditioning.encode_for_experts(demo, text)


@pytest.fixture
def score(host: Any, demo: Any) -> Callable[..., Any]:
    def run(positive: Any, made: Any = None, size: tuple[int, ...] = (1, 4, 16, 16), **changes: Any) -> Any:
        where = {"samples": torch.zeros(*size)}
        return score_prompt(host, made or demo, positive, where, **{**HOW, **changes}).report

    return run


@pytest.fixture(scope="module")
def error(pack: ModuleType) -> type[Exception]:
    kind: type[Exception] = pack.emoe_core.errors.EMoEError
    return kind


def ranged(positive: Any, start: float, end: float) -> Any:
    import node_helpers

    return node_helpers.conditioning_set_values(positive, {"start_percent": start, "end_percent": end})


def masked(positive: Any, mask: torch.Tensor) -> Any:
    import nodes

    return nodes.ConditioningSetMask().append(positive, mask, "default", 1.0)[0]


def in_a_quarter(positive: Any) -> Any:
    import nodes

    return nodes.ConditioningSetArea().append(positive, 64, 64, 0, 0, 1.0)[0]


# --- the encoding itself ----------------------------------------------------------------------------------------------


def test_an_encoding_that_was_changed_is_refused(score: Any, encoded: Any, error: type[Exception]) -> None:
    """The other experts' encodings have no such change: the score would be of another prompt than what is drawn."""
    import nodes

    known, unknown = encoded("sunflower"), encoded("xchtgg")
    changed = {
        "concat": nodes.ConditioningConcat().concat(known, unknown),
        "average": nodes.ConditioningAverage().addWeighted(known, unknown, 0.1),
        "zeroed": nodes.ConditioningZeroOut().zero_out(known),
    }
    for (positive,) in changed.values():
        with pytest.raises(error, match=r"changed the prompt after Encode for Experts.*input 'positive'"):
            score(positive)
    pooled = [[tensor, {**options, "pooled_output": torch.ones(1, 4)}] for tensor, options in known]
    with pytest.raises(error, match="changed the prompt"):
        score(pooled)
    combined = nodes.ConditioningCombine().combine(known, unknown)[0]
    assert score(combined).score > score(known).score  # both are whole


def test_a_prompt_for_other_experts_is_refused(
    pack: ModuleType, host: Any, demo: Any, score: Any, encoded: Any, error: type[Exception]
) -> None:
    turned = pack.emoe_core.experts.sets.ExpertSet(tuple(reversed(demo.experts)))
    with pytest.raises(error, match="encoded for other experts; connect the same EXPERTS"):
        score(host.prompts.conditioning.encode_for_experts(turned, "sunflower"))
    fewer = pack.emoe_core.experts.sets.ExpertSet(demo.experts[:2])
    with pytest.raises(error, match="encoded for 2 experts and Uncertainty Score has 4"):
        score(host.prompts.conditioning.encode_for_experts(fewer, "sunflower"))
    again = host.experts.demo_set.embedded_experts()  # the same files, loaded anew
    assert (
        score(host.prompts.conditioning.encode_for_experts(again, "sunflower")).score
        == score(encoded("sunflower")).score
    )


# --- the empty prompt differs in its words only -----------------------------------------------------------------------


def test_an_area_counts_where_it_is(score: Any, encoded: Any) -> None:
    """Prompt and empty prompt have it both, so that what lies outside is neither known nor unknown."""
    half = torch.zeros(1, 128, 128)
    half[..., :64] = 1
    for text, whole in ((text, score(encoded(text)).score) for text in ("sunflower", "xchtgg")):
        for part in (in_a_quarter(encoded(text)), masked(encoded(text), half)):
            assert 0.5 * whole < score(part).score < 6 * whole
    assert score(in_a_quarter(encoded("xchtgg"))).score > score(in_a_quarter(encoded("sunflower"))).score + 0.05
    both = in_a_quarter(encoded("sunflower")) + encoded("xchtgg")
    assert score(both).score == pytest.approx(score(encoded("xchtgg")).score, rel=0.5)


@pytest.mark.parametrize("estimator", ["centred_relative", "guidance"])
def test_what_stands_beside_the_words_stands_beside_the_empty_prompt(
    pack: ModuleType, host: Any, score: Any, error: type[Exception], estimator: str
) -> None:
    """Flux' guidance: scored as if the empty prompt had got it by the same node."""
    made = pack.emoe_core.experts.sets.ExpertSet()
    for seed in (1, 2):
        made = made.add(host.experts.load.expert_from_model(make_flux(seed), None, f"flux {seed}"))

    def prompt(seed: int, **options: Any) -> Any:
        draw = torch.Generator().manual_seed(seed)
        pooled = torch.randn(1, 32, generator=draw)
        return [[torch.randn(1, 12, FLUX_CONTEXT, generator=draw), {"pooled_output": pooled, **options}]]

    how = {"made": made, "size": (1, 16, 8, 8), "estimator": estimator}
    bare = score(prompt(0, guidance=10.0), empty_prompt=prompt(9), **how)
    both = score(prompt(0, guidance=10.0), empty_prompt=prompt(9, guidance=10.0), **how)
    assert bare.score == both.score != score(prompt(0), empty_prompt=prompt(9), **how).score
    with pytest.raises(error, match="says no more than the empty prompt"):
        score(prompt(9, guidance=10.0), empty_prompt=prompt(9), **how)
    for seed in (0, 5):
        with pytest.raises(error, match="No part of the conditioning is active"):
            score(ranged(prompt(seed), 0.5, 1.0), empty_prompt=prompt(9), **how)


def test_the_picture_of_an_inpainting_stands_beside_the_empty_prompt(
    pack: ModuleType, host: Any, comfy_base: Any, score: Any, error: type[Exception]
) -> None:
    folder = comfy_base / "models" / "checkpoints"
    base = make_sd15_inpainting(folder / "beside_0.safetensors", 0)
    make_sd15_inpainting(folder / "beside_1.safetensors", 1, base=base)
    made = pack.emoe_core.experts.sets.ExpertSet()
    for name in ("beside_0", "beside_1"):
        made = made.add(host.experts.load.load_expert(f"{name}.safetensors"))
    hole = torch.ones(1, 1, 64, 64)
    hole[..., :32] = 0
    picture = {"concat_latent_image": torch.randn(1, 4, 8, 8), "concat_mask": hole}

    def prompt(seed: int, **options: Any) -> Any:
        return [[torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(seed)), dict(options)]]

    how = {"made": made, "size": (1, 4, 8, 8)}
    bare = score(prompt(0, **picture), empty_prompt=prompt(9), **how)
    assert bare.score == score(prompt(0, **picture), empty_prompt=prompt(9, **picture), **how).score
    with pytest.raises(error, match="says no more than the empty prompt"):
        score(prompt(9, **picture), empty_prompt=prompt(9), **how)


def test_what_has_no_say_has_no_score(score: Any, encoded: Any, error: type[Exception]) -> None:
    """The host predicts nothing then, for every prompt the same."""
    dark = torch.zeros(1, 128, 128)
    for tap, estimator in (("noise_pred", "centred_relative"), ("mid_out", "relative")):
        for positive in (masked(encoded("sunflower"), dark), ranged(encoded("sunflower"), 0.5, 1.0)):
            with pytest.raises(error, match=r"No part of the conditioning is active.*mask and at_step"):
                score(positive, tap=tap, estimator=estimator)
    either = masked(encoded("sunflower"), dark) + encoded("xchtgg")
    assert score(either).score == pytest.approx(score(encoded("xchtgg")).score, rel=1e-4)


def test_the_kept_empty_prompt_is_of_the_encoder_that_made_it(pack: ModuleType, host: Any, score: Any) -> None:
    """An expert without a text encoder borrows another's; the one that lends may come with another."""
    demo = host.experts.demo_set.embedded_experts().experts
    borrower = replace(demo[0], clip=None, clip_identity="")
    first = pack.emoe_core.experts.sets.ExpertSet((borrower, demo[1]))
    swapped = replace(demo[1], clip=demo[2].clip, clip_identity=demo[2].clip_identity)
    other = pack.emoe_core.experts.sets.ExpertSet((borrower, swapped))
    fresh = pack.emoe_core.experts.sets.ExpertSet((replace(borrower), swapped))  # has nothing kept

    def of(made: Any) -> float:
        return float(score(host.prompts.conditioning.encode_for_experts(made, "sunflower"), made).score)

    of(first)
    assert of(other) == of(fresh)


def test_noise_of_other_items_of_a_batch_is_another_setting(host: Any, demo: Any, encoded: Any) -> None:
    """Latent From Batch: the host draws the noise that the item had in its batch."""
    import nodes

    def of(latent: Any) -> Any:
        return score_prompt(host, demo, encoded("sunflower"), latent, **HOW).report

    four = {"samples": torch.zeros(4, 4, 16, 16)}
    first, third = (nodes.LatentFromBatch().frombatch(four, place, 1)[0] for place in (0, 2))
    plain = of({"samples": torch.zeros(1, 4, 16, 16)})
    assert of(first).settings == plain.settings and of(first).score == plain.score
    assert of(third).score == pytest.approx(of(four).items[2].score, rel=1e-4)
    assert of(third).score != plain.score and of(third).settings != plain.settings
