"""Which nodes count as run, from recorded socket messages; the live counterpart is in tests/server."""

from __future__ import annotations

import pytest
from emoe_host.client import Graph, Result, record, refusal

GRAPH: Graph = {
    "1": {"class_type": "Source", "inputs": {}},
    "2": {"class_type": "Switch", "inputs": {}},
    "3": {"class_type": "Pass", "inputs": {}},
    "4": {"class_type": "SaveImage", "inputs": {}},
}


def replay(*events: tuple[str, dict]) -> Result:
    result = Result("p", GRAPH, frozenset({"SaveImage"}))
    for event, data in events:
        record(result, event, data)
    return result


def announce(*nodes: str) -> list[tuple[str, dict]]:
    return [("executing", {"node": node}) for node in nodes]


def test_an_output_node_that_showed_something_ran() -> None:
    result = replay(*announce("1", "4"), ("executed", {"node": "4", "output": {"images": [{"filename": "a.png"}]}}))
    assert result.nodes_run == ["1", "4"] and result.classes_run == ["Source", "SaveImage"]


def test_an_announced_output_node_that_showed_nothing_did_not() -> None:
    result = replay(*announce("1", "2", "4"))
    assert result.nodes_run == ["1", "2"] and result.was_announced("4") and not result.did_run("4")


def test_a_cached_node_did_not_run_though_it_is_shown() -> None:
    result = replay(("execution_cached", {"nodes": ["1", "4"]}), ("executed", {"node": "4", "output": None}))
    assert result.nodes_run == [] and result.cached == ["1", "4"]


def test_a_node_with_lazy_inputs_is_counted_once() -> None:
    assert replay(*announce("2", "1", "2")).nodes_run == ["2", "1"]


def test_the_end_message_is_no_node() -> None:
    assert replay(*announce("1"), ("executing", {"node": None})).nodes_run == ["1"]


def test_a_node_blocked_with_a_message_did_not_run() -> None:
    blocked = {"node_id": "3", "exception_type": "ExecutionBlocked", "exception_message": "Execution Blocked: no"}
    result = replay(*announce("1", "3"), ("execution_error", blocked))
    assert result.nodes_run == ["1"] and not result.ok and result.error == "Execution Blocked: no"


def test_a_node_that_raised_did_run() -> None:
    raised = {"node_id": "4", "exception_type": "ValueError", "exception_message": "bad\n"}
    result = replay(*announce("1", "4"), ("execution_error", raised))
    assert result.nodes_run == ["1", "4"] and result.error == "bad"


@pytest.mark.parametrize(
    ("message", "line"), [("the file is cut\n\nmore", "Load: the file is cut"), ("'key'", "Load: KeyError 'key'")]
)
def test_an_error_in_one_line(message: str, line: str) -> None:
    result = replay()
    result.errors = [{"node_type": "Load", "exception_type": "builtins.KeyError", "exception_message": message}]
    assert result.error_line == line


def test_kept_images_are_told_from_previews() -> None:
    result = replay()
    kept = {"filename": "a.png", "subfolder": "s", "type": "output"}
    result.history = {"outputs": {"4": {"images": [kept]}, "9": {"images": [{"filename": "t.png", "type": "temp"}]}}}
    assert result.images == [kept]


def test_a_refused_graph_names_the_node_and_the_input() -> None:
    reply = {
        "error": {"message": "Prompt outputs failed validation"},
        "node_errors": {"4": {"errors": [{"message": "Required input is missing", "details": "images"}]}},
    }
    assert refusal(GRAPH, reply) == "node 4 (SaveImage): Required input is missing (images)"
    assert refusal(GRAPH, {"error": {"message": "Prompt has no outputs"}, "node_errors": {}}) == "Prompt has no outputs"
