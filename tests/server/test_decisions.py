"""Calibrate from a file, Gate Quality Report, groups at the Gate, and kept calibrations that were spoiled: on a live server."""

from __future__ import annotations

import io
import urllib.parse
import urllib.request
from typing import Any

import pytest
from emoe_testing.graphs import Graph, gate, node, scored
from PIL import Image

GOOD = ("horse", "sunflower", "candle", "ant", "bell", "tiger", "pizza", "rainbow")
BAD = ("xchtgg", "qqzzt", "traktori", "山から日の出")


def labelled(server: Any, tag: str, rows: list[tuple[str, str, str]]) -> str:
    """A prompt file in the server's input folder."""
    name = f"{tag}.csv"
    lines = ["prompt,language,bad", *(",".join(row) for row in rows)]
    (server.server.base / "input" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


ROWS = [(prompt, "en", "no") for prompt in GOOD] + [(prompt, "other", "yes") for prompt in BAD]


def graph(tag: str, file: str, group: str = "en") -> Graph:
    """A calibration from the file, kept as `tag`; its report; and a Gate that asks it about `horse`."""
    made = scored("horse")
    settings = {k: v for k, v in made["score"]["inputs"].items() if not isinstance(v, list)}
    choice = {"policy": "bad_pass_rate", "alpha": 0.2, "delta": 0.1, "threshold": 0.5}
    return {
        **made,
        "calibrate": node(
            "EMoE_Calibrate",
            experts=["experts", 0],
            latent_image=["latent", 0],
            prompts="",
            name=tag,
            prompt_file=file,
            **settings,
        ),
        "keep": node("EMoE_SaveCalibration", calibration=["calibrate", 0], name=tag, overwrite=True),
        "report": node(
            "EMoE_DecisionReport",
            calibration=["calibrate", 0],
            seconds_generation=2.0,
            seconds_score=0.1,
            **choice,
        ),
        "gate": gate(0.0, policy="false_block_rate", alpha=0.2, calibration=["calibrate", 0], group=group),
    }


def test_a_file_becomes_a_report_and_a_threshold_of_a_group(default_server: Any, tag: str) -> None:
    file = labelled(default_server, tag, ROWS)
    first = default_server.run(graph(tag, file))
    assert first.ok, first.errors
    shown = first.outputs["report"]
    numbers, (picture,) = shown["emoe_decisions"][0], shown["images"]
    assert numbers["prompts"] == 12 and numbers["bad"] == 4 and numbers["at_threshold"]["bad_and_passed"] <= 0.2
    assert shown["text"][0].startswith(f"{tag}: 12 prompts, 4 of them bad")
    query = urllib.parse.urlencode({key: picture[key] for key in ("filename", "subfolder", "type")})
    with (
        urllib.request.urlopen(f"{default_server.url}/view?{query}") as answer,
        Image.open(io.BytesIO(answer.read())) as image,
    ):
        assert image.size == (1440, 880)
    verdict = first.outputs["gate"]["emoe"][0]
    assert verdict["verdict"] == "pass" and verdict["group_threshold"] and "group language=en" in verdict["reason"]

    again = default_server.run(graph(tag, file))
    assert again.outputs["report"]["emoe_decisions"] == [numbers] and not again.did_run("calibrate")
    other = default_server.run(graph(tag, file, "fi")).outputs["gate"]["emoe"][0]
    assert not other["group_threshold"] and "the group 'fi' is not in the calibration" in other["reason"]

    labelled(default_server, tag, ROWS[:-1])
    changed = default_server.run(graph(tag, file))
    assert changed.did_run("calibrate") and changed.outputs["report"]["emoe_decisions"][0]["prompts"] == 11


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[: len(text) // 2], "is not whole JSON"),
        (lambda text: text.replace("horse", "house"), "was changed after it was saved"),
        (lambda text: text.replace('"emoe_calibration": 2', '"emoe_calibration": 9'), "is a calibration of version 9"),
    ],
    ids=["truncated", "edited", "newer"],
)
def test_a_kept_calibration_that_was_spoiled_ends_the_run_with_the_reason(
    default_server: Any, tag: str, spoil: Any, said: str
) -> None:
    file = labelled(default_server, tag, [*ROWS[:3], *ROWS[-3:]])
    keep = {name: n for name, n in graph(tag, file).items() if name not in ("report", "gate", "score", "text")}
    assert default_server.run(keep).ok
    path = default_server.user / "emoe" / "calibrations" / f"{tag}.json"
    load = {**scored("horse"), "load": node("EMoE_LoadCalibration", name=tag)}
    load["gate"] = gate(0.0, policy="block_share", alpha=0.5, calibration=["load", 0])
    assert default_server.run(load).ok
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    result = default_server.run(load)
    assert not result.ok and said in result.error and tag in result.error
