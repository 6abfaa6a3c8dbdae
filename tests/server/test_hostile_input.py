"""Input that is made to do harm, posted over HTTP: it ends in one sentence, and the server goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from emoe_host.client import Graph, GraphRefused
from emoe_testing.graphs import gate, node, scored

SURROGATE = "\ud800"


def preview(graph: Graph, source: str = "score", slot: int = 0) -> Graph:
    return {**graph, "shown": node("PreviewAny", source=[source, slot])}


def calibrated(tag: str, **changes: Any) -> Graph:
    """A calibration of two prompts, kept."""
    made = scored("horse")
    settings = {k: v for k, v in made["score"]["inputs"].items() if not isinstance(v, list)}
    inputs = {"prompts": f"horse\n{tag}", "name": tag, "prompt_file": "", **settings, **changes}
    return {
        "experts": made["experts"],
        "latent": made["latent"],
        "calibrate": node("EMoE_Calibrate", experts=["experts", 0], latent_image=["latent", 0], **inputs),
        "keep": node("EMoE_SaveCalibration", calibration=["calibrate", 0], name="", overwrite=True),
    }


def still_works(server: Any, tag: str) -> None:
    assert server.run(preview(scored(prompt=f"rainbow {tag}"))).ok


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (preview(scored(f"embedding:{SURROGATE}")), "Encode for Experts's text holds half a surrogate pair"),
        (preview(scored(f"a{SURROGATE}b")), "Encode for Experts's text holds half a surrogate pair"),
        (calibrated("x", prompts=f"a{SURROGATE}\n!a{SURROGATE}"), "prompts holds half a surrogate pair"),
        (calibrated(f"bad{SURROGATE}\x1b[2J", prompts="horse"), "'bad\\ud800\\x1b[2J' cannot be a calibration's name"),
        (calibrated("x", prompt_file=f"no{SURROGATE}.csv"), "prompt_file is 'no\\ud800.csv'"),
        (
            {**scored("horse"), "gate": gate(0.0, policy="bad_pass_rate", group=SURROGATE, alpha=0.2)},
            "",  # whatever the Gate says of the policy
        ),
    ],
    ids=["embedding", "prompt", "calibrate", "name", "file", "group"],
)
def test_a_lone_surrogate_does_not_stop_the_queue(default_server: Any, graph: Graph, said: str, tag: str) -> None:
    result = default_server.run(graph)
    assert result.status == "error" and result.error is not None
    assert said in result.error
    result.error.encode("utf-8")
    still_works(default_server, tag)


def test_a_name_in_a_list_is_checked_before_anything_runs(default_server: Any, tag: str) -> None:
    for name in (f"x{SURROGATE}\x1b", {"a": 1}, {"__value__": ["a", "b"]}, 7, "x" * 100_000):
        graph = {"load": node("EMoE_LoadCalibration", name=name), "shown": node("PreviewAny", source=["load", 0])}
        with pytest.raises(GraphRefused, match=r"There is no calibration named") as caught:
            default_server.run(graph)
        assert len(str(caught.value)) < 1000 and SURROGATE not in str(caught.value)
    still_works(default_server, tag)


def test_one_line_stays_one_line_and_the_prompt_stays_whole(default_server: Any, tag: str) -> None:
    prompt = f"{tag}\x1b[2J " + "rainbow " * 3000
    result = default_server.run({**scored(prompt), "gate": gate(1e12)})
    shown = result.outputs["gate"]
    assert result.ok and len(shown["text"][0]) < 1000 and "\x1b" not in shown["text"][0]
    assert shown["emoe"][0]["prompt"] == prompt


def test_a_huge_field_of_a_calibration_file_does_not_come_back(default_server: Any, tag: str) -> None:
    kept = default_server.run(calibrated(tag))
    assert kept.ok, kept.error
    path = default_server.user / "emoe" / "calibrations" / f"{tag}.json"
    for field in ("name", "reference", "settings"):
        body = json.loads(path.read_text("utf-8")) | {field: "x" * 3_000_000}
        path.with_name(f"{tag}-{field}.json").write_text(json.dumps(body), encoding="utf-8")
        graph = {
            **scored("horse"),
            "load": node("EMoE_LoadCalibration", name=f"{tag}-{field}"),
            "gate": gate(0.0, policy="false_block_rate", calibration=["load", 0]),
        }
        result = default_server.run(graph)
        assert result.status == "error" and len(json.dumps(result.history["status"])) < 50_000


@pytest.mark.parametrize(
    "name", ["/etc/passwd.csv", "../outside.csv", "~/outside.csv", "~nosuch/x.csv", "a\0b.csv", "link.csv"]
)
def test_a_graph_reads_no_file_outside_of_the_input_folder(default_server: Any, name: str, tag: str) -> None:
    secret = default_server.server.base / "outside.csv"
    secret.write_text("prompt,bad\nhorse,secret-cell\n", encoding="utf-8")
    link = default_server.server.base / "input" / "link.csv"
    if not link.is_symlink():
        link.symlink_to(secret)
    result = default_server.run(calibrated(tag, prompt_file=name))
    assert result.status == "error" and "secret" not in json.dumps(result.history["status"])
    assert result.error is not None and result.error.startswith("Calibrate Gate's prompt_file is")
    audit = {
        **{k: v for k, v in scored("horse").items() if k in ("experts", "latent")},
        "audit": node(
            "EMoE_Audit",
            experts=["experts", 0],
            latent_image=["latent", 0],
            file=name,
            prompts="",
            name="a",
            groups="",
            id_column="",
            reference="",
            weight_column="",
            alpha=0.05,
            **{k: v for k, v in scored("x")["score"]["inputs"].items() if not isinstance(v, list)},
        ),
    }
    with pytest.raises(GraphRefused, match="Uncertainty Audit's file is"):
        default_server.run(audit)


def test_a_file_inside_tells_no_cell_either(default_server: Any, tag: str) -> None:
    path = default_server.server.base / "input" / f"{tag}.csv"
    path.write_text("prompt,bad\nhorse,no\ntiger,secret-cell\n", encoding="utf-8")
    result = default_server.run(calibrated(tag, prompt_file=path.name))
    assert result.ok, result.error
    assert result.outputs["calibrate"]["text"][1] == "left out, line 3: bad is neither yes nor no; write one of them"
