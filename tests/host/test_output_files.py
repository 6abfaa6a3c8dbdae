"""Files that the nodes write: where one cannot be written, the node and its input are named."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emoe_testing.scoring import latent, options
from PIL import Image


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
    how = {"policy": "raw_threshold", "alpha": 0.1, "threshold": 0.5, "mode": "decide"}
    return node_classes["EMoE_Gate"].execute(report=report, filename_prefix=filename_prefix, **how, **more)


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


@pytest.fixture
def full(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room on any disk, found out in the middle of a file."""
    real = pack.emoe_core.io.files.os.fsync

    def fsync(number: int) -> None:
        real(number)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack.emoe_core.io.files.os, "fsync", fsync)


def test_a_score_stands_without_its_card(pack: ModuleType, full: None) -> None:
    files = pack.emoe_core.hosts.comfyui.files
    import folder_paths

    temp = Path(folder_paths.get_temp_directory())
    before = sorted(temp.rglob("*"))
    picture = Image.new("RGB", (3, 5), (1, 2, 3))
    drawn, said = files.decoration(lambda: {"images": [files.keep_picture(picture, "emoe_full")]})
    assert drawn == {} and said == [
        "The picture could not be kept in the temp folder (No space left on device); the result stands."
    ]
    assert [path for path in sorted(temp.rglob("*")) if path not in before and path != temp] == []


def test_a_verdict_that_cannot_be_kept_leaves_nothing(
    pack: ModuleType, node_classes: dict[str, Any], report: Any, full: None, comfy_base: Path
) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="No space left on device"):
        gate(node_classes, report, "full/verdict")
    assert list((comfy_base / "output" / "full").iterdir()) == []


def test_a_calibration_that_cannot_be_kept_is_one_sentence_and_leaves_nothing(
    pack: ModuleType, report: Any, full: None
) -> None:
    calibrating = pack.emoe_core.hosts.comfyui.calibrating
    with pytest.raises(pack.emoe_core.errors.EMoEError, match=r"cannot be written .*No space left.*make room"):
        calibrating.save(report.calibrations[0], "full", True)
    assert not [path for path in calibrating.folder().glob("full*")]


@pytest.mark.parametrize("before", [None, '{"prompt": "bell", "score": 0.25}\n'])
def test_scores_that_cannot_be_written_down_are_one_sentence(
    pack: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str | None
) -> None:
    """What this call made goes; what was there stays, to the byte."""
    path = tmp_path / "unfinished.jsonl"
    if before is not None:
        path.write_text(before)
    real = Path.open

    def no_room(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = real(self, mode, *args, **kwargs)
        if mode == "a":
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device")
        return file

    monkeypatch.setattr(Path, "open", no_room)
    with pytest.raises(OSError, match="No space left"):
        pack.emoe_core.io.kept_scores.KeptScores(path).add("horse", 0.5)
    monkeypatch.undo()
    assert (path.read_text() if path.exists() else None) == before


def test_a_calibration_whose_scores_cannot_be_kept_ends_in_one_sentence(
    pack: ModuleType, host: Any, demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(self: Any, prompt: str, score: float) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack.emoe_core.io.kept_scores.KeptScores, "add", no_room)
    references = host.calibrating.reference_prompts("horse\nbell", "", 0.0)
    said = options(host, preset="fast", noise_seed=771)
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="Calibrate Gate's scores cannot be written.*make room"):
        host.calibrating.calibrate(demo, references, latent(size=16), "full", None, said)


@pytest.mark.parametrize("name", ["猫" * 100, "x" * 101, "../x", "", "a\0b", "~/x", None, ["a"], 7, "x\ud800"])
def test_a_name_that_is_none_is_one_sentence(pack: ModuleType, node_classes: dict[str, Any], name: Any) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="cannot be a calibration's name"):
        node_classes["EMoE_LoadCalibration"].execute(name)
    assert name is None or node_classes["EMoE_LoadCalibration"].fingerprint_inputs(name) == "missing"


def test_a_calibration_that_is_a_link_out_of_its_folder_is_refused(
    pack: ModuleType, node_classes: dict[str, Any], report: Any, tmp_path: Path
) -> None:
    calibrating = pack.emoe_core.hosts.comfyui.calibrating
    report.calibrations[0].save(tmp_path / "outside.json")
    calibrating.folder().mkdir(parents=True, exist_ok=True)
    link = calibrating.folder() / "link.json"
    link.symlink_to(tmp_path / "outside.json")
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="leads out of its folder"):
        node_classes["EMoE_LoadCalibration"].execute("link")
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="leads out of its folder"):
        calibrating.save(report.calibrations[0], "link", True)
    link.unlink()


@pytest.mark.parametrize("value", [7, ["a"], {"a": [1]}, "no\0such", "x\ud800", "x" * 100_000])
def test_names_of_another_kind_are_refused_when_a_graph_is_queued(node_classes: dict[str, Any], value: Any) -> None:
    asked = {
        "EMoE_LoadCalibration": "name",
        "EMoE_LoadSegMoE": "folder",
        "EMoE_LoadExperts": "expert_1",
        "EMoE_ExpertsFromLoras": "lora_1",
        "EMoE_Audit": "file",
    }
    for node, name in asked.items():
        said = node_classes[node].validate_inputs(**{name: value})
        assert isinstance(said, str) and len(said) < 2500 and "\n" not in said, node
        said.encode("utf-8")
    assert isinstance(
        node_classes["EMoE_Audit"].validate_inputs("built-in set: concepts", "en", "9" * 5000), (bool, str)
    )
