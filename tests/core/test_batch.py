"""The batch road without a server: filling a workflow, checking it, keeping the books, reading a history."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emoe_core.batch.journal import Journal, row_key
from emoe_core.errors import EMoEError
from emoe_core.io.results_file import ResultsFile
from emoe_core.prompts import PromptRow
from emoe_core.remote.check import findings, notes
from emoe_core.remote.results import failed_result, row_result
from emoe_core.remote.server import Job, normal_url
from emoe_core.remote.workflow import Target, fill, find_targets, fingerprint, load_workflow, typed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "example_workflows" / "api").glob("*.json"))
Graph = dict[str, dict[str, Any]]


def node(class_type: str, title: str | None = None, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs} | ({"_meta": {"title": title}} if title else {})


@pytest.fixture
def graph() -> Graph:
    return {
        "1": node("Text", "Prompt", value="rainbow"),
        "2": node("Sampler", "First", text=["1", 0], seed=3, cfg=7, on=True, mode="slow", eta=0.5),
        "3": node("Sampler", "Twin", text="x", seed=1, cfg=7.5, on=False, mode="slow", eta=0.5),
        "4": node("Sampler", "Twin", text="x", seed=1, cfg=7.5, on=False, mode="slow", eta=0.5),
        "5": node("EMoE_Gate", "Gate v1.0", **{"switch.a": 1}),
    }


SAMPLER = {
    "input": {
        "required": {
            "text": ["STRING", {}],
            "seed": ["INT", {"min": 0, "max": 100}],
            "cfg": ["FLOAT", {"min": 0.0}],
            "on": ["BOOLEAN", {}],
            "mode": [["slow", "fast"], {}],
        },
        "optional": {"eta": ["FLOAT"], "extra": ["COMBO", {"options": ["p", "q"]}]},
    },
    "output": ["LATENT"],
    "output_node": False,
}
INFO = {
    "Text": {"input": {"required": {"value": ["STRING", {}]}}, "output": ["STRING"]},
    "Sampler": SAMPLER,
    "EMoE_Gate": {"input": {"required": {"switch": ["COMFY_AUTOGROW_V3", {}]}}, "output": [], "output_node": True},
}


# --- which input a column fills ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("seed=First.seed", Target("seed", "2", "seed")),
        ("seed=first.seed", Target("seed", "2", "seed")),
        ("seed=3.seed", Target("seed", "3", "seed")),
        (" my column = First.seed ", Target("my column", "2", "seed")),
        ("x=Gate v1.0.switch.a", Target("x", "5", "switch.a")),
        ("x=First.extra", Target("x", "2", "extra")),
    ],
)
def test_set_names_a_node_by_title_or_id(graph: Graph, text: str, target: Target) -> None:
    assert find_targets(graph, [text], INFO)[1:] == [target]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed", "COLUMN=NODE.INPUT"),
        ("seed=First", "COLUMN=NODE.INPUT"),
        ("=First.seed", "COLUMN=NODE.INPUT"),
        ("seed=Nobody.seed", "a node that the workflow does not have"),
        ("seed=First.sede", "'First' (node 2) does not have ('sede'); its inputs are text, seed"),
        ("seed=Twin.seed", "any of the nodes 3, 4"),
        ("a=1.value", "The columns 'prompt' and 'a' both fill 'value' of 'Prompt' (node 1)"),
    ],
)
def test_a_set_that_cannot_be_meant_is_one_clear_error(graph: Graph, text: str, said: str) -> None:
    with pytest.raises(EMoEError) as error:
        find_targets(graph, [text], INFO)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "node_id"), [("Gate", "1"), ("EMoE_Gate", "1"), ("KSampler", "2"), ("確信度ゲート", "1"), ("Route", "3")]
)
def test_a_node_is_known_by_its_class_where_no_title_fits(place: str, node_id: str) -> None:
    """A frontend in another language, or a newer one, saves another title for the same node."""
    graph = {
        "0": node("Text", "Prompt", value=""),
        "1": node("EMoE_Gate", "確信度ゲート", seed=1),
        "2": node("KSampler", "Kサンプラー", seed=1),
        "3": node("EMoE_Gate", "Route", seed=1),
        "4": node("EMoE_Route", "ゲートで振り分け", seed=1),
    }
    if place.endswith("Gate"):
        del graph["3"]
    assert find_targets(graph, [f"seed={place}.seed"], {})[1] == Target("seed", node_id, "seed")


def test_a_class_never_stands_before_a_title(graph: Graph) -> None:
    graph["9"] = node("First", "Other", text="")
    assert find_targets(graph, ["a=First.text"], {})[1] == Target("a", "2", "text")
    graph["10"] = node("Prompt", "Another", value="")
    assert find_targets(graph, [], {}) == [Target("prompt", "1", "value")]


def test_the_prompt_finds_its_own_place(graph: Graph) -> None:
    assert find_targets(graph, [], {}) == [Target("prompt", "1", "value")]
    assert find_targets(graph, ["Prompt=3.text"], {}) == [Target("Prompt", "3", "text")]
    del graph["1"]["_meta"]
    with pytest.raises(EMoEError, match=r"no Encode for Experts.*--set prompt=NODE.INPUT"):
        find_targets(graph, [], {})
    graph["6"] = node("EMoE_EncodeForExperts", text=["1", 0])
    assert find_targets(graph, [], {}) == [Target("prompt", "1", "value")]
    graph["6"]["inputs"]["text"] = "typed in"
    assert find_targets(graph, [], {}) == [Target("prompt", "6", "text")]
    graph["7"] = copy.deepcopy(graph["6"])
    with pytest.raises(EMoEError, match="2 Encode for Experts"):
        find_targets(graph, [], {})


JOINED = {"string_a": "rainbow", "string_b": "sunflower", "delimiter": ", "}


@pytest.mark.parametrize(
    ("class_type", "inputs", "said"),
    [
        ("StringConcatenate", JOINED, "--set prompt=1.string_a or --set prompt=1.string_b or --set prompt=1.delimiter"),
        ("StringConcatenate", {**JOINED, "string_a": ["9", 0], "string_b": ["9", 0]}, "--set prompt=1.delimiter"),
        ("StringReplace", {"string": "a fox", "find": "fox", "replace": "cat"}, "which of its inputs"),
        ("StringTrim", {"string": ["9", 0], "mode": "Both"}, "which of its inputs"),
        ("LoadText", {"file": "prompts.txt"}, "which of its inputs"),
        ("Describe", {"image": ["9", 0]}, "--set prompt=NODE.INPUT"),
        ("PrimitiveString", {"value": {"a": 1}}, "which of its inputs"),
    ],
)
def test_a_way_that_is_not_plain_is_refused_with_the_sets_there_are(
    class_type: str, inputs: dict[str, Any], said: str
) -> None:
    found = {
        "1": node(class_type, **inputs),
        "2": node("EMoE_EncodeForExperts", text=["1", 0]),
        "9": node("PrimitiveString", value="old"),
    }
    with pytest.raises(EMoEError) as caught:
        find_targets(found, [], {})
    assert said in str(caught.value)
    name = next(iter(inputs))
    assert find_targets(found, [f"prompt=1.{name}"], {}) == [Target("prompt", "1", name)]


def test_a_node_that_a_person_called_prompt_may_have_other_inputs() -> None:
    found = {"1": node("CLIPTextEncode", "Prompt", text="old", clip=["2", 0]), "2": node("Loader", name="x")}
    assert find_targets(found, [], {}) == [Target("prompt", "1", "text")]
    for inputs in (JOINED, {"text": "a", "prompt": "b"}, {"find": "x"}):
        found["1"]["inputs"] = inputs
        with pytest.raises(EMoEError, match="not plain"):
            find_targets(found, [], {})


def test_a_text_that_is_shown_on_its_way_is_followed_to_where_it_comes_from() -> None:
    found = {
        "1": node("PrimitiveStringMultiline", value="old"),
        "2": node("ShowText|pysssss", text=["1", 0], text_0="the text that was shown last"),
        "3": node("EMoE_EncodeForExperts", text=["2", 0]),
    }
    assert find_targets(found, [], {}) == [Target("prompt", "1", "value")]
    found["2"]["inputs"]["text"] = ["2", 0]
    with pytest.raises(EMoEError, match="not plain"):
        find_targets(found, [], {})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_shipped_workflows_need_no_set(path: Path) -> None:
    loaded = load_workflow(path)
    (target,) = find_targets(loaded, [], {})
    assert isinstance(loaded[target.node]["inputs"][target.input], str)
    assert fill(loaded, PromptRow(1, 1, "新"), [target], {})[target.node]["inputs"][target.input] == "新"


def test_there_are_shipped_workflows() -> None:
    assert EXAMPLES


# --- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "current", "kind", "value"),
    [
        ("7", 3, None, 7),
        ("7.5", 7, None, 7.5),  # a FLOAT that was saved as 7
        ("7", 7, "FLOAT", 7.0),
        ("7", 7.5, None, 7.0),
        ("7.0", 3, "INT", 7),
        ("18446744073709551615", 3, "INT", 18446744073709551615),
        ("yes", False, None, True),
        ("OFF", True, "BOOLEAN", False),
        ("7", "text", None, "7"),
        (" kept ", "text", "STRING", " kept "),
        ("7", ["1", 0], None, "7"),
        ("7", ["1", 0], "INT", 7),
        ("512", 256, [256, 512], 512),
        ("", 3, None, None),
        ("", True, None, None),
        ("", "text", None, ""),
    ],
)
def test_a_cell_takes_the_inputs_type(text: str, current: Any, kind: Any, value: Any) -> None:
    result = typed(text, current, kind)
    assert result == value and type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "current", "kind", "said"),
    [("1.5", 3, "INT", "a whole number"), ("abc", 3, None, "a number"), ("nan", 0.5, None, "a number")]
    + [("maybe", True, None, "true or false"), ("inf", 1, "FLOAT", "a number"), ("x", 1, "INT", "a whole number")],
)
def test_a_cell_of_another_type_is_refused(text: str, current: Any, kind: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        typed(text, current, kind)


def test_filling_touches_what_is_named_and_nothing_else(graph: Graph) -> None:
    before = copy.deepcopy(graph)
    targets = find_targets(graph, ["seed=First.seed", "cfg=First.cfg", "absent=3.text"], INFO)
    row = PromptRow(1, 2, "a horse", {"Seed": "9", "cfg": "", "other": "z"})
    filled = fill(graph, row, targets, INFO)
    assert graph == before
    expected = copy.deepcopy(before)
    expected["1"]["inputs"]["value"], expected["2"]["inputs"]["seed"] = "a horse", 9
    assert filled == expected


def test_a_cell_that_does_not_fit_says_where(graph: Graph) -> None:
    with pytest.raises(EMoEError) as error:
        fill(graph, PromptRow(1, 2, "p", {"seed": "many"}), find_targets(graph, ["seed=First.seed"], INFO), INFO)
    assert str(error.value) == (
        "'many' in column 'seed' is not a whole number, which 'seed' of 'First' (node 2) needs."
    )


# --- workflow files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"nodes": [], "links": []}', "Export"),
        ("[]", "not in ComfyUI's API format"),
        ("{}", "not in ComfyUI's API format"),
        ('{"1": {"inputs": {}}}', "not in ComfyUI's API format"),
        ("{", "not JSON"),
    ],
)
def test_other_files_are_no_workflow(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(content)
    with pytest.raises(EMoEError, match=said):
        load_workflow(path)
    with pytest.raises(EMoEError, match="cannot be read"):
        load_workflow(tmp_path / "none.json")


def test_a_saved_request_is_a_workflow_too(tmp_path: Path, graph: Graph) -> None:
    path = tmp_path / "w.json"
    path.write_text("\ufeff" + json.dumps({"prompt": graph, "client_id": "x"}), encoding="utf-8")
    assert load_workflow(path) == graph


# --- the check against a server ---------------------------------------------------------------------------------------


def test_a_sound_workflow_has_no_findings(graph: Graph) -> None:
    assert findings(graph, INFO) == [] and notes(graph) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g["2"].update(class_type="Gone"), "no node class 'Gone', which 'First' (node 2) is"),
        (lambda g: g["2"]["inputs"].pop("seed"), "The input 'seed' of 'First' (node 2) is missing"),
        (lambda g: g["2"]["inputs"].update(mode="medium"), "does not have 'medium' for 'mode' of 'First'"),
        (lambda g: g["2"]["inputs"].update(extra="z"), "does not have 'z' for 'extra'"),
        (lambda g: g["2"]["inputs"].update(seed=101), "101 is outside 0 to 100"),
        (lambda g: g["2"]["inputs"].update(cfg="much"), "'much' is not a number"),
        (lambda g: g["2"]["inputs"].update(text=["99", 0]), "connected to node 99, which is not in the workflow"),
        (lambda g: g["2"]["inputs"].update(text=["1", 3]), "connected to output 3 of 'Prompt' (node 1)"),
        (lambda g: g.pop("5"), "no output node"),
    ],
)
def test_what_would_fail_is_found(graph: Graph, change: Any, said: str) -> None:
    change(graph)
    (finding,) = findings(graph, INFO)
    assert said in finding and "\n" not in finding


def test_an_uploaded_file_may_be_newer_than_the_list() -> None:
    info = {"Load": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}, "output_node": True}}
    assert findings({"1": node("Load", image="b.png")}, info) == []


def test_a_workflow_without_a_gate_is_noted() -> None:
    assert "no Confidence Gate" in notes({"1": node("SaveImage")})[0]


# --- the books --------------------------------------------------------------------------------------------------------


def row(number: int, prompt: str = "p", **columns: str) -> PromptRow:
    return PromptRow(number, number + 1, prompt, columns)


def job(number: int, **fields: Any) -> Job:
    made = row(number)
    return Job(made, row_key(made), **fields)


def result(number: int, status: str = "ok") -> dict[str, Any]:
    return failed_result(job(number), "x") | {"status": status}


def opened(path: Path, workflow: str = "w", **options: Any) -> Journal:
    journal = Journal(path, workflow)
    journal.open(**options)
    return journal


def test_a_key_tells_rows_apart() -> None:
    keys = [row_key(r) for r in (row(1), row(2), row(1, "q"), row(1, seed="1"), row(1, seed="2"), row(1, a="b"))]
    assert len(set(keys)) == len(keys) and keys[0].startswith("1-") and row_key(row(1)) == keys[0]


def test_results_are_lines_that_a_later_run_knows(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    journal = opened(out)
    journal.write(result(1))
    journal.write(result(2, "blocked"))
    journal.close()
    again = opened(out)
    assert again.finished == {job(1).key: "ok", job(2).key: "blocked"}
    again.write(result(3, "error"))
    again.close()
    assert [json.loads(line)["row"] for line in out.read_text().splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_half_written_last_line_is_taken_away_and_its_row_is_open_again(tmp_path: Path, cut: int) -> None:
    out = tmp_path / "r.jsonl"
    journal = opened(out)
    journal.write(result(1))
    size = out.stat().st_size
    journal.write(result(2))
    journal.close()
    with open(out, "r+b") as file:
        file.truncate(size + cut)
    again = opened(out)
    assert list(again.finished) == [job(1).key] and out.stat().st_size == size
    again.write(result(2))
    again.close()
    assert [json.loads(line)["row"] for line in out.read_text().splitlines()] == [1, 2]


def test_a_whole_last_line_that_lacks_only_its_end_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    out.write_text(json.dumps(result(1)))
    journal = opened(out)
    assert list(journal.finished) == [job(1).key]
    journal.write(result(2))
    journal.close()
    assert [json.loads(line)["row"] for line in out.read_text().splitlines()] == [1, 2]


def test_a_file_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    out.write_text(json.dumps(result(1)) + "\nmy notes\n" + json.dumps(result(2)) + "\n")
    before = out.read_bytes()
    with pytest.raises(EMoEError, match="Line 2 of"):
        opened(out)
    assert out.read_bytes() == before


def test_rows_in_flight_are_remembered_until_their_result_is_written(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    journal, one, two = opened(out), job(1), job(2)
    for flying in (one, two):
        flying.begin("http://a")
        journal.flying(flying)
    journal.write(result(1))
    journal.close()
    again = opened(out)
    assert list(again.flights) == [two.key]
    flight = again.flights[two.key]
    assert (flight.server, flight.prompt_id, flight.attempts) == ("http://a", two.prompt_id, 1)
    assert two.prompt_id == two.prompt_id.lower() and len(two.prompt_id) == 36
    two.clear()
    again.flying(two)
    again.close()
    assert opened(out).flights[two.key].server == ""


def test_a_result_that_was_written_beats_the_state_that_was_not(tmp_path: Path) -> None:
    """The command may die between the two."""
    out = tmp_path / "r.jsonl"
    journal, one = opened(out), job(1)
    one.begin("http://a")
    journal.flying(one)
    state = journal.state_path.read_bytes()
    journal.write(result(1))
    journal.close()
    journal.state_path.write_bytes(state)
    again = opened(out)
    assert again.flights == {} and list(again.finished) == [one.key]
    again.close()


def test_another_workflow_or_another_command_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    journal = opened(out)
    with pytest.raises(EMoEError, match="Another batch is writing"):
        opened(out)
    journal.close()
    with pytest.raises(EMoEError, match="another workflow"):
        opened(out, "other")


def test_a_broken_state_is_an_error_and_no_guess(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    (tmp_path / "r.jsonl.state").write_text('{"flights": {')
    with pytest.raises(EMoEError, match="state file"):
        opened(out)


def test_errors_are_done_again_only_when_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    journal = opened(out)
    for number, status in ((1, "ok"), (2, "error"), (3, "blocked")):
        journal.write(result(number, status))
    journal.close()
    plain = opened(out)
    assert len(plain.finished) == 3
    plain.close()
    again = opened(out, retry_errors=True)
    assert set(again.finished.values()) == {"ok", "blocked"}
    again.write(result(2))
    with pytest.raises(EMoEError, match="Another batch"):
        opened(out)
    again.close()
    assert [json.loads(line)["row"] for line in out.read_text().splitlines()] == [1, 3, 2]


def test_the_fingerprint_is_of_graph_and_targets(graph: Graph) -> None:
    other = copy.deepcopy(graph)
    other["2"]["inputs"]["seed"] = 4
    target = [Target("prompt", "1", "value")]
    prints = {fingerprint(graph, target), fingerprint(other, target), fingerprint(graph, [])}
    assert len(prints) == 3 and fingerprint(copy.deepcopy(graph), target) in prints


# --- from history to a line -------------------------------------------------------------------------------------------


def verdict(passed: bool, score: float, **more: Any) -> dict[str, Any]:
    said = "pass" if passed else "block"
    return {
        "verdict": said,
        "passed": passed,
        "score": score,
        "p_value": 0.5,
        "percentile": 0.4,
        "reason": said,
        **more,
    }


def history(*verdicts: dict[str, Any], status: str = "success", messages: Any = (), **outputs: Any) -> dict[str, Any]:
    gate = {"gate": {"text": ["x"], "emoe": list(verdicts), "files": [{"filename": "v.json", "subfolder": "e"}]}}
    return {"outputs": (gate if verdicts else {}) | outputs, "status": {"status_str": status, "messages": messages}}


GATED: Graph = {"gate": node("EMoE_Gate")}
RAISED = ("execution_error", {"node_id": "4", "node_type": "Stop", "exception_type": "x.PromptBlocked"})


def line(entry: dict[str, Any], graph: Graph = GATED, refused: str | None = None) -> dict[str, Any]:
    return row_result(job(1, attempts=2, server="http://a", prompt_id="id"), entry, graph, 1.5, refused)


def test_a_passed_row_has_its_verdict_images_and_files() -> None:
    image = {"filename": "i.png", "subfolder": "s", "type": "output"}
    made = line(history(verdict(True, 0.25), save={"images": [image], "animated": [False]}))
    assert (made["status"], made["verdict"], made["passed"], made["score"]) == ("ok", "pass", True, 0.25)
    assert (made["p_value"], made["percentile"], made["reason"], made["error"]) == (0.5, 0.4, "pass", None)
    assert made["images"] == [{"server": "http://a", **image}]
    assert made["files"] == [{"server": "http://a", "filename": "v.json", "subfolder": "e", "type": ""}]
    assert (made["server"], made["prompt_id"], made["attempts"], made["seconds"]) == ("http://a", "id", 2, 1.5)
    assert "items" not in made


def test_a_score_card_is_no_result_and_another_preview_is() -> None:
    card = {"images": [{"filename": "card.png", "subfolder": "", "type": "temp"}], "emoe_card": [{}]}
    preview = {"images": [{"filename": "p.png", "subfolder": "", "type": "temp"}]}
    made = line(history(verdict(True, 0.25), score=card, shown=preview))
    assert [image["filename"] for image in made["images"]] == ["p.png"]


def test_a_blocked_row_is_no_error_even_when_stop_ends_it_with_one() -> None:
    assert line(history(verdict(False, 9.0)))["status"] == "blocked"
    made = line(history(verdict(False, 9.0), status="error", messages=[RAISED]))
    assert (made["status"], made["error"]) == ("blocked", None)


def test_observe_is_ok_with_the_verdict_it_would_have_had() -> None:
    made = line(history(verdict(False, 9.0) | {"passed": True}))
    assert (made["status"], made["verdict"], made["passed"]) == ("ok", "block", True)


def test_several_items_are_all_kept_and_the_worst_speaks() -> None:
    made = line(history(verdict(True, 5.0), verdict(False, 2.0), verdict(False, 3.0)))
    assert (made["status"], made["score"], made["passed"], made["verdict"]) == ("blocked", 3.0, False, "block")
    assert [item["score"] for item in made["items"]] == [5.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            history(
                status="error",
                messages=[
                    ["execution_start", {}],
                    [
                        "execution_error",
                        {"node_id": "8", "node_type": "KSampler", "exception_message": "bad news\nmore"},
                    ],
                ],
            ),
            "KSampler (node 8): bad news",
        ),
        (
            history(
                status="error",
                messages=[
                    [
                        "execution_error",
                        {"node_id": "8", "node_type": "N", "exception_message": "'k'", "exception_type": "KeyError"},
                    ]
                ],
            ),
            "N (node 8): KeyError 'k'",
        ),
        (history(status="error", messages=[["execution_interrupted", {"node_id": "8"}]]), "interrupted on the server"),
        (history(status="error"), "does not say why"),
        (history(), "without a verdict"),
    ],
)
def test_what_could_not_be_scored_is_one_sentence(entry: dict[str, Any], said: str) -> None:
    made = line(entry)
    assert made["status"] == "error" and said in made["error"] and "\n" not in made["error"]


def test_a_failure_behind_a_passed_gate_is_an_error_that_keeps_the_verdict() -> None:
    raised = ["execution_error", {"node_id": "8", "node_type": "KSampler", "exception_message": "out of memory"}]
    made = line(history(verdict(True, 1.0), status="error", messages=[raised]))
    assert (made["status"], made["verdict"], made["score"]) == ("error", "pass", 1.0)
    assert line(history(verdict(True, 1.0)), refused="not all of it")["error"] == "not all of it"


@pytest.mark.parametrize(
    "garbage",
    [
        {"verdict": 5, "score": "NaN", "passed": "maybe"},
        verdict(True, 1.0) | {"passed": "maybe"},
        verdict(True, 1.0) | {"passed": 1},
        verdict(True, 1.0) | {"verdict": ["pass"]},
        verdict(True, 1.0) | {"score": "0.1"},
        verdict(True, 1.0) | {"score": True},
        verdict(True, 1.0) | {"score": 10**400},
        verdict(True, 1.0) | {"p_value": {}},
        verdict(True, float("nan")),
        {},
        5,
    ],
)
def test_a_verdict_that_no_gate_gives_is_an_error_and_no_pass(garbage: Any) -> None:
    for entry in (history(garbage), history(verdict(True, 1.0), garbage)):
        made = line(entry)
        assert (made["status"], made["passed"], made["score"]) == ("error", None, None)
        assert "no Confidence Gate gives" in made["error"]


def test_odd_histories_are_one_sentence() -> None:
    deep: Any = []
    for _ in range(3000):
        deep = [deep]
    for entry in (
        {"outputs": {"g": {"emoe": 5, "images": 7}}, "status": {"messages": 7}},
        {"outputs": {"g": {"emoe": [verdict(True, 1.0, more=deep)]}}, "status": {}},
        history(verdict(True, 1.0), messages=[["execution_start", {"timestamp": 10**400}], 5, ["x"], [deep, deep]]),
        {"outputs": 5, "status": [1]},
    ):
        made = line(entry)
        json.dumps(made, allow_nan=False)
        assert made["error"] is None or "\n" not in made["error"]


def test_a_verdict_of_another_prompt_is_an_error() -> None:
    """The row's text went to the wrong place: its score is not the row's."""
    made = line(history(verdict(True, 1.0, prompt="rainbowdogsunflower\n" * 3000)), GATED)
    assert (made["status"], made["score"], made["verdict"]) == ("error", None, None)
    assert "does not hold the row's text" in made["error"] and len(made["error"]) < 1000
    for prompt in ("p", "a p, best quality", ""):
        assert line(history(verdict(True, 1.0, prompt=prompt)))["status"] == "ok"
    assert line(history(verdict(True, 1.0, prompt="x"), verdict(True, 2.0, prompt="p")))["status"] == "ok"


def test_a_workflow_without_a_gate_needs_no_verdict() -> None:
    made = line(history(), {"s": node("SaveImage")})
    assert (made["status"], made["passed"], made["verdict"]) == ("ok", None, None)


def test_the_seconds_are_the_servers_own_where_it_tells_them() -> None:
    times = [["execution_start", {"timestamp": 1000}], ["execution_success", {"timestamp": 4250}]]
    assert line(history(verdict(True, 1.0), messages=times))["seconds"] == 3.25


def test_a_line_is_strict_json_whatever_the_score() -> None:
    made = line(history(verdict(True, float("nan"), items=[{"score": float("inf")}])))
    assert json.loads(json.dumps(made, allow_nan=False))["score"] is None


# --- the command line -------------------------------------------------------------------------------------------------


def command(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emoe_core", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="cp1252",
        timeout=180,
    )


def test_the_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, runpy, builtins\n"
        "sys.argv = ['emoe_core', 'batch', '--help']\n"
        "try: runpy.run_module('emoe_core', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "print([m for m in ('torch', 'numpy', 'aiohttp', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "--dry-run" in done.stdout and done.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--prompts": "none.txt"}, "'none.txt' cannot be read"),
        ({"--workflow": "none.json"}, "'none.json' cannot be read"),
        ({"--out": "p.txt"}, "which is read"),
        ({"--out": None}, "give --out"),
        ({"--server": ","}, "names no server"),
        ({"--server": "127.0.0.1:1"}, "No ComfyUI answers at http://127.0.0.1:1"),
    ],
)
def test_input_that_cannot_be_used_ends_in_one_sentence_and_2(
    tmp_path: Path, graph: Graph, change: dict[str, str | None], said: str
) -> None:
    (tmp_path / "p.txt").write_text("馬\n", encoding="utf-8")
    (tmp_path / "w.json").write_text(json.dumps(graph))
    given = {
        "--server": "http://127.0.0.1:1",
        "--workflow": "w.json",
        "--prompts": "p.txt",
        "--out": "o.jsonl",
    } | change
    args = [part for name, value in given.items() if value is not None for part in (name, value)]
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from emoe_core.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "batch", *args, "--give-up", "0", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and json.loads(done.stdout)["exit_code"] == 2
    assert not (tmp_path / "o.jsonl").exists()


def test_an_unknown_command_or_value_is_a_usage_error() -> None:
    assert command("nothing").returncode == 2
    assert "whole number" in command("batch", "--in-flight", "0").stderr
    assert command("--version").stdout.startswith("emoe ")


def test_addresses_are_kept_in_one_form() -> None:
    assert [normal_url(u) for u in ("127.0.0.1:8188", "http://h/", " https://h/comfy/ ")] == [
        "http://127.0.0.1:8188",
        "http://h",
        "https://h/comfy",
    ]


def test_files_that_never_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EMoEError, match="cannot be read"):
        load_workflow("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EMoEError, match="no regular file"):
        ResultsFile(tmp_path / "pipe", bool, "batch")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(EMoEError, match="nested too deeply"):
        load_workflow(tmp_path / "deep.json")
