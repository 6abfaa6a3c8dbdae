"""Gate Quality Report in ComfyUI: a picture, its preview and the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(scope="module")
def labelled(pack: ModuleType) -> Any:
    """The demo's own calibration, with the prompts of the highest scores marked as bad."""
    core = pack.emoe_core
    made = core.records.calibration.Calibration.load(next(p for p in core.demo.calibration_files() if p.stem == "fast"))
    bad = tuple(score > 0.3 or place % 17 == 0 for place, score in enumerate(made.scores))
    return core.records.calibration.Calibration(
        made.name, made.settings, made.scores, made.prompts, made.reference, bad
    )


CHOICE = {"policy": "bad_pass_rate", "alpha": 0.1, "delta": 0.1, "threshold": 0.5}
TIMES = {"seconds_generation": 6.0, "seconds_score": 0.2}


def test_picture_preview_and_numbers_are_of_one_report(
    node_classes: dict[str, Any], labelled: Any, pack: ModuleType
) -> None:
    import folder_paths

    output = node_classes["EMoE_DecisionReport"].execute(calibration=labelled, **CHOICE, **TIMES)
    image, numbers = output.args
    assert image.shape == (1, 880, 1440, 3) and image.dtype == torch.float32 and image.min() >= 0 and image.max() <= 1
    (entry,) = output.ui["images"]
    with Image.open(Path(folder_paths.get_temp_directory()) / entry["subfolder"] / entry["filename"]) as preview:
        np.testing.assert_allclose(np.asarray(preview) / 255, image[0].numpy(), atol=1 / 255)
    report = json.loads(numbers)
    assert report == json.loads(json.dumps(output.ui["emoe_decisions"][0]))
    core = pack.emoe_core.gating.decision_report
    expected = core.decisions(labelled, core.Choice("bad_pass_rate", 0.1, 0.1, 0.5, 6.0, 0.2))
    assert report == json.loads(json.dumps(expected.as_dict())) and output.ui["text"] == expected.lines()
    assert output.ui["emoe_decisions"][0]["at_threshold"]["bad_and_passed"] <= 0.1


def test_the_theme_and_a_wrong_one(node_classes: dict[str, Any], labelled: Any, pack: ModuleType) -> None:
    node = node_classes["EMoE_DecisionReport"]
    dark = node.execute(calibration=labelled, **CHOICE, **TIMES, theme="dark").args[0]
    assert dark.mean() < 0.3
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="no chart theme 'pink'"):
        node.execute(calibration=labelled, **CHOICE, **TIMES, theme="pink")
