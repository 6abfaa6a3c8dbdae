"""The benchmark of other scores: it asks what it says, its scores are what they are called, and its figures are plain AUROC."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from emoe_testing.modules import benchmarks

import emoe_core.demo
import emoe_core.gating.curves
import emoe_core.stats.evaluation
from emoe_core.scoring.estimators import Measured, estimator

KNOWN, UNKNOWN, PLACES = 12, 8, 16


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """`rivals` and `known_truth`, only here."""
    with benchmarks("rivals"):
        yield


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def passes() -> Any:
    """Made-up answers: experts agree on the prompts that come first, and each stays by its answer if the prompt is varied."""
    generator = torch.Generator().manual_seed(0)

    def noise(*size: int) -> Any:
        return torch.randn(KNOWN + UNKNOWN, *size, generator=generator)

    apart = torch.where(torch.arange(KNOWN + UNKNOWN) < KNOWN, 0.1, 1.0)[:, None, None, None, None]
    shift = noise(4, 1, 4, PLACES) + apart * noise(4, 4, 4, PLACES)
    varied = shift[:, None, :2] + 0.01 * apart[:, None] * noise(3, 2, 4, 4, PLACES)
    pictures = shift[:, :2] + 1
    return module("rivals.passes").Passes(
        shift=shift,
        middle=noise(2, 4, 6),
        entropy=1 + noise(2, 4).abs(),
        shared_entropy=3 + noise(2).abs(),
        maps=noise(2, 4, 20).abs(),
        reworded=varied,
        jolted=varied[:, :2],
        early=shift[:, :2].square().mean(dim=(3, 4))[..., None].expand(-1, -1, -1, 4),
        begun=pictures,
        drawn=pictures,
        drawn_over_empty=pictures,
        judged=noise(2, 4),
        judged_own=noise(2, 4),
        words=[torch.randn(1 + n % 2, 4, 6, generator=generator) for n in range(KNOWN + UNKNOWN)],
    )


def test_every_score_is_a_number_and_layout_is_the_presets() -> None:
    methods, found = module("rivals.methods"), passes()
    scores = methods.scores(found, KNOWN)
    assert set(scores) == set(methods.every())
    for name, values in scores.items():
        assert values.shape == (UNKNOWN,) and np.isfinite(values).all(), name
    channel = torch.arange(4).repeat_interleave(PLACES)
    for number, score in enumerate(scores[methods.LAYOUT]):
        flat = found.shift[KNOWN + number, :2].transpose(0, 1).flatten(2)[:, :, None]
        wanted = estimator("centred_layout").compute(Measured(flat, torch.zeros_like(flat), channel)).mean()
        assert score == pytest.approx(float(wanted), rel=1e-4)


def test_variants_of_a_prompt_are_an_axis_of_their_own() -> None:
    methods, found = module("rivals.methods"), passes()
    every = {name: method.score(found, KNOWN) for name, method in methods.METHODS.items()}
    assert every["other wordings, mean"].max() < 1e-3 < every[methods.LAYOUT].min()
    same = every["layout over other wordings"]
    np.testing.assert_allclose(same, every[methods.LAYOUT], rtol=0.05)
    assert every["other wordings and experts"].mean() == pytest.approx(every[methods.LAYOUT].mean() * 15 / 20, rel=0.1)


def test_what_lies_far_from_the_references_is_untypical() -> None:
    methods, found = module("rivals.methods"), passes()
    generator = torch.Generator().manual_seed(1)
    one, other, strange = torch.randn(3, 1, 4, 6, generator=generator)
    for place in range(KNOWN):
        found.words[place] = (one, other)[place % 2] + 0.1 * torch.randn(1, 4, 6, generator=generator)
    for place in range(KNOWN, KNOWN + UNKNOWN):
        found.words[place] = torch.cat([one, strange])
    for name in ("whitened", "unit length", "nearest"):
        values = methods.METHODS[f"typicality of words, {name}"].score(found, KNOWN)
        assert values[KNOWN:].min() > values[:KNOWN].max()


def test_the_experts_are_asked_what_is_said() -> None:
    passes_of, cases = module("rivals.passes"), module("rivals.cases")
    train = module("tools.train_demo.train")
    encode = module("tools.train_demo.tokenizer").Encoder(emoe_core.demo.tokenizer_dir())
    nets = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            net = train.Net((1,), (True,)).eval()
            for weight in net.parameters():
                weight += 0.02 * torch.randn(weight.shape)  # the last layers begin as zeros
        nets.append(net)
    case = cases.Case("tiny", 0, ["dog"], [SimpleNamespace(text="red fox")], nets, encode, 4)
    found = passes_of.ask(case)
    assert found.shift.shape == (2, 4, 2, 4, 16) and found.reworded.shape == (2, 3, 2, 2, 4, 16)
    assert found.maps.shape[:3] == (2, 2, 2) and [len(words) for words in found.words] == [1, 2]
    assert (found.entropy > 0).all() and (found.entropy < np.log(32)).all()
    assert (found.shared_entropy >= found.entropy.mean(dim=2) - 1e-5).all()  # entropy is concave
    noise = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        out, empty = (
            nets[1].unet(noise, torch.tensor([999]), nets[1].text(torch.tensor([encode(text)])))
            for text in ("red fox", "")
        )
    torch.testing.assert_close(found.shift[1, 1, 1], (out - empty)[0].flatten(1), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.early[1, 1, 1, 0], (out - empty).square().mean(), rtol=1e-3, atol=1e-7)
    for name in ("begun", "drawn", "drawn_over_empty", "judged", "judged_own"):
        assert torch.isfinite(getattr(found, name)).all() and len(getattr(found, name)) == 2


def table_of(columns: Any) -> Any:
    prompts = module("known_truth.prompts")
    shares = {"en": 0.8, "fr": 0.19, "de": 0.01, "zh": 0.0}
    truth = {"languages": {code: {"share": share} for code, share in shares.items()}, "concepts": []}
    groups = ("fresh", "fr", "de", "zh", "under_sampled", "held_out")
    lists = {group: [f"{group} {n}" for n in range(6)] for group in groups}
    rows = prompts.collect(truth, lists, len, 10)
    made = {name: np.array([level[row.group] for row in rows]) for name, level in columns.items()}
    core = SimpleNamespace(
        stats=SimpleNamespace(evaluation=emoe_core.stats.evaluation),
        gating=SimpleNamespace(curves=emoe_core.gating.curves),
    )
    return module("rivals.results").Results(core, rows, made, {}, 100)


FLAT = {"fresh": 0.1, "fr": 0.2, "de": 0.9, "zh": 0.9, "under_sampled": 0.9, "held_out": 0.9}
TELLING = FLAT | {"de": 0.5, "under_sampled": 0.5}
BLIND = dict.fromkeys(FLAT, 0.5)


def test_figures_are_of_both_sides_and_the_best_is_chosen_on_the_first() -> None:
    results, other = module("rivals.results"), "guidance, mean"
    columns = {"layout": FLAT, other: TELLING, "guidance of one": BLIND}
    sets = {
        name: {"split": split, "methods": table_of(columns).all()}
        for name, split in (("shipped", 0), ("world A, split 1", 1))
    }
    one = sets["shipped"]["methods"][other]
    assert (one["auroc"], one["things"], one["languages"], one["order"]) == (1.0, 1.0, 1.0, -1.0)
    found = results.summary(sets)
    assert found["best"]["things"] == found["best"]["languages"] == other
    figures = found["confirmed"]["methods"]
    assert figures["layout"]["things"] == 0.5 and "over_one_model" not in figures["layout"]
    assert figures[other]["over_layout"]["things"] == pytest.approx({"value": 0.5, "low": 0.5, "high": 0.5})
    assert figures["guidance of one"]["over_layout"]["auroc"]["value"] == pytest.approx(-0.5)
    assert figures["guidance of one"]["over_one_model"]["auroc"]["value"] == 0
    drawn = results.pictures(table_of(columns), {"rank": (-np.array(table_of(columns).columns[other])).tolist()})
    assert drawn["rank"]["things"] == 1.0 and drawn["rank"]["order"] == -1.0
    sets["shipped"]["pictures"] = drawn
    told = {"alternatives": found, "sets": results.plain(sets)}
    assert "draws" not in told["sets"]["shipped"]["methods"][other]
    table = results.alternatives(told)
    assert table[0] == "Where the choice was made: shipped. The other splits: world A, split 1."
    assert len(table) == 7 and table[4].startswith("| `layout` | 1 |  | 1.000 | 1.000 |") and "0.50, 0.50" in table[4]
    assert len(results.alternatives_one(told)) == 3
    assert any("how wrong the pictures are" in row for row in results.alternatives_sets(told))


def test_without_the_other_splits_only_one_side_is_told() -> None:
    results = module("rivals.results")
    sets = {"shipped": {"split": 0, "methods": table_of({"layout": FLAT, "guidance, mean": TELLING}).all()}}
    found = results.summary(sets)
    assert "confirmed" not in found
    assert results.alternatives({"alternatives": found})[4].count("|") == 9
