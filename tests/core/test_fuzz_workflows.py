"""API graphs of any shape, and histories that no server should send: a target or one sentence, a line of results in any case."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from emoe_testing.fuzz import JSON, TEXT, nested, outcome
from hypothesis import example, given
from hypothesis import strategies as st

from emoe_core.errors import LONGEST, EMoEError, plain
from emoe_core.prompts import PromptRow
from emoe_core.remote.check import findings
from emoe_core.remote.results import row_result
from emoe_core.remote.server import Job
from emoe_core.remote.workflow import ENCODER, TEXT_INPUTS, TEXT_NODES, fill, find_targets, fingerprint, load_workflow

Graph = dict[str, Any]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        yield Path(made)


IDS = st.sampled_from(("1", "2", "3", "\ud800", ""))
INPUTS = st.dictionaries(
    st.sampled_from((*TEXT_INPUTS, "seed", "a.b", "\0")),
    st.one_of(st.tuples(IDS, st.integers(-1, 2)).map(list), TEXT, JSON),
    max_size=3,
)
NODE = st.fixed_dictionaries(
    {
        "class_type": st.sampled_from((ENCODER, *TEXT_NODES, "StringConcatenate", "EMoE_Gate", "\ud800")),
        "inputs": INPUTS,
    },
    optional={"_meta": st.one_of(JSON, st.fixed_dictionaries({"title": st.one_of(st.just("Prompt"), JSON)}))},
)
GRAPHS = st.one_of(
    st.dictionaries(IDS, NODE, min_size=1, max_size=4),
    st.dictionaries(IDS, NODE | JSON, max_size=3),
    st.dictionaries(IDS, NODE, max_size=3).map(lambda graph: {"prompt": graph}),
    st.fixed_dictionaries({"nodes": JSON}),
    JSON,
)
SETS = st.lists(
    st.one_of(
        TEXT,
        st.tuples(st.sampled_from(("prompt", "seed", " Prompt", "x")), IDS, TEXT).map(
            lambda p: f"{p[0]}={p[1]}.{p[2]}"
        ),
    ),
    max_size=2,
)
#: What a server that is no ComfyUI may say of its nodes.
SPEC = st.one_of(
    JSON,
    st.tuples(
        st.sampled_from(("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", ["a", "b"])) | JSON,
        JSON | st.dictionaries(st.sampled_from(("min", "max", "options", "image_upload")), JSON),
    ).map(list),
)
GROUPS = st.dictionaries(
    st.sampled_from(("required", "optional")), JSON | st.dictionaries(st.sampled_from((*TEXT_INPUTS, "seed")), SPEC)
)
INFO = st.dictionaries(
    st.sampled_from((ENCODER, "StringConcatenate", "EMoE_Gate")),
    JSON | st.fixed_dictionaries({"input": JSON | GROUPS, "output": JSON, "output_node": JSON}),
    max_size=2,
)
CONCATENATED = {
    "1": {"class_type": ENCODER, "inputs": {"text": ["2", 0]}},
    "2": {
        "class_type": "StringConcatenate",
        "inputs": {"string_a": ["3", 0], "string_b": ["3", 0], "delimiter": "dog"},
    },
    "3": {"class_type": "ShowText", "inputs": {"text": ["2", 0], "text_0": "old"}},
}


@given(GRAPHS, SETS, INFO, TEXT, st.dictionaries(st.sampled_from(("seed", "x")), TEXT))
@example(CONCATENATED, [], {}, "dog", {})
@example({"1": {"class_type": ENCODER, "inputs": {"text": ["1", 0]}}}, [], {}, "dog", {})
@example({"1": {"class_type": ENCODER, "inputs": {"text": "", "x": 1.5}}}, ["x=1.x"], {}, "dog", {"x": "9" * 5000})
@example({"1": {"class_type": ENCODER, "inputs": {"text": "", "x": 1}}}, ["x=1.x"], {}, "dog", {"x": "1e400"})
@example(
    {"1": {"class_type": ENCODER, "inputs": {"seed": 10**400}}},
    [],
    {ENCODER: {"input": {"required": {"seed": ["INT"]}}}},
    "",
    {},
)
@example(
    {"1": {"class_type": ENCODER, "inputs": {"text": "x" * 30_000_000}, "_meta": {"title": "y" * 30_000}}},
    ["="],
    {},
    "",
    {},
)
def test_a_row_fills_its_targets_and_nothing_else(
    folder: Path, graph: Any, sets: list[str], info: Any, prompt: str, columns: dict[str, str]
) -> None:
    path = folder / "w.json"
    path.write_text(json.dumps(graph), encoding="utf-8")
    row = PromptRow(1, 1, prompt, columns)

    def filled() -> tuple[Graph, Graph, Any]:
        read = load_workflow(path)
        before = copy.deepcopy(read)
        assert all(said == plain(said) for said in findings(read, info))
        targets = find_targets(read, sets, info)
        made = fill(read, row, targets, info)
        assert repr(read) == repr(before)
        assert fingerprint(read, targets) == fingerprint(before, targets)
        return read, made, targets

    found = outcome(filled)
    if found is not None:
        read, made, targets = found
        json.loads(json.dumps(made))
        places = {(target.node, target.input) for target in targets}
        for node, body in made.items():
            for name, value in body["inputs"].items():
                assert (node, name) in places or repr(value) == repr(read[node]["inputs"][name])


@pytest.mark.parametrize("depth", [90, 150, 320, 400, *range(900, 1000, 7), 3000, 200_000])
@pytest.mark.parametrize("where", ["value", "title", "graph"])
def test_a_deep_workflow_is_used_or_refused(folder: Path, depth: int, where: str) -> None:
    deep = nested(depth)
    text = {
        "value": f'{{"1": {{"class_type": "{ENCODER}", "inputs": {{"text": "a", "b": {deep}}}}}}}',
        "title": f'{{"1": {{"class_type": "{ENCODER}", "inputs": {{"text": "a"}}, "_meta": {{"title": {deep}}}}}}}',
        "graph": deep,
    }[where]
    path = folder / "deep.json"
    path.write_text(text, encoding="utf-8")

    def filled() -> Graph:
        graph = load_workflow(path)
        return fill(
            graph, PromptRow(1, 1, "dog"), find_targets(graph, ["x=Nothing.text"] if where == "title" else [], {}), {}
        )

    outcome(filled)


VERDICT = {"verdict": "pass", "passed": True, "score": 0.1, "prompt": "dog"}
ENTRY = st.one_of(
    st.dictionaries(st.sampled_from(("outputs", "status", "prompt")), JSON),
    st.fixed_dictionaries(
        {
            "outputs": st.dictionaries(
                IDS, st.dictionaries(st.sampled_from(("emoe", "images", "files", "emoe_card")), JSON)
            ),
            "status": JSON,
        }
    ),
    st.dictionaries(st.sampled_from([*VERDICT]), JSON).map(
        lambda odd: {"outputs": {"1": {"emoe": [{**VERDICT, **odd}]}}}
    ),
    st.tuples(st.sampled_from(("execution_error", "execution_interrupted", "execution_start")), JSON).map(
        lambda message: {"status": {"messages": [list(message)]}}
    ),
    st.dictionaries(
        st.sampled_from(("exception_message", "exception_type", "node_type", "node_id", "timestamp")), JSON
    ).map(lambda data: {"status": {"messages": [["execution_error", data], ["execution_error", data]]}}),
)


@given(ENTRY)
@example({"outputs": {"1": {"emoe": [{"verdict": 5, "score": "NaN", "passed": "maybe"}]}}})
@example({"outputs": {"1": {"emoe": [{**VERDICT, "score": 10**400}]}}})
@example({"status": {"messages": [["execution_error", {"exception_message": "\ud800 \x1b[2J" * 9000}]]}})
def test_every_history_becomes_a_line_of_results(entry: dict[str, Any]) -> None:
    job = Job(PromptRow(1, 1, "dog"), "k", 1, "http://127.0.0.1", "p")
    line = outcome(lambda: row_result(job, entry, {"1": {"class_type": "EMoE_Gate", "inputs": {}}}, 1.0))
    assert line is not None and line["status"] in ("ok", "blocked", "error")
    json.dumps(line, allow_nan=False)
    assert (line["status"] == "error") == (line["error"] is not None)
    if line["error"]:
        assert line["error"] == plain(line["error"])
    if line["status"] == "ok":
        assert (
            line["passed"] is True and line["verdict"] in ("pass", "block") and isinstance(line["score"], (int, float))
        )


@given(st.text(st.characters(codec=None), max_size=50), st.integers(1, 400), st.integers(20, 60))
@example("\ud800", 1, 20)
@example("\x1b[2J", 1000, 300)
@example("x" * 30_000_000, 1, LONGEST)
def test_plain_text_is_bearable_and_stays_as_it_is(text: str, times: int, longest: int) -> None:
    said = plain(text * times, longest)
    said.encode("utf-8")
    assert len(said) <= longest and said.isprintable() or not any(ord(letter) < 32 for letter in said)
    assert plain(said, longest) == said
    assert str(EMoEError(text)) == plain(text)
