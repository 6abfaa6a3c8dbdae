"""The score card in ComfyUI: a preview picture that every client shows, beside the keys that clients read."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

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
