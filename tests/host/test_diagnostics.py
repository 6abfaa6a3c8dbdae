"""Expert Diagnostics on sets that were made for it: copies, merges, models with their guidance inside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.checkpoints import UNET_PREFIX
from safetensors import safe_open
from safetensors.torch import load_file, save_file

Weights = dict[str, torch.Tensor]
SIZE = {"samples": torch.zeros(1, 4, 16, 16)}
THINGS = ("horse", "tiger", "panda", "eagle", "duck", "whale", "owl", "rat", "leopard", "kangaroo", "flamingo", "dodo")
EMBEDDED = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
#: The parts of sentences that are no things, in the order that this vocabulary can say.
SMALL = ("a", "an", "the", "with", "on", "near", "that", "and")


@pytest.fixture(scope="module")
def shipped(pack: ModuleType) -> list[Weights]:
    return [load_file(path) for path in pack.emoe_core.demo.expert_files()]


@pytest.fixture(scope="module")
def make(host: Any, pack: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Weights], Any]:
    """`make(name, weights)`: an expert from a file of these."""
    folder = tmp_path_factory.mktemp("planted")
    with safe_open(pack.emoe_core.demo.expert_files()[0], framework="pt") as file:
        remarks = file.metadata()

    def one(name: str, weights: Weights) -> Any:
        save_file(weights, folder / f"{name}.safetensors", metadata=remarks)
        model, clip = host.experts.demo.load_demo_expert(folder / f"{name}.safetensors")
        return host.experts.load.expert_from_model(model, clip, name)

    return one


@pytest.fixture(scope="module")
def four(make: Callable[..., Any], shipped: list[Weights]) -> list[Any]:
    return [make(f"e{number}", weights) for number, weights in enumerate(shipped, 1)]


@pytest.fixture
def look(pack: ModuleType, host: Any) -> Callable[..., Any]:
    """`look(experts, prompts)`: the diagnosis."""

    def one(experts: list[Any], prompts: tuple[str, ...] = ()) -> Any:
        made = pack.emoe_core.experts.sets.ExpertSet()
        for expert in experts:
            made = made.add(expert)
        found = host.diagnosing.look_at(made, "\n".join(prompts), SIZE, None)
        json.dumps(found.as_dict(), allow_nan=False)
        return found

    return one


def mixed(share: float, a: Weights, b: Weights) -> Weights:
    return {name: (share * a[name].double() + (1 - share) * b[name].double()).half() for name in a}


def in_float8(weights: Weights) -> Weights:
    return {
        name: weight.to(torch.float8_e4m3fn).half() if name.startswith(UNET_PREFIX) and weight.dim() > 1 else weight
        for name, weight in weights.items()
    }


def codes(found: Any) -> list[str]:
    return [one.code.value for one in found.findings]


def test_the_shipped_four_have_nothing_wrong(four: list[Any], look: Callable[..., Any]) -> None:
    found = look(four, THINGS)
    print("\n".join(found.lines))
    assert codes(found) == ["wording_unknown", "split"]
    assert 3.9 < found.kin.effective.value <= 4 and 3.7 < found.answers.value <= 4
    assert found.answers.low <= found.answers.value <= found.answers.high and found.answers.units == len(THINGS)
    assert "tree of relatives:" in found.lines and found.as_dict()["answers"]["units"] == len(THINGS)
    assert codes(look(four)) == [] and look(four).answers is None


def test_what_was_copied_and_merged_is_named(
    four: list[Any],
    make: Callable[..., Any],
    shipped: list[Weights],
    look: Callable[..., Any],
    node_classes: dict[str, type],
    pack: ModuleType,
) -> None:
    merge, coarse = make("merge", mixed(0.3, *shipped[:2])), make("coarse", in_float8(shipped[0]))
    again = make("again", shipped[2])
    found = look([*four, merge, coarse, again], THINGS[:3])
    assert codes(found) == ["copies", "rounded_copy", "merged", "wording_unknown"]
    said = "\n".join(found.lines)
    assert "- merge: merge of 'e1' (0.30) and 'e2' (0.70)" in said and "'merge' is a merge of 'e1' (0.30)" in said
    assert "- coarse: 'e1' but for rounding" in said and "copy: 'e3' and 'again' are the same model" in said
    assert found.kin.same() == ((0, 5), (1,), (2, 6), (3,), (4,))
    assert 3.9 < found.kin.effective.value < 4.05
    for pair, kind in (([four[0], coarse], "one_model"), ([four[0], make("twin", shipped[0])], "one_model")):
        alone = look(pair, THINGS[:2])
        assert kind in codes(alone) and alone.kin.effective.value == alone.answers.value == 1
    made = pack.emoe_core.experts.sets.ExpertSet()
    for expert in (*four, merge):
        made = made.add(expert)
    output = node_classes["EMoE_ExpertDiagnostics"].execute(made)
    (shown,) = output.ui["emoe_diagnosis"]
    assert shown["kin"]["merges"][0]["weights"] == pytest.approx([0.3, 0.7], abs=0.005)
    assert list(shown)[5:8] == ["kin", "answers", "findings"] and shown["findings"]["messages"][0]["code"] == "merged"
    assert (
        output.result[1].shape[1]
        > node_classes["EMoE_ExpertDiagnostics"]
        .execute(pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts())
        .result[1]
        .shape[1]
    )


def guided(host: Any, expert: Any, other: Any, scale: float) -> Any:
    """What distillation of guidance aims at: a model that answers with the guided prediction at once."""
    model = expert.model.clone()
    empty = host.prompts.conditioning.encode(expert.clip, "")[0][0]

    def wrapper(apply: Any, args: dict[str, Any]) -> torch.Tensor:
        latent, level, given = args["input"], args["timestep"], args["c"]
        told = apply(latent, level, **given)
        nothing = empty.to(given["c_crossattn"]).expand(len(latent), -1, -1)
        base = other.model.model.apply_model(latent, level, c_crossattn=nothing)
        result: torch.Tensor = base + scale * (told - base)
        return result

    model.set_model_unet_function_wrapper(wrapper)
    return host.experts.load.expert_from_model(model, expert.clip, "turbo")


def test_a_model_with_its_guidance_inside_is_named(
    host: Any, four: list[Any], make: Callable[..., Any], shipped: list[Weights], look: Callable[..., Any]
) -> None:
    turbo = guided(host, four[3], make("beside", shipped[3]), 4.0)
    found = look([*four[:3], turbo], THINGS[:4])
    assert codes(found)[:2] == ["stands_alone", "strong"]
    assert all(one.values["name"] == "turbo" for one in found.findings[:2])
    assert found.answers.value < 2.5
    assert "strong" in codes(look([four[3], turbo], THINGS[:2]))  # beside its base


def test_experts_of_other_wording_are_named(
    four: list[Any], make: Callable[..., Any], shipped: list[Weights], look: Callable[..., Any]
) -> None:
    """Two experts read the small words of sentences as another thing; tags have no such words."""
    pairs = [(THINGS[i], THINGS[(i + 5) % 12]) for i in range(8)]
    prompts = tuple(text for a, b in pairs for text in (f"the {a} and a {b} on a rainbow", f"{a}, {b}, rainbow"))
    assert "wording" not in codes(look(four, prompts)) and "wording_unknown" not in codes(look(four, prompts))

    def ids(word: str) -> list[int]:
        (rows,) = four[0].clip.tokenize(word).values()
        return [token for token, *_ in rows[0] if token < 2046]

    odd = []
    for number in (2, 3):
        weights = dict(shipped[number])
        table = weights[EMBEDDED].clone()
        for word in SMALL:
            table[ids(word)[0]] = 2 * table[ids("sauropod")[0]]
        odd.append(make(f"odd{number}", {**weights, EMBEDDED: table}))
    found = look([*four[:2], *odd], prompts)
    print([str(one) for one in found.findings], found.answers)
    (wording,) = (one for one in found.findings if one.code.value == "wording")
    sides = [{part.values["name"] for part in wording.values[side]} for side in ("experts", "others")]
    assert {"e1", "e2"} in [side - {"odd2", "odd3"} for side in sides]


def test_predictions_that_cannot_be_compared_leave_the_rest(four: list[Any], look: Callable[..., Any]) -> None:
    found = look([four[0], replace(four[1], prediction="V_PREDICTION")], THINGS[:1])
    assert codes(found) == ["sentence"] and "predict different things" in str(found.findings[0])
    assert found.answers is None and found.distance is not None and found.kin.effective.value == 2


@pytest.mark.parametrize("scale, code", [(0.05, "weak"), (0.0, "deaf")])
def test_a_model_that_prompts_do_not_move_is_named(
    scale: float,
    code: str,
    four: list[Any],
    make: Callable[..., Any],
    shipped: list[Weights],
    look: Callable[..., Any],
) -> None:
    dull = {name: weight * scale if "attn2.to_out" in name else weight for name, weight in shipped[3].items()}
    found = look([*four[:3], make(f"dull {scale}", dull)], THINGS[:4])
    assert codes(found) == [code, "wording_unknown"] and "dull" in str(found.findings[0])
