"""Uncertainty Score of a List: the scores of Uncertainty Score, with each expert loaded once for many prompts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from emoe_testing.scoring import WIDGETS, latent

LATENT = latent(size=16)
PROMPTS = ["red apple", "xchtgg", "candle", "Käse", "a very much longer prompt about a horse"]


@pytest.fixture
def encoded(host: Any, demo: Any) -> list[Any]:
    return [host.prompts.conditioning.encode_for_experts(demo, text) for text in PROMPTS]


def as_lists(**given: Any) -> dict[str, list[Any]]:
    return {name: value if isinstance(value, list) else [value] for name, value in {**WIDGETS, **given}.items()}


def test_the_scores_are_those_of_score(demo: Any, encoded: list[Any], node_classes: dict[str, Any]) -> None:
    how = {"preset": "layout", "block_index": -1, "sampler_name": "euler", "every_preset": True}
    out = node_classes["EMoE_ScoreList"].execute(**as_lists(experts=demo, positive=encoded, latent_image=LATENT, **how))
    scores, reports, maps = out.result
    assert [len(one) for one in out.result] == [5, 5, 5]
    assert [len(out.ui[name]) for name in ("emoe_report", "emoe_card", "images")] == [5, 5, 5]
    for place, positive in enumerate(encoded):
        alone = node_classes["EMoE_Score"].execute(demo, positive, LATENT, **{**WIDGETS, **how})
        score, report, picture = alone.result
        assert scores[place] == pytest.approx(score, rel=1e-5)
        assert reports[place].settings == report.settings and reports[place].prompt == PROMPTS[place]
        assert reports[place].calibrations == report.calibrations and reports[place].proofs == report.proofs
        assert set(reports[place].items[0].all) == set(report.items[0].all)
        assert torch.allclose(maps[place], picture, atol=0.02)


def test_each_expert_runs_once_per_block(
    host: Any, demo: Any, encoded: list[Any], node_classes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only one expert fits on a card, each change of expert is a loading of its weights."""
    real, asked = host.scoring.probe.ComfyProbe.latents, []

    def latents(self: Any, request: Any, advance: Any) -> Any:
        asked.append(request.expert)
        return real(self, request, advance)

    def changes(run: Any) -> int:
        asked.clear()
        run()
        return sum(one != other for one, other in zip(asked, [None, *asked], strict=False))

    one, many = node_classes["EMoE_Score"], node_classes["EMoE_ScoreList"]
    monkeypatch.setattr(host.scoring.probe.ComfyProbe, "latents", latents)
    given = as_lists(experts=demo, positive=encoded, latent_image=LATENT)
    assert changes(lambda: many.execute(**given)) == 4
    assert changes(lambda: [one.execute(demo, positive, LATENT, **WIDGETS) for positive in encoded]) == 20


def test_items_of_several_sizes_and_seeds_keep_their_order(
    demo: Any, encoded: list[Any], node_classes: dict[str, Any]
) -> None:
    """Shorter lists repeat their last item, as ComfyUI does it."""
    small = latent(size=8)
    given = as_lists(experts=demo, positive=encoded, latent_image=[LATENT, small], noise_seed=[3, 3, 3, 7])
    scores, reports, _ = node_classes["EMoE_ScoreList"].execute(**given).result
    assert [report.settings.latent_shape[-1] for report in reports] == [16, 8, 8, 8, 8]
    assert [report.settings.noise_seed for report in reports] == [3, 3, 3, 7, 7]
    alone = node_classes["EMoE_Score"].execute(demo, encoded[3], small, **{**WIDGETS, "noise_seed": 7})
    assert scores[3] == pytest.approx(alone.result[0], rel=1e-5)


def test_what_cannot_be_is_one_sentence(demo: Any, encoded: list[Any], node_classes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="conditioning is empty; connect a prompt"):
        node_classes["EMoE_ScoreList"].execute(**as_lists(experts=demo, positive=[encoded[0], []], latent_image=LATENT))
    with pytest.raises(ValueError, match="Uncertainty Score of a List's at_step is 99"):
        node_classes["EMoE_ScoreList"].execute(
            **as_lists(experts=demo, positive=encoded, latent_image=LATENT, at_step=99)
        )
