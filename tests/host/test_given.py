"""What a client puts where a connection or a choice belongs ends in one sentence, in every node."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from emoe_testing.hostile import NUMBERS, TEXTS, structures

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN"}


def linked(cls: Any) -> list[tuple[str, str]]:
    """Name and type of the inputs that are no widgets, and of the lists."""
    inputs = cls.GET_SCHEMA().inputs
    return [(one.id, one.get_io_type()) for one in inputs if one.get_io_type() not in {*WIDGETS, "*"}]


def test_every_type_of_input_is_known(pack: Any, node_classes: dict[str, Any]) -> None:
    types = {kind for cls in node_classes.values() for _, kind in linked(cls)}
    assert types == set(pack.nodes.given.KINDS)


def test_no_value_from_json_passes_for_a_connection(pack: Any, node_classes: dict[str, Any]) -> None:
    error, count = pack.emoe_core.errors.EMoEError, 0
    for cls in node_classes.values():
        for name, kind in linked(cls):
            for value in (*TEXTS[:6], *NUMBERS, *structures(), {"samples": [[0]]}, [["x", {}]], {"samples": None}):
                empty = kind == "CONDITIONING" and value == []
                if value is None or empty or (kind == "COMBO" and isinstance(value, str)):
                    continue
                with pytest.raises(error, match=rf"'s {name} is no {kind}; ") as caught:
                    cls.execute(**{name: [value] if cls.INPUT_IS_LIST else value})  # as the host gives it
                assert len(str(caught.value)) < 200
                count += 1
    assert count > 1000


def test_what_the_host_gives_passes(pack: Any, demo: Any) -> None:
    kinds = pack.nodes.given.KINDS
    expert = demo.experts[0]
    assert kinds["EMOE_EXPERTS"](demo) and kinds["MODEL"](expert.model) and kinds["CLIP"](expert.clip)
    assert kinds["LATENT"]({"samples": torch.zeros(1, 4, 8, 8)}) and kinds["IMAGE"](torch.zeros(1, 8, 8, 3))
    assert kinds["CONDITIONING"](expert.clip.encode_from_tokens_scheduled(expert.clip.tokenize("horse")))


@pytest.mark.parametrize("text", ["embedding:", "a embedding: b", "(embedding:)", "embedding:,x"])
def test_an_embedding_without_a_name_is_one_sentence(pack: Any, host: Any, demo: Any, text: str) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="does not say which"):
        host.prompts.conditioning.encode_for_experts(demo, text)


@pytest.mark.parametrize("cls", ["EMoE_LoadCalibration", "EMoE_LoadSegMoE", "EMoE_Audit", "EMoE_LoadExperts"])
def test_a_name_that_the_graph_lacks_is_left_to_the_host(node_classes: dict[str, Any], cls: str) -> None:
    assert node_classes[cls].validate_inputs() is True
