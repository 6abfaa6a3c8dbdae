"""Drawing a trial without a server: what is found in a workflow, what is changed in it, and what is kept of a run."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.verdicts import SETTINGS

from emoe_core.batch.journal import row_key
from emoe_core.errors import EMoEError
from emoe_core.prompts import PromptRow
from emoe_core.remote.server import Job
from emoe_core.remote.workflow import Target
from emoe_core.trial.drawing import MOST_BASE, Drawing, picture_key, prepare
from emoe_core.trial.readings import readings
from emoe_core.trial.record import TrialRecord
from emoe_core.trial.store import Trial

GRAPH: dict[str, Any] = {
    "1": {"class_type": "Text", "inputs": {"value": "x"}, "_meta": {"title": "Prompt"}},
    "5": {"class_type": "EMoE_Score", "inputs": {"positive": ["1", 0], "noise_seed": 4}},
    "6": {"class_type": "EMoE_Gate", "inputs": {"report": ["5", 1], "policy": "false_block_rate", "mode": "decide"}},
    "7": {"class_type": "RandomNoise", "inputs": {"noise_seed": ["12", 0]}},
    "8": {"class_type": "KSampler", "inputs": {"positive": ["1", 0], "noise": ["7", 0], "seed": 3}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "gate": ["6", 0]}},
    "10": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}},
    "11": {"class_type": "KSampler", "inputs": {"seed": 9}},
    "12": {"class_type": "Number", "inputs": {"seed": True}},
}
IMAGES = {"input": {"required": {"images": ["IMAGE", {}]}}, "output": [], "output_node": True}
INFO: dict[str, Any] = {
    "Text": {"input": {"required": {"value": ["STRING", {}]}}, "output": ["STRING"]},
    "EMoE_Score": {"input": {"optional": {"every_preset": ["BOOLEAN", {}]}}, "output": ["FLOAT", "EMOE_REPORT"]},
    "EMoE_Gate": {"input": {"optional": {"ledger": ["BOOLEAN", {}]}}, "output": ["BOOLEAN"], "output_node": True},
    "KSampler": {"input": {}, "output": ["IMAGE"]},
    "RandomNoise": {"input": {}, "output": ["NOISE"]},
    "Number": {"input": {}, "output": ["INT"]},
    "SaveImage": IMAGES,
    "PreviewImage": IMAGES,
}
TARGETS = [Target("prompt", "1", "value")]


def prepared(graph: dict[str, Any] = GRAPH, info: dict[str, Any] = INFO, **more: Any) -> Drawing:
    return prepare(graph, more.pop("targets", TARGETS), {"http://a": info}, **more)


def job(number: int = 0, row: int = 3) -> Job:
    made = PromptRow(row, row, "a fox", {"group": "b"})
    return Job(made, picture_key(row_key(made), number), number=number)


def test_a_copy_reads_every_preset_blocks_nothing_and_gets_the_pictures_seed() -> None:
    before = copy.deepcopy(GRAPH)
    work = prepared(pictures=2, base=50)
    graph = work.graph(job(1))
    assert before == GRAPH
    assert graph["5"]["inputs"] == {"positive": ["1", 0], "noise_seed": 4, "every_preset": True}
    assert graph["6"]["inputs"] == {"report": ["5", 1], "policy": "raw_threshold", "mode": "observe", "ledger": False}
    assert graph["1"]["inputs"]["value"] == "a fox"
    assert graph["8"]["inputs"]["seed"] == graph["7"]["inputs"]["noise_seed"] == 2051
    assert (graph["11"]["inputs"]["seed"], graph["12"]["inputs"]["seed"]) == (
        9,
        True,
    )  # no part of the picture; no number
    assert work.saver == "9"


def test_seeds_differ_between_pictures_and_stay_when_more_are_drawn() -> None:
    seeds = [prepared(pictures=n).seed(job(number, row)) for n in (2, 3) for row in (1, 2) for number in range(2)]
    assert seeds[:4] == seeds[4:] == [0, 1, 1000, 1001]


def test_a_column_that_fills_a_seed_keeps_it_and_named_inputs_replace_what_is_found() -> None:
    filled = [*TARGETS, Target("seed", "8", "seed")]
    assert [target.node for target in prepared(targets=filled).seeds] == ["7"]
    named = prepared(seed_inputs=["11.seed"])
    assert [(target.node, target.input) for target in named.seeds] == [("11", "seed")]


def changed(**nodes: Any) -> dict[str, Any]:
    graph = copy.deepcopy(GRAPH)
    for name, node in nodes.items():
        if node is None:
            del graph[name[1:]]
        else:
            graph[name[1:]] = node
    return graph


@pytest.mark.parametrize(
    ("graph", "more", "said"),
    [
        (changed(_5=None), {}, "no Uncertainty Score"),
        (changed(_13=GRAPH["5"]), {}, "has 2 Uncertainty Scores"),
        (changed(_6={"class_type": "EMoE_Gate", "inputs": {}}), {}, "no Confidence Gate behind"),
        (changed(_9=None), {}, "saves no picture"),
        (changed(_13=GRAPH["9"]), {}, "saves pictures at"),
        (changed(_13=GRAPH["9"]), {"saver": "10"}, "saves no pictures; name a Save Image"),
        (changed(_8={"class_type": "KSampler", "inputs": {}}), {"pictures": 2}, "depends on no seed"),
        (
            changed(_1={"class_type": "Text", "inputs": {"value": ["8", 0]}}),
            {"pictures": 2},
            "The score depends on the seed",
        ),
        (GRAPH, {"seed_inputs": ["8"]}, "write NODE.INPUT"),
        (GRAPH, {"seed_inputs": ["99.seed"]}, "names a node that the workflow does not have"),
        (GRAPH, {"pictures": 1001}, "at most 1000"),
        (GRAPH, {"base": MOST_BASE + 1}, "choose 0 to"),
        (GRAPH, {"info": {**INFO, "EMoE_Score": {"input": {}}}}, "http://a is too old to measure every preset"),
    ],
)
def test_what_is_missing_is_one_sentence(graph: dict[str, Any], more: dict[str, Any], said: str) -> None:
    with pytest.raises(EMoEError, match=said):
        prepared(graph, **more)


def report(**settings: Any) -> dict[str, Any]:
    measured = {
        "mid_out": {"relative": {"score": 0.5}, "variance": {"score": 7.0}, "response": {"score": 2.0}},
        "noise_pred": {"guidance": {"score": 3.0}, "centred_layout": {"score": 0.25}},
    }
    made = replace(SETTINGS, tap="mid_out", estimator="relative", **settings)
    item = {"score": 0.5, "response": 2.0, "all": measured}
    return {"items": [item], "settings": asdict(made), "experts": [{"name": "a"}, {"name": "b"}], "prompt": "a fox"}


def entry(*images: dict[str, str], told: Any = None) -> dict[str, Any]:
    verdict = {"verdict": "block", "passed": True, "score": 0.5, "prompt": "a fox"}
    outputs = {
        "6": {"emoe": [verdict], "emoe_report": [report()] if told is None else told},
        "9": {"images": list(images)},
    }
    messages = [["execution_start", {"timestamp": 1000}], ["execution_success", {"timestamp": 3500}]]
    return {"outputs": outputs, "status": {"status_str": "success", "messages": messages}}


IMAGE = {"filename": "a.png", "subfolder": "x", "type": "output"}


def test_every_preset_that_was_measured_is_a_reading_with_its_settings() -> None:
    found = {one.name: (score, one.settings) for one, score in readings(report()).items()}
    assert {name: score for name, (score, _) in found.items()} == {
        "fast": 0.5,
        "paper": 7.0,
        "one_model": 3.0,
        "layout": 0.25,
        "response": 2.0,
    }
    settings = replace(SETTINGS, tap="noise_pred", estimator="centred_layout")
    assert found["layout"][1] == settings and found["response"][1] is None


def test_a_run_gives_readings_and_its_picture() -> None:
    line = prepared(base=5).result(job(), entry(IMAGE), 9.0, None)
    assert (line["status"], line["error"], line["experts"]) == ("ok", None, ["a", "b"])
    picture = line["picture"]
    assert (picture.number, picture.filename, picture.subfolder, picture.seed, picture.seconds) == (
        0,
        "a.png",
        "x",
        2005,
        2.5,
    )


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (entry(), "No picture came to 'SaveImage' (node 9)"),
        (entry({**IMAGE, "type": "temp"}), "No picture came to"),
        (entry(IMAGE, IMAGE), "saved 2 pictures in one run"),
        (entry(IMAGE, told=[]), "ended without the score's report"),
        (entry(IMAGE, told=[report(), report()]), "scored 2 prompts"),
        (entry(IMAGE, told=[{"items": 3}]), "not one of this node pack"),
        (entry(IMAGE, told=[{**report(), "items": report()["items"] * 2}]), "batch of 2"),
        (entry(IMAGE, told=["x"]), "not one of this node pack"),
        ({"outputs": {}, "status": {"status_str": "error"}}, "The run failed"),
        ({"outputs": [], "status": 3}, "ended without a verdict"),
    ],
)
def test_a_run_without_all_of_it_is_an_error_that_says_why(ended: dict[str, Any], said: str) -> None:
    line = prepared().result(job(), ended, 1.0, None)
    assert line["status"] == "error" and said in line["error"] and "\n" not in line["error"]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[TrialRecord]:
    made = TrialRecord(tmp_path / "mine.sqlite3", "w")
    made.open(GRAPH, 0, 1)
    yield made
    made.close()


def flown(record: TrialRecord, number: int = 0, told: Any = None) -> Job:
    one = job(number)
    one.begin("http://a")
    record.flying(one)
    record.write(prepared().result(one, entry(IMAGE, told=told), 1.0, None))
    return one


def again(record: TrialRecord, pictures: int = 1) -> TrialRecord:
    record.close()
    made = TrialRecord(record.path, record.workflow)
    made.open(GRAPH, 0, pictures)
    return made


def test_a_picture_is_in_the_trial_at_once_and_known_to_the_next_run(record: TrialRecord) -> None:
    one = flown(record)
    (prompt,) = Trial(record.path).contents().prompts
    assert (prompt.key, prompt.row, prompt.columns) == (row_key(one.row), 3, {"group": "b"})
    assert prompt.scores["layout"] == 0.25 and len(prompt.pictures) == 1
    made = again(record, 2)
    assert list(made.finished) == [one.key] and made.flights == {} and made.trial.facts()["pictures"] == 2
    made.close()
    assert Trial(record.path).facts()["experts"] == ["a", "b"]


def test_killed_between_picture_and_state_nothing_is_drawn_twice(record: TrialRecord) -> None:
    one = job()
    one.begin("http://a")
    record.flying(one)
    state = record.state_path.read_bytes()
    record.write(prepared().result(one, entry(IMAGE), 1.0, None))
    record.state_path.write_bytes(state)  # as it was when the kill came
    made = again(record)
    assert made.flights == {} and json.loads(made.state_path.read_text())["flights"] == {}
    made.close()


def test_other_models_are_left_out_and_failures_are_tried_again(record: TrialRecord) -> None:
    flown(record)
    flown(record, 1, told=[report(noise_seed=99)])
    (failed,) = record.failed
    assert (failed["row"], failed["number"]) == (3, 1) and "noise_seed is 99 instead of" in failed["error"]
    assert record.flights == {} and record.trial.keys() == {row_key(job().row): 1}
    made = again(record)
    assert picture_key(row_key(job().row), 1) not in made.finished
    made.close()


def test_one_command_at_a_time_and_one_workflow(record: TrialRecord) -> None:
    with pytest.raises(EMoEError, match="Another command is drawing into"):
        TrialRecord(record.path, "w").open(GRAPH, 0, 1)
    record.close()
    for workflow, graph, base, said in (
        ("w", {**GRAPH, "13": {}}, 0, "begun with another workflow; name a new trial"),
        ("w", GRAPH, 1, "begun with another base"),
        ("other", GRAPH, 0, "another workflow or other inputs; name another --trial"),
    ):
        made = TrialRecord(record.path, workflow)
        with pytest.raises(EMoEError, match=said):
            made.open(graph, base, 1)
        made.close()
