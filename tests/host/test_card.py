"""The score card in ComfyUI: a preview picture that every client shows, beside the keys that clients read."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image


def ui_of(node: Any, **inputs: Any) -> dict[str, Any]:
    return dict(node.execute(**inputs).ui)


def test_the_gates_ui_has_the_card_and_its_old_keys(pack: ModuleType, node_classes: dict[str, Any]) -> None:
    import folder_paths

    calibration = pack.emoe_core.records.calibration.Calibration.load(
        Path(pack.emoe_core.demo.__file__).parent / "calibrations" / "fast.json"
    )
    item = pack.emoe_core.records.report.ItemScore(0.3, 0.01, 0.5, 0.1, 1.5, None)
    report = pack.emoe_core.records.report.Report(
        calibration.settings,
        (item,),
        ("a", "b", "c", "d"),
        ("",) * 4,
        tuple(tuple(abs(i - j) / 10 for i in range(4)) for j in range(4)),
        calibrations=(calibration,),
    )
    inputs = {"report": report, "policy": "false_block_rate", "alpha": 0.1, "threshold": 0.5, "mode": "decide"}
    ui = ui_of(node_classes["EMoE_Gate"], **inputs, filename_prefix="card/verdict")
    assert set(ui) == {"text", "emoe", "files", "images", "emoe_card"}
    (entry,) = ui["images"]
    assert entry["type"] == "temp" and set(entry) == {"filename", "subfolder", "type"}
    path = Path(folder_paths.get_temp_directory()) / entry["filename"]
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.size == pack.emoe_core.show.card.SIZE
    (shown,) = ui["emoe_card"]
    (verdict,) = ui["emoe"]
    assert (shown["verdict"], shown["threshold"], shown["p_value"]) == tuple(
        verdict[name] for name in ("verdict", "threshold", "p_value")
    )
    again = ui_of(node_classes["EMoE_Gate"], **inputs, filename_prefix="card/verdict")
    assert again["images"] == ui["images"]  # the same card is one file


SCORE, GATE = {"class_type": "EMoE_Score", "inputs": {}}, {"class_type": "EMoE_Gate", "inputs": {"report": ["1", 1]}}


@pytest.mark.parametrize(
    ("sent", "page"),
    [({"workflow": {}}, True), ({}, False), (None, False), ("workflow", False), (["workflow"], False)],
)
def test_a_page_is_known_by_its_workflow(pack: ModuleType, sent: Any, page: bool) -> None:
    assert pack.nodes.shown.for_page(SimpleNamespace(extra_pnginfo=sent, prompt={})) is page
    assert pack.nodes.shown.for_page(None) is True


@pytest.mark.parametrize(
    ("graph", "left"),
    [
        ({"1": SCORE, "2": GATE}, True),
        ({"1": SCORE, "2": GATE, "3": SCORE}, False),
        ({"1": SCORE}, False),
        ({"2": GATE}, False),
        (
            {
                "1": SCORE,
                "2": {"class_type": "EMoE_Gate"},
                "3": {"class_type": "EMoE_Gate", "inputs": {"report": [[]]}},
            },
            False,
        ),
        ({"1": SCORE, "2": {"class_type": "EMoE_Gate", "inputs": 1}, "3": {"class_type": "A"}, "4": GATE}, True),
    ],
)
def test_a_score_is_left_to_gates_where_each_has_one(pack: ModuleType, graph: dict[str, Any], left: bool) -> None:
    """Nodes that do not run may be of any shape."""
    told = pack.nodes.score._left_to_gates
    assert told(SimpleNamespace(extra_pnginfo=None, prompt=graph)) is left
    assert told(SimpleNamespace(extra_pnginfo={"workflow": {}}, prompt=graph)) is False
