"""Scores of experts that carry other nodes' patches: every one that ComfyUI brings, and those that were found to do harm."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from emoe_testing.patch_nodes import patch_nodes, patched
from emoe_testing.scoring import score_prompt, score_prompts

LATENT = {"samples": torch.zeros(1, 4, 16, 16)}
FAST = {"tap": "mid_out", "estimator": "relative"}
LAYOUT = {"tap": "noise_pred", "estimator": "centred_layout"}
WORDS = ("sunflower", "red horse", "xchtgg")
#: Nodes that the sweep leaves out, and why.
LEFT_OUT = {"TorchCompileModel": "compiling takes minutes, and changes nothing but rounding"}

Patch = Callable[[Any], Any]


@pytest.fixture(scope="module")
def words(host: Any, demo: Any) -> dict[str, Any]:
    return {text: host.prompts.conditioning.encode_for_experts(demo, text) for text in WORDS}


@pytest.fixture
def with_patch(pack: ModuleType, host: Any, demo: Any) -> Callable[[Patch], Any]:
    """The first two demo experts, each with the patch."""

    def made(patch: Patch) -> Any:
        found = pack.emoe_core.experts.sets.ExpertSet()
        for expert in demo.experts[:2]:
            found = found.add(host.experts.load.expert_from_model(patch(expert.model), expert.clip, expert.name))
        return found

    return made


@pytest.fixture
def encoded(host: Any) -> Callable[[Any, str], Any]:
    return lambda experts, text: host.prompts.conditioning.encode_for_experts(experts, text)


def node(name: str, **changes: Any) -> Patch:
    return lambda model: patched(name, model, {**patch_nodes()[name], **changes})


def draw(model: Any) -> torch.Tensor:
    """What stock KSampler makes of a model, guided."""
    import comfy.sample

    words = [[torch.randn(1, 32, 96, generator=torch.Generator().manual_seed(seed)), {}] for seed in (1, 2)]
    noise = comfy.sample.prepare_noise(LATENT["samples"], 0)
    torch.manual_seed(5)
    given = (2, 4.0, "euler", "normal", [words[0]], [words[1]], LATENT["samples"])
    drawn: torch.Tensor = comfy.sample.sample(model, noise, *given, disable_pbar=True, seed=0)
    return drawn


# --- every patch node of the host -------------------------------------------------------------------------------------


def test_every_patch_node_scores_the_same_twice_in_a_list_and_leaves_the_model_alone(
    pack: ModuleType, host: Any, with_patch: Any, encoded: Any
) -> None:
    refused: dict[str, str] = {}
    tried = 0
    for name in patch_nodes().keys() - LEFT_OUT.keys():
        try:
            experts = with_patch(node(name))
        except Exception:  # a node for other families
            continue
        model = experts.experts[0].model
        try:
            before = draw(model)
        except Exception:  # likewise
            continue
        tried += 1
        prompts = [encoded(experts, text) for text in WORDS[:2]]
        try:
            alone = [score_prompt(host, experts, prompt, LATENT, **FAST).report.score for prompt in prompts]
            again = score_prompt(host, experts, prompts[0], LATENT, **FAST).report.score
            listed = [one.report.score for one in score_prompts(host, experts, prompts, LATENT, **FAST)]
            turned = [one.report.score for one in score_prompts(host, experts, prompts[::-1], LATENT, **FAST)]
        except pack.emoe_core.errors.EMoEError as error:
            assert "\n" not in str(error), name
            refused[name] = str(error)
            continue
        assert again == alone[0], name
        assert listed == pytest.approx(alone, rel=1e-4), name
        assert turned[::-1] == pytest.approx(alone, rel=1e-4), name
        assert torch.equal(draw(model), before), name
    assert refused == {}
    assert tried >= 30


# --- guidance ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(host: Any, pack: ModuleType, demo: Any) -> Callable[[dict[str, Any], str], Any]:
    experts = pack.emoe_core.experts.sets.ExpertSet(demo.experts[:2])

    def run(how: dict[str, Any], text: str) -> Any:
        positive = host.prompts.conditioning.encode_for_experts(experts, text)
        return score_prompt(host, experts, positive, LATENT, **how).report

    return run


@pytest.mark.parametrize(
    "patch",
    [
        node("APG", momentum=0.75),
        node("PerturbedAttentionGuidance"),
        node("SelfAttentionGuidance"),
        node("RescaleCFG"),
        node("CFGZeroStar"),
        node("CFGNorm"),
        node("TCFG"),
        node("Mahiro"),
    ],
    ids=["APG", "PAG", "SAG", "RescaleCFG", "CFGZeroStar", "CFGNorm", "TCFG", "Mahiro"],
)
def test_guidance_has_no_part_in_a_score(host: Any, with_patch: Any, encoded: Any, plain: Any, patch: Patch) -> None:
    experts = with_patch(patch)
    model = experts.experts[0].model
    kept = {name: list(value) if isinstance(value, list) else value for name, value in model.model_options.items()}
    before = draw(model)
    for how in (FAST, LAYOUT):
        report = score_prompt(host, experts, encoded(experts, WORDS[0]), LATENT, **how).report
        assert report.score == pytest.approx(plain(how, WORDS[0]).score, rel=1e-5)
        assert any("act on guidance" in str(message) for message in report.messages)
    assert torch.equal(draw(model), before)
    assert model.model_options.keys() == kept.keys()


# --- rows of one call -------------------------------------------------------------------------------------------------


def aligned(model: Any) -> Any:
    """Style aligning: each row attends to the keys and values of all rows of its call."""
    made = model.clone()

    def share(q: Any, k: torch.Tensor, v: torch.Tensor, options: dict[str, Any]) -> tuple[Any, Any, Any]:
        rows = k.shape[0]
        k, v = (one.reshape(1, -1, one.shape[-1]).expand(rows, -1, -1) for one in (k, v))
        return q, k, v

    made.set_model_attn1_patch(share)
    return made


def single(model: Any) -> Any:
    """A node that bears one row."""
    made = model.clone()

    def one_row(h: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        if h.shape[0] != 1:
            raise ValueError("one row at a time")
        return h

    made.set_model_input_block_patch(one_row)
    return made


def doubled(model: Any) -> Any:
    """A node that hands the network every row twice."""
    made = model.clone()

    def twice(apply: Any, given: dict[str, Any]) -> torch.Tensor:
        x, t, c = given["input"], given["timestep"], given["c"]
        both = {
            key: torch.cat([value, value]) if isinstance(value, torch.Tensor) else value for key, value in c.items()
        }
        return apply(torch.cat([x, x]), torch.cat([t, t]), **both)[: x.shape[0]]

    made.set_model_unet_function_wrapper(twice)
    return made


@pytest.mark.parametrize("patch", [aligned, single], ids=["aligned", "single"])
def test_units_do_not_see_each_other(host: Any, with_patch: Any, encoded: Any, patch: Patch) -> None:
    experts = with_patch(patch)
    prompts = [encoded(experts, text) for text in WORDS]
    alone = [score_prompt(host, experts, prompt, LATENT, **FAST, noise_samples=2).report for prompt in prompts]
    listed = list(score_prompts(host, experts, prompts, LATENT, **FAST, noise_samples=2))
    assert [one.report.score for one in listed] == [report.score for report in alone]
    for text, report in zip(WORDS, alone, strict=True):
        each = [
            score_prompt(
                host, experts, encoded(experts, text), LATENT, **FAST, noise_samples=1, noise_seed=k
            ).report.score
            for k in (0, 1)
        ]
        assert report.score == pytest.approx(sum(each) / 2, rel=1e-6)
        assert any("had a call of its own" in str(message) for message in report.messages)


def test_another_number_of_rows_is_refused(pack: ModuleType, host: Any, with_patch: Any, encoded: Any) -> None:
    experts = with_patch(doubled)
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="Another node changes how many latents"):
        score_prompt(host, experts, encoded(experts, WORDS[0]), LATENT, **FAST)


# --- random numbers ---------------------------------------------------------------------------------------------------


@pytest.fixture
def states() -> Iterator[Callable[[], Any]]:
    def now() -> Any:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]

    yield now


@pytest.mark.parametrize(
    "patch",
    [node("TomePatchModel", ratio=0.5), node("HyperTile", tile_size=64, swap_size=4)],
    ids=["ToMe", "HyperTile"],
)
def test_what_patches_draw_comes_from_the_noise_seed(
    host: Any, with_patch: Any, encoded: Any, states: Any, patch: Patch
) -> None:
    experts = with_patch(patch)
    prompts = [encoded(experts, text) for text in WORDS]
    for how in (FAST, LAYOUT):
        before = states()
        found = [score_prompt(host, experts, prompts[0], LATENT, **how).report.score for _ in range(3)]
        assert states() == before
        torch.manual_seed(99)
        assert len({*found, score_prompt(host, experts, prompts[0], LATENT, **how).report.score}) == 1
        listed = [one.report.score for one in score_prompts(host, experts, prompts[::-1], LATENT, **how)]
        assert listed[-1] == pytest.approx(found[0], rel=1e-5)
    twins = type(experts)((experts.experts[0], experts.experts[0]))
    assert score_prompt(host, twins, encoded(twins, WORDS[0]), LATENT, **FAST).report.score < 1e-10


def jittered(model: Any) -> Any:
    """A node that draws from Python's own generator."""
    made = model.clone()
    made.set_model_input_block_patch(lambda h, options: h * (1 + 0.1 * random.random()))
    return made


def test_after_the_largest_seed_patches_draw_from_seed_0_as_the_noise_does(
    host: Any, with_patch: Any, encoded: Any
) -> None:
    experts, last = with_patch(jittered), 2**64 - 1
    positive = encoded(experts, WORDS[0])

    def score(seed: int, samples: int) -> float:
        how = {**FAST, "noise_seed": seed, "noise_samples": samples}
        found: float = score_prompt(host, experts, positive, LATENT, **how).report.score
        return found

    assert score(last, 2) == pytest.approx((score(last, 1) + score(0, 1)) / 2, rel=1e-6)
