"""Merges, copies, trees and effective numbers of sets whose making is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from emoe_core.choosing.effective import effective_number
from emoe_core.demo import expert_files
from emoe_core.experts.kin import Kin
from emoe_core.experts.kinship import kinship
from emoe_core.experts.sets import Expert
from emoe_core.experts.signature import Unread, signature
from emoe_core.stats.effective import effective

Weights = dict[str, torch.Tensor]
NETWORK = "model.diffusion_model."


def expert(name: str, weights: Weights, stored: str = "float16", identity: str = "") -> Expert:
    own = signature(weights.items())
    return Expert(name, None, None, own, identity or own.digest, "", "SD15", "EPS", "float32", "", stored)


def kin(*sets: Weights, stored: Sequence[str] = ()) -> Kin:
    kinds = [*stored, *["float16"] * len(sets)]
    return kinship([expert(f"e{i}", one, kinds[i]) for i, one in enumerate(sets)])


def mixed(shares: Sequence[float], parents: Sequence[Weights]) -> Weights:
    """A merge as merging tools write it, in half precision."""
    return {
        name: sum(share * one[name].double() for share, one in zip(shares, parents, strict=True)).half()  # type: ignore[union-attr]
        for name in parents[0]
    }


def in_float8(weights: Weights, scaled: bool = False) -> Weights:
    def rounded(weight: torch.Tensor) -> torch.Tensor:
        if weight.dim() < 2:
            return weight
        scale = weight.float().abs().max() / 448 if scaled else 1.0
        return (weight.float() / scale).to(torch.float8_e4m3fn).float() * scale

    return {name: rounded(weight) for name, weight in weights.items()}


def in_four_bits(weights: Weights) -> Weights:
    def rounded(weight: torch.Tensor) -> torch.Tensor:
        if weight.dim() < 2 or weight.numel() % 32:
            return weight
        blocks = weight.float().reshape(-1, 32)
        scale = blocks.abs().amax(dim=1, keepdim=True).clamp_min(1e-9) / 7
        return ((blocks / scale).round() * scale).reshape(weight.shape)

    return {name: rounded(weight) for name, weight in weights.items()}


@pytest.fixture(scope="module")
def shipped() -> list[Weights]:
    """The networks of the four demo experts: fine-tunes of one base."""
    return [
        {name.removeprefix("model."): weight for name, weight in load_file(path).items() if name.startswith(NETWORK)}
        for path in expert_files()
    ]


def family(count: int, moved: Sequence[float], seed: int) -> list[Weights]:
    """Independent fine-tunes of a base, each moved by a share of the weights' size; 0 is the base itself."""
    generator = torch.Generator().manual_seed(seed)
    base = {f"blocks.{i}.weight": torch.randn(32, 48, generator=generator) / 20 for i in range(24)}
    return [
        {n: (w + moved[i] / 20 * torch.randn(w.shape, generator=generator)).half() for n, w in base.items()}
        for i in range(count)
    ]


def block_of(name: str) -> str:
    return ".".join(name.split(".")[1:3]) if name.split(".")[2].isdigit() else name.split(".")[1]


# --- the shipped four -------------------------------------------------------------------------------------------------


def test_the_shipped_experts_are_four_and_nothing_is_made_of_anything(shipped: list[Weights]) -> None:
    found = kin(*shipped)
    assert not (found.copies or found.merges or found.between or found.unsure or found.unread)
    assert found.groups == ((0, 1, 2, 3),) and len(found.tree) == 3
    assert found.effective is not None and 3.95 < found.effective.value <= 4
    assert all(0.3 < one.distance < 0.35 for one in found.tree)
    assert found.lines()[1].startswith("- e1: nearest 'e0'")


@pytest.mark.parametrize("share", [0.06, 0.3, 0.5, 0.85])
def test_merges_of_two_are_found_with_their_shares(shipped: list[Weights], share: float) -> None:
    found = kin(*shipped, mixed((share, 1 - share), (shipped[3], shipped[1])))
    (merge,) = found.merges
    assert merge.child == 4 and merge.parents == (1, 3) and merge.decided and not merge.blocks
    assert merge.weights == pytest.approx((1 - share, share), abs=0.002) and merge.explained > 0.99
    assert f"merge of 'e1' ({1 - share:.2f}) and 'e3' ({share:.2f})" in found.lines()[4]
    assert found.effective is not None and 3.8 < found.effective.value < 4.01


def test_the_child_is_the_one_between(shipped: list[Weights]) -> None:
    """A = 2 C - B is as exact as C = (A + B) / 2."""
    middle, near = (mixed((share, 1 - share), shipped[:2]) for share in (0.5, 0.25))
    assert [(one.child, one.parents) for one in kin(middle, shipped[0], shipped[1]).merges] == [(0, (1, 2))]
    found = kin(near, shipped[0], middle, shipped[1])
    assert [(one.child, one.parents) for one in found.merges] == [(0, (1, 3)), (2, (1, 3))]
    assert found.effective is not None and found.effective.value == pytest.approx(2, abs=1e-3)


def test_three_parents_and_sums_with_a_difference(shipped: list[Weights]) -> None:
    (merge,) = kin(*shipped, mixed((0.5, 0.3, 0.2), shipped[:3])).merges
    assert merge.parents == (0, 1, 2) and merge.weights == pytest.approx((0.5, 0.3, 0.2), abs=0.002)
    (odd,) = kin(*shipped[:3], mixed((1, 1, -1), shipped[:3])).merges
    assert not odd.decided and sorted(odd.weights) == pytest.approx([-1, 1, 1], abs=0.002)


def test_merges_by_blocks(shipped: list[Weights]) -> None:
    random = np.random.default_rng(5)
    shares = {block: random.uniform() for block in sorted({block_of(name) for name in shipped[0]})}
    merged = {
        name: (shares[block_of(name)] * a.double() + (1 - shares[block_of(name)]) * shipped[2][name].double()).half()
        for name, a in shipped[0].items()
    }
    (merge,) = kin(*shipped, merged).merges
    assert merge.child == 4 and merge.parents == (0, 2) and merge.explained > 0.99
    assert {block for block, _ in merge.blocks} == set(shares) - {"out.0"}  # a norm
    for block, (first, second) in merge.blocks:
        assert first == pytest.approx(shares[block], abs=0.02) and first + second == pytest.approx(1)


@pytest.mark.parametrize("scaled", [False, True])
def test_merges_in_eight_bits(shipped: list[Weights], scaled: bool) -> None:
    made = mixed((0.4, 0.6), shipped[:2])
    (merge,) = kin(*shipped, in_float8(made, scaled), stored=["float16"] * 4 + ["float8_e4m3fn"]).merges
    assert merge.parents == (0, 1) and merge.weights == pytest.approx((0.4, 0.6), abs=0.02)
    rounded = [in_float8(one, scaled) for one in (*shipped, made)]
    (merge,) = kin(*rounded, stored=["float8_e4m3fn"] * 5).merges
    assert merge.parents == (0, 1) and merge.weights == pytest.approx((0.4, 0.6), abs=0.02)


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how, stored",
    [
        (in_float8, "float8_e4m3fn"),
        (in_float8, "float32"),
        (lambda one: in_float8(one, True), "float8_e4m3fn"),
        (in_four_bits, "Q4_0"),
    ],
)
def test_what_differs_by_rounding_is_a_copy_and_no_merge(shipped: list[Weights], how, stored: str) -> None:  # type: ignore[no-untyped-def]
    coarse = how(shipped[1])
    for others in (shipped, [shipped[1]]):
        found = kin(*others, coarse, stored=["float16"] * len(others) + [stored])
        (copy,) = found.copies
        assert copy.kind == "rounding" and found.names[copy.other] == f"e{len(others)}" and not found.merges
        assert found.effective is not None and found.effective.value == pytest.approx(len(others), abs=0.05)
        assert len(found.same()) == len(others)


def test_a_sibling_in_four_bits_is_no_copy(shipped: list[Weights]) -> None:
    found = kin(shipped[0], in_four_bits(shipped[1]), shipped[2], stored=["float16", "Q4_0"])
    assert not found.copies and found.unsure == (1,) and "nearest" in found.lines()[1]
    assert found.effective is None  # by how much rounding sets it apart is unknown


def test_fine_tunes_in_four_bits_are_not_one_model(shipped: list[Weights]) -> None:
    light = [{n: (w.float() + (o[n].float() - w.float()) / 4).half() for n, w in shipped[0].items()} for o in shipped]
    found = kin(*map(in_four_bits, light[1:]), stored=["Q4_0"] * 3)
    assert not found.copies and not found.merges and found.unsure == (0, 1, 2)


def test_near_copies_and_the_same_model_and_patches(shipped: list[Weights]) -> None:
    a, b = shipped[:2]
    near = kin(*shipped, mixed((0.97, 0.03), (a, b)))
    assert [(one.one, one.other, one.kind) for one in near.copies] == [(0, 4, "near")] and not near.merges
    alone = kin(a, mixed((0.97, 0.03), (a, b)))
    assert [one.kind for one in alone.copies] == ["near"]
    same = kinship([expert("a", a), expert("b", b), expert("again", a)])
    assert [(one.one, one.other, one.kind) for one in same.copies] == [(0, 2, "same")]
    assert same.effective is not None and same.effective.value == pytest.approx(2) and len(same.same()) == 2
    patched = kinship([expert("a", a), expert("b", b), expert("a with a LoRA", a, identity="x")])
    assert [one.kind for one in patched.copies] == ["patches"]
    assert patched.effective is None and len(patched.same()) == 3  # what patches change is not read
    assert patched.lines()[2] == "- a with a LoRA: the weights of 'a' with other patches"


def test_light_fine_tunes_are_not_called_copies_of_each_other() -> None:
    found = kin(*family(3, [0.01] * 3, 1))
    assert not found.copies and found.effective is not None and found.effective.value > 2.9


# --- the tree ---------------------------------------------------------------------------------------------------------


def test_a_base_lies_between_its_fine_tunes() -> None:
    found = kin(*family(4, [0.2, 0.0, 0.3, 0.2], 2))
    assert found.between == (1,) and {frozenset((one.one, one.other)) for one in found.tree} == {
        frozenset((1, other)) for other in (0, 2, 3)
    }
    assert "no change of its own" in found.lines()[1] and not found.merges


def test_groups_add_up_and_unknown_stays_unknown() -> None:
    first, second = family(3, [0.3] * 3, 3), family(2, [0.3] * 2, 4)
    found = kin(*first, *second)
    assert found.groups == ((0, 1, 2), (3, 4)) and len(found.tree) == 3
    assert found.effective is not None and found.effective.value == pytest.approx(5, abs=0.05)
    assert "group 2" in found.lines()[4]
    known = [expert(f"e{i}", one) for i, one in enumerate(first)]
    names = [name for name, _ in first[0].items()]
    unread = signature((name, Unread((32, 48), b"x")) for name in names)
    closed = replace(known[0], name="closed", signature=unread, identity="closed")
    found = kinship([*known, closed])
    assert found.unread == (3,) and found.effective is None and found.lines()[3] == "- closed: kinship unknown"
    assert found.groups == ((0, 1, 2),)
    assert kinship(known[:1]).lines() == [] and kinship([]).effective is None


@pytest.mark.filterwarnings("error")
def test_halves_of_which_nothing_can_be_read_in_both_are_unknown(shipped: list[Weights]) -> None:
    """Each alone could be compared with the third."""
    known = [expert(f"e{i}", one) for i, one in enumerate(shipped[:3])]
    count = len(known[0].signature.rows) // 2 * 2
    halves = [tuple(range(count // 2)), tuple(range(count // 2, count))]
    experts = [
        replace(one, signature=replace(one.signature, rows=one.signature.rows[:count], unread=half))
        for one, half in zip(known, (*halves, ()), strict=True)
    ]
    found = kinship(experts)
    assert found.unread == (1,) and found.effective is None and found.groups == ((0, 2),)
    assert found.lines()[1] == "- e1: kinship unknown"


@pytest.mark.filterwarnings("error")
def test_weights_that_are_no_numbers_are_no_relatives(shipped: list[Weights]) -> None:
    for broken in (float("nan"), float("inf")):
        found = kin(*shipped[:2], {name: one * broken for name, one in shipped[2].items()})
        assert found.groups == ((0, 1), (2,)) and not found.copies


def test_no_false_alarms_among_independent_fine_tunes() -> None:
    random = np.random.default_rng(0)
    for seed in range(30):
        count = 3 + seed % 2
        moved = [float(10 ** random.uniform(-2, -0.3)) for _ in range(count)]
        if seed % 3 == 0:
            moved[seed % count] = 0.0  # the base itself
        assert not kin(*family(count, moved, seed)).merges


# --- effective numbers ------------------------------------------------------------------------------------------------


def test_effective_numbers_in_closed_form() -> None:
    def number(*rows: Sequence[float]) -> float:
        vectors = np.array(rows, dtype=float)
        return effective((vectors @ vectors.T)[None]).value

    one, two, three = np.eye(3)
    assert number(one, two, three) == pytest.approx(3) and number(one, two) == pytest.approx(2)
    assert number(one, one, two) == pytest.approx(2) and number(one, one, one, two) == pytest.approx(2)
    assert number(one, two, (one + two) / 2) == pytest.approx(2)  # no new direction
    assert number(one, one) == 1 and number(one) == 1
    assert number(one + 9, two + 9, three + 9) == pytest.approx(3)  # what all share has no part


def test_effective_numbers_by_answers() -> None:
    random = np.random.default_rng(1)
    told = random.normal(size=(24, 2, 4, 500)) + 3 * random.normal(size=(24, 2, 1, 500))
    told *= np.exp(random.normal(size=(24, 1, 1, 1)) * 3)  # no prompt counts for more
    values = np.einsum("pkid,pkjd->pkij", told, told) / 500
    found = effective_number(values)
    assert found.value == pytest.approx(4, abs=0.05) and found.units == 24
    assert found.low is not None and found.high is not None and found.low <= found.value <= found.high <= 4
    with_copy = values[:, :, [0, 1, 2, 3, 0]][..., [0, 1, 2, 3, 0]]
    assert effective_number(with_copy).value < 3.9
    assert effective_number(with_copy, [(0, 4)]).value == pytest.approx(found.value)
    twins = values[:, :, [0, 0]][..., [0, 0]]
    assert effective_number(twins).value == 1
    assert effective_number(values[:1]).low is None and effective_number(values[:0]).units == 0
    assert str(effective_number(values[:1])) == f"{effective_number(values[:1]).value:.2f}"
    silent = np.concatenate([values, np.zeros((1, 2, 4, 4))])  # a prompt that changes nothing
    assert effective_number(silent).value == pytest.approx(found.value)
