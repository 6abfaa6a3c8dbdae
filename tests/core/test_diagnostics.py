"""Expert Diagnostics on sets whose answers are known."""

from __future__ import annotations

import json

import pytest
import torch

from emoe_core.choosing.findings import findings
from emoe_core.errors import EMoEError
from emoe_core.experts.kinship import kinship
from emoe_core.experts.sets import Expert, ExpertSet
from emoe_core.experts.signature import Signature, signature
from emoe_core.records.message import Code, Message
from emoe_core.scoring.diagnostics import diagnose
from emoe_core.stats.effective import Interval

UNET = ("mid_in", "mid_out", "noise_pred")


def weights(base: int, moved: float = 0.0, seed: int = 0) -> Signature:
    generator, other = torch.Generator().manual_seed(base), torch.Generator().manual_seed(seed + 100)
    return signature(
        (f"w{i}", torch.randn(32, 32, generator=generator) + moved * torch.randn(32, 32, generator=other))
        for i in range(4)
    )


def expert(name: str, own: Signature, prediction: str = "EPS", clip: str = "c", identity: str = "") -> Expert:
    return Expert(name, None, None, own, identity or f"{name}-{own.digest}", clip, "SD15", prediction, "float32")


def made(*experts: Expert) -> ExpertSet:
    found = ExpertSet()
    for one in experts:
        found = found.add(one)
    return found


def text(experts: ExpertSet, taps: tuple[str, ...] = UNET) -> str:
    return "\n".join(diagnose(experts, taps).lines)


def test_fine_tunes_of_one_base_are_good_for_every_tap() -> None:
    found = diagnose(made(*(expert(f"e{i}", weights(1, 0.3, i)) for i in range(3))), UNET)
    assert found.preset == "layout" and "lineage: all descend from one base" in "\n".join(found.lines)
    assert all(found.kinship[i][i] == 1 for i in range(3)) and 0.8 < found.kinship[0][1] < 1
    assert "taps mid_in, mid_out: good" in found.lines and "advice: preset layout" in found.lines


def test_two_families_are_told_apart_and_get_layout() -> None:
    experts = made(*(expert(f"e{i}", weights(i // 2, 0.3, i)) for i in range(4)))
    found = diagnose(experts, UNET)
    said = "\n".join(found.lines)
    assert "2 unrelated groups" in said and "e0, e1; e2, e3" in said
    assert found.preset == "layout" and "taps mid_in, mid_out: not for this set" in said


def test_copies_and_loras_and_near_copies_are_named() -> None:
    one = weights(1)
    said = text(
        made(
            expert("a", one, identity="x"),
            expert("b", one, identity="x"),
            expert("c", one),
            expert("d", weights(1, 0.001)),
        )
    )
    assert "copy: 'a' and 'b' are the same model" in said
    assert "'a' and 'c' share their weights and differ in patches" in said
    assert "near-identical: the weights of 'a' and 'd'" in said


def test_mixed_predictions_of_unrelated_models_fit_nothing() -> None:
    found = diagnose(made(expert("a", weights(1)), expert("b", weights(2), "V_PREDICTION")), UNET)
    assert found.preset is None and "no preset fits" in found.lines[0]


def test_one_expert_and_none() -> None:
    assert "add a second expert" in text(made(expert("a", weights(1), clip="")))
    with pytest.raises(EMoEError, match="has no experts"):
        diagnose(ExpertSet(), UNET)


def test_transformers_and_families_without_taps() -> None:
    pair = made(*(expert(f"e{i}", weights(1, 0.3, i)) for i in range(2)))
    assert "taps block:0 to block:1: good" in text(pair, ("block:0", "block:1", "noise_pred"))
    bare = diagnose(pair, ("noise_pred",))
    assert bare.preset == "layout" and "taps inside the network: none" in "\n".join(bare.lines)


def test_merges_the_tree_and_the_effective_number_are_told() -> None:
    generator = torch.Generator().manual_seed(1)
    base = {f"w{i}": torch.randn(32, 32, generator=generator) for i in range(4)}
    a, b = ({n: w + 0.3 * torch.randn(w.shape, generator=generator) for n, w in base.items()} for _ in range(2))
    merge = {name: 0.25 * a[name] + 0.75 * b[name] for name in a}
    experts = made(*(expert(name, signature(one.items())) for name, one in (("a", a), ("b", b), ("c", merge))))
    found = diagnose(experts, UNET, answers=Interval(1.9, 1.8, 2.0, 9), findings=[Message.of(Code.ONE_MODEL)])
    start = found.lines.index("tree of relatives:")
    assert found.lines[start + 3] == "- c: merge of 'a' (0.25) and 'b' (0.75)"
    assert found.lines[start + 4] == "effective number of experts by their weights: 2.00 (2.00 to 2.00) of 3"
    assert found.lines[start + 5] == "effective number of experts by their answers: 1.90 (1.80 to 2.00) of 3, 9 prompts"
    assert "The experts are one model" in found.lines[1] and found.lines.index("details:") > start + 5
    stored = json.loads(json.dumps(found.as_dict()))
    assert list(stored)[:8] == ["names", "kinship", "distance", "preset", "lines", "kin", "answers", "findings"]
    assert stored["kin"]["merges"][0]["parents"] == [0, 1] and stored["kin"]["effective"]["units"] == 4
    assert stored["answers"]["value"] == 1.9 and stored["findings"]["messages"][0]["code"] == "one_model"


def test_copies_are_told_once() -> None:
    pair = made(expert("a", weights(1)), expert("d", weights(1, 0.001)))
    found = diagnose(pair, UNET, findings=findings(pair.experts, kinship(pair.experts)))
    assert sum("'a' and 'd'" in line for line in found.lines) == 1
    assert found.findings[0].code == Code.NEAR_COPIES
