"""Files that the nodes write: where one cannot be written, the node and its input are named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def report(pack: ModuleType) -> Any:
    core = pack.emoe_core
    calibration = core.records.calibration.Calibration.load(
        Path(core.demo.__file__).parent / "calibrations" / "fast.json"
    )
    item = core.records.report.ItemScore(0.3, 0.01, 0.5, 0.1, 1.5, None)
    apart = tuple(tuple(abs(i - j) / 10 for i in range(4)) for j in range(4))
    return core.records.report.Report(
        calibration.settings, (item,), ("a", "b", "c", "d"), ("",) * 4, apart, calibrations=(calibration,)
    )


def gate(node_classes: dict[str, Any], report: Any, filename_prefix: str, **more: Any) -> Any:
    return node_classes["EMoE_Gate"].execute(report, "raw_threshold", 0.1, 0.5, "decide", filename_prefix, **more)


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("a_file/verdict", "Not a directory"),
        ("a_file/deep/verdict", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("y" * 300 + "/verdict", "File name too long"),
        ("../../verdict", "Saving image outside the output folder is not allowed"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence(
    pack: ModuleType, node_classes: dict[str, Any], report: Any, comfy_base: Path, prefix: str, reason: str
) -> None:
    (comfy_base / "output").mkdir(exist_ok=True)
    (comfy_base / "output" / "a_file").write_text("no folder")
    with pytest.raises(pack.emoe_core.errors.EMoEError) as told:
        gate(node_classes, report, prefix)
    said = str(told.value)
    assert said.startswith("Confidence Gate cannot write its file into the output folder under the filename_prefix '")
    assert f"({reason}); choose another filename_prefix" in said and "\n" not in said and len(said) < 250


def test_the_audit_report_names_itself(pack: ModuleType) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="^Audit Report cannot write"):
        pack.emoe_core.hosts.comfyui.files.save_text("page", "x" * 300, ".html", "Audit Report")


def test_a_lone_surrogate_in_the_prompt_stops_nothing(
    node_classes: dict[str, Any], report: Any, comfy_base: Path
) -> None:
    """Neither the verdict's file nor the ledger; a client's JSON may hold one."""
    odd = replace(report, prompt="a\ud800b")
    shown = gate(node_classes, odd, "surrogate/verdict", ledger=True).ui
    (file,), (kept,) = shown["files"], shown["emoe"]
    assert kept["ledger"] is not None and kept["warnings"] == []
    text = (comfy_base / "output" / file["subfolder"] / file["filename"]).read_text(encoding="utf-8")
    assert json.loads(text)["prompt"] == odd.prompt
