"""Sparse layers, gates and routing statistics against closed forms; no ComfyUI."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from emoe_core.errors import EMoEError
from emoe_core.mixture import layers, router
from emoe_core.mixture.sparse import Assignment, RoutingRecorder, SparseMoE, assigned, router_entropy


class Times(nn.Module):
    """An expert that multiplies."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def sparse(top_k: int, rows: list[list[float]], separates: bool = False) -> SparseMoE:
    """Experts that multiply by 1, 10, 100, ... behind a gate with these rows."""
    gate = nn.Linear(len(rows[0]), len(rows), bias=False)
    gate.weight = nn.Parameter(torch.tensor(rows))
    return SparseMoE("layer", gate, [Times(10.0**i) for i in range(len(rows))], top_k, separates)


GATE = [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]


def test_top_1_is_the_expert_with_the_highest_sum() -> None:
    """One token argues loudly for the second expert, two weakly for the first: the sum decides, for all tokens."""
    layer = sparse(1, GATE)
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 5.0]]])
    assert torch.equal(layer(x), x * 10)


def test_top_2_weighs_by_softmax_of_each_token() -> None:
    layer = sparse(2, GATE)
    x = torch.tensor([[[2.0, 1.0], [0.0, 3.0]]])
    got = layer(x)
    for token in range(2):
        a, b = x[0, token].tolist()
        first = math.exp(a) / (math.exp(a) + math.exp(b))
        factor = first * 1 + (1 - first) * 10
        assert torch.allclose(got[0, token], x[0, token] * factor, rtol=1e-6)


def test_without_a_plan_the_batch_chooses_together_and_with_one_its_groups_do() -> None:
    layer = sparse(1, GATE)
    x = torch.tensor([[[1.0, 0.0]], [[0.0, 4.0]]])
    assert torch.equal(layer(x), x * 10)
    with assigned(Assignment(groups=(0, 1))):
        assert torch.equal(layer(x), torch.stack([x[0], x[1] * 10]))
    with assigned(Assignment(groups=(0, 0))):
        assert torch.equal(layer(x), x * 10)
    assert torch.equal(layer(x), x * 10)  # the plan ends with its block


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    layer = SparseMoE("layer", nn.Linear(8, 4, bias=False), [nn.Linear(8, 6) for _ in range(4)], 2)
    x = torch.randn(5, 7, 8)
    with torch.no_grad():
        with assigned(Assignment(groups=tuple(range(5)))):
            together = layer(x)
        alone = torch.cat([layer(row[None]) for row in x])
    assert torch.allclose(together, alone, atol=1e-6)


def test_paths_keep_their_experts_output_where_they_separate_and_nowhere_else() -> None:
    x = torch.ones(3, 2, 2)
    plan = Assignment(groups=(0, 1, 2), paths=(2, 0, 1))
    with assigned(plan):
        assert torch.equal(sparse(2, GATE, separates=True)(x), x * torch.tensor([100.0, 1.0, 10.0]).view(3, 1, 1))
        ordinary = sparse(2, GATE)(x)
    assert torch.allclose(ordinary, x * 5.5)


def test_tiles_of_one_image_belong_to_it() -> None:
    """A node that cuts images into tiles makes several rows of one; a batch that fits no image is refused."""
    x = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]], [[5.0, 0.0]], [[4.0, 0.0]]])  # two tiles an image
    recorder = RoutingRecorder(1, 2)
    with assigned(Assignment(groups=(0, 1), record=recorder.record)):
        assert torch.equal(sparse(1, GATE)(x), torch.cat([x[:2] * 10, x[2:]]))
        assert torch.equal(sparse(1, GATE, separates=True)(x), torch.cat([x[:2] * 10, x[2:]]))
    assert recorder.summary(["layer"], frozenset(), "layer", 1).load == (0.5, 0.5, 0.0)
    with assigned(Assignment(groups=(0, 1, 2))), pytest.raises(EMoEError, match="4 rows for 3 images"):
        sparse(1, GATE)(x)


def test_identical_experts_are_the_expert() -> None:
    torch.manual_seed(1)
    expert = nn.Linear(16, 16)
    for top_k in (1, 2, 3):
        layer = SparseMoE("layer", nn.Linear(16, 3, bias=False), [expert] * 3, top_k)
        x = torch.randn(2, 9, 16)
        with torch.no_grad():
            assert float((layer(x) - expert(x)).abs().max()) < 1e-6


def test_half_precision_sums_do_not_overflow() -> None:
    """4096 tokens of logits near 100 add up to far more than half precision holds."""
    layer = sparse(1, [[1.0, 0.0], [1.01, 0.0], [0.0, 0.0]]).half()
    x = torch.full((1, 4096, 2), 100.0).half()
    assert torch.equal(layer(x), x * 10)


def test_top_k_beyond_the_experts_is_refused() -> None:
    for top_k in (0, 4):
        with pytest.raises(EMoEError, match="choose 1 to 3"):
            sparse(top_k, GATE)


def test_entropy_is_1_for_an_undecided_gate_and_0_for_a_certain_one() -> None:
    flat = torch.zeros(2, 5, 4)
    assert torch.allclose(router_entropy(flat), torch.ones(2))
    sure = flat.clone()
    sure[0, :, 1] = 1e4
    assert router_entropy(sure).tolist() == pytest.approx([0.0, 1.0])
    p = torch.tensor([0.7, 0.2, 0.1, 0.0001])
    by_hand = float(-(p / p.sum() * (p / p.sum()).log()).sum() / math.log(4))
    assert float(router_entropy(p.log().view(1, 1, 4))) == pytest.approx(by_hand, rel=1e-5)


def test_the_routing_report_is_the_mean_of_what_happened() -> None:
    recorder = RoutingRecorder(paths=2, items=2)
    for _ in range(3):  # noise samples
        recorder.record("b", torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0]] * 4))
        recorder.record("a", torch.tensor([0.5, 0.5, 0.5, 0.5]), torch.tensor([[0.0, 1.0]] * 4))
    routing = recorder.summary(["a", "b", "never called"], frozenset({"b"}), "b", 1)
    assert routing.items == (0.25, 0.75)
    assert (routing.entropy, routing.load) == (0.5, (0.5, 0.5))
    assert [(layer.name, layer.separated, layer.load) for layer in routing.layers] == [
        ("a", False, (0.0, 1.0)),
        ("b", True, (1.0, 0.0)),
    ]
    assert json.loads(json.dumps(routing.as_dict()))["layers"][0]["entropy"] == 0.5
    assert "2 layers" in routing.line() and "50 %, 50 %" in routing.line()
    with pytest.raises(EMoEError, match="No mixture layer was called"):
        RoutingRecorder(1, 1).summary(["a"], frozenset(), "a", 1)


def test_gates_are_normalised_means_and_their_digest_sees_every_value() -> None:
    hidden = torch.tensor([[3.0, 0.0], [3.0, 8.0]])
    assert torch.allclose(router.router_row(hidden), torch.tensor([0.6, 0.8]))
    assert torch.equal(router.router_row(torch.zeros(4, 3)), torch.zeros(3))
    stacked = router.stack_rows([{"a": torch.tensor([1.0, 0.0])}, {"a": torch.tensor([0.0, 1.0])}])
    assert torch.equal(stacked["a"], torch.eye(2))
    other = {"a": torch.eye(2) + 1e-6}
    assert router.routers_digest(stacked) == router.routers_digest({"a": torch.eye(2)}) != router.routers_digest(other)
    with pytest.raises(EMoEError, match="Expert 2 gives NaN"):
        router.stack_rows([{"a": torch.ones(2)}, {"a": torch.full((2,), math.nan)}])


def test_prompts_are_one_line_an_expert() -> None:
    assert router.positive_prompts_of("a cat \n a dog\n", 2) == ["a cat", "a dog"]
    assert router.negative_prompts_of("", 2) == ["", ""]
    assert router.negative_prompts_of("blurred", 3) == ["blurred"] * 3
    assert router.negative_prompts_of("a\n\nb", 3) == ["a", "", "b"]
    for text, count in (("a", 2), ("a\nb\nc", 2), ("", 2)):
        with pytest.raises(EMoEError, match=f"there are {count} experts"):
            router.positive_prompts_of(text, count)
    with pytest.raises(EMoEError, match="no prompt in line 2"):
        router.positive_prompts_of("a\n\nc", 3)
    with pytest.raises(EMoEError, match="negative_prompts has 2 lines"):
        router.negative_prompts_of("a\nb", 3)


def test_layers_are_in_network_order_and_paths_separate_at_the_first_cross_attention() -> None:
    blocks = [
        f"{side}_blocks.{i}.1.transformer_blocks.{k}" for side in ("output", "input") for i in (10, 2) for k in (1, 0)
    ]
    ordered = layers.in_order(blocks)
    assert ordered[:3] == [
        "input_blocks.2.1.transformer_blocks.0",
        "input_blocks.2.1.transformer_blocks.1",
        "input_blocks.10.1.transformer_blocks.0",
    ]
    names = [f"{block}.{layer}" for block in ordered for layer in layers.of_block("all")]
    place, separating = layers.separation(names)
    assert place == f"{ordered[0]}.attn2" and separating == {f"{place}.to_{x}" for x in "qkv"}
    assert layers.separation([f"{block}.ff" for block in ordered]) == (f"{ordered[0]}.ff", {f"{ordered[0]}.ff"})
    with pytest.raises(EMoEError, match="choose attn, ff, all"):
        layers.of_block("most")
    with pytest.raises(EMoEError, match="without layers"):
        layers.separation([])
