"""Word Attribution with the demo experts: its figures are Score's own, and the unknown word stands out."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from emoe_testing.scoring import WIDGETS, latent


@pytest.fixture(scope="module")
def experts(node_classes: dict[str, Any]) -> Any:
    return node_classes["EMoE_DemoExperts"].execute().args[0]


def score_of(node_classes: dict[str, Any], experts: Any, text: str) -> float:
    positive = node_classes["EMoE_EncodeForExperts"].execute(experts=experts, text=text).args[0]
    scored = node_classes["EMoE_Score"].execute(
        experts=experts, positive=positive, latent_image=latent(size=16), **WIDGETS
    )
    return float(scored.args[0])


def test_the_figures_are_scores_own(pack: ModuleType, node_classes: dict[str, Any], experts: Any) -> None:
    text = "sunflower xchtgg"
    made = node_classes["EMoE_WordAttribution"].execute(
        experts=experts, text=text, latent_image=latent(size=16), **WIDGETS
    )
    (told,) = made.ui["emoe_words"]
    whole = score_of(node_classes, experts, text)
    assert told["score"] == pytest.approx(whole, rel=1e-5)  # its prompts share network calls
    left_out = {"sunflower": "xchtgg", "xchtgg": "sunflower"}
    for word in told["words"]:
        assert word["change"] == pytest.approx(
            whole - score_of(node_classes, experts, left_out[word["text"]]), abs=1e-5 * whole
        )
    changes = {word["text"]: word["change"] for word in told["words"]}
    assert changes["xchtgg"] > 0 and changes["xchtgg"] > changes["sunflower"]
    lines, picture = made.args
    assert "xchtgg" in lines.splitlines()[1] and picture.shape[0] == 1 and picture.shape[-1] == 3
    assert float(picture.min()) >= 0 and float(picture.max()) <= 1
    assert made.ui["images"][0]["type"] == "temp" and made.ui["text"] == lines.splitlines()


def test_its_prompts_share_network_calls(
    pack: ModuleType, node_classes: dict[str, Any], experts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six prompts take one call per expert, not six."""
    counted: list[int] = []
    network = experts.experts[0].model.model
    forward = network.apply_model

    def count(x: Any, *args: Any, **kwargs: Any) -> Any:
        counted.append(x.shape[0])
        return forward(x, *args, **kwargs)

    monkeypatch.setattr(network, "apply_model", count)
    text = "sunflower candle ant horse car"
    node_classes["EMoE_WordAttribution"].execute(experts=experts, text=text, latent_image=latent(size=16), **WIDGETS)
    assert counted == [12]  # two noise samples each


def test_it_can_be_cancelled(
    pack: ModuleType, node_classes: dict[str, Any], experts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as management

    management.interrupt_current_processing(True)
    try:
        with pytest.raises(management.InterruptProcessingException):
            node_classes["EMoE_WordAttribution"].execute(
                experts=experts, text="sunflower xchtgg", latent_image=latent(size=16), **WIDGETS
            )
    finally:
        management.interrupt_current_processing(False)


def test_no_words_are_one_clear_sentence(node_classes: dict[str, Any], experts: Any) -> None:
    with pytest.raises(Exception, match="Word Attribution's text has no word"):
        node_classes["EMoE_WordAttribution"].execute(
            experts=experts, text=" , ", latent_image=latent(size=16), **WIDGETS
        )
