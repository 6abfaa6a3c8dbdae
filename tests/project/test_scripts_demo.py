"""The demo's own pieces: prompts by rule, graphs filled by class, figures taken from a result, a table that lines up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from emoe_host import HostError, demo, graphs
from emoe_host.client import Result
from emoe_host.prepare import Host

GATE = {"schema": 1, "score": 0.25, "percentile": 0.5, "p_value": 0.4, "verdict": "pass"}


def graph() -> graphs.Graph:
    return {
        "7": {"class_type": "EMoE_DemoExperts", "inputs": {}},
        "8": {"class_type": "EMoE_EncodeForExperts", "inputs": {"experts": ["7", 0], "text": "cat"}},
        "9": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["7", 2], "text": ""}},
        "3": {"class_type": "EMoE_Score", "inputs": {"preset": "fast"}},
        "4": {"class_type": "EMoE_Gate", "inputs": {"filename_prefix": "emoe/verdict"}},
        "5": {"class_type": "SaveImage", "inputs": {"filename_prefix": "old"}},
    }


def result(outputs: dict, errors: list | None = None) -> Result:
    found = Result("p", graph(), frozenset({"SaveImage", "EMoE_Gate"}), announced=["7", "8", "3", "4"])
    found.executed = {"4": {"text": ["pass"]}}
    found.history = {"status": {"status_str": "success"}, "outputs": outputs}
    found.errors = errors or []
    return found


def test_prompts_are_chosen_at_even_distances(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    lists = {key: [f"{key} {i}" for i in range(60)] for key, _, _ in demo.GROUPS}
    path.write_text(json.dumps(lists))
    chosen = demo.choose_prompts(path)
    assert [prompt for group, prompt in chosen if group == "English"] == ["fresh 10", "fresh 30", "fresh 50"]
    assert ("nonsense", "nonsense 30") in chosen and len(chosen) == sum(count for _, _, count in demo.GROUPS)


def test_a_missing_group_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"fresh": ["a", "b", "c"]}))
    with pytest.raises(HostError, match="0 prompts in the group 'fr'"):
        demo.choose_prompts(path)
    with pytest.raises(HostError, match="cannot be read"):
        demo.choose_prompts(tmp_path / "none.json")


def test_a_graph_is_filled_and_the_original_left_alone() -> None:
    before = graph()
    filled = graphs.filled(before, "röd bil", "gate/English-röd-bil", preset="paper")
    assert filled["8"]["inputs"]["text"] == "röd bil" and filled["9"]["inputs"]["text"] == ""
    assert filled["5"]["inputs"]["filename_prefix"] == "gate/English-röd-bil"
    assert filled["4"]["inputs"]["filename_prefix"] == "gate/English-röd-bil-verdict"
    assert filled["3"]["inputs"]["preset"] == "paper"
    assert before == graph()


def test_the_prompt_reaches_a_text_node_that_feeds_the_encoder() -> None:
    linked = graph() | {"1": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "cat"}}}
    linked["8"]["inputs"]["text"] = ["1", 0]
    assert graphs.filled(linked, "dog", "x")["1"]["inputs"]["value"] == "dog"
    linked["1"]["inputs"]["other"] = "two fields"
    with pytest.raises(HostError, match="no single text field"):
        graphs.filled(linked, "dog", "x")


def test_a_sampler_with_the_same_words_gets_the_new_ones() -> None:
    twice = graph()
    twice["10"] = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["7", 2], "text": "cat"}}
    filled = graphs.filled(twice, "dog", "x")
    assert (filled["10"]["inputs"]["text"], filled["9"]["inputs"]["text"]) == ("dog", "")


def test_a_workflow_that_is_not_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot be read"):
        graphs.load("none", tmp_path)
    (tmp_path / "ui.json").write_text('{"nodes": [], "version": 0.4}')
    (tmp_path / "cut.json").write_text('{"1": ')
    with pytest.raises(HostError, match="is not JSON"):
        graphs.load("cut", tmp_path)
    with pytest.raises(HostError, match="not in API format"):
        graphs.load("ui", tmp_path)
    with pytest.raises(HostError, match="one EMoE_EncodeForExperts node and has 0"):
        graphs.set_prompt({}, "x")


def test_a_verdict_is_read_from_the_history(tmp_path: Path) -> None:
    run = demo.Run("w", "cat", "English")
    image = {"filename": "a.png", "subfolder": "s", "type": "output"}
    demo.read_result(run, result({"4": {"emoe": [GATE]}, "5": {"images": [image]}}), tmp_path)
    assert (run.score, run.percentile, run.p_value, run.verdict) == (0.25, 0.5, 0.4, "pass")
    assert run.images == [str(tmp_path / "s" / "a.png")] and run.error is None
    assert run.nodes_run == ["EMoE_DemoExperts", "EMoE_EncodeForExperts", "EMoE_Score", "EMoE_Gate"]


def test_no_verdict_and_an_error_are_failures(tmp_path: Path) -> None:
    silent, raised = demo.Run("w", "cat", "g"), demo.Run("w", "cat", "g")
    demo.read_result(silent, result({}), tmp_path)
    demo.read_result(
        raised, result({}, [{"node_id": "3", "node_type": "N", "exception_message": "it is bad\nmore"}]), tmp_path
    )
    assert silent.error == "the workflow ended without a verdict" and raised.error == "N: it is bad"
    assert silent.verdict == raised.verdict == "error"


def test_the_table_lines_up_in_every_script(tmp_path: Path) -> None:
    heads = demo.table_head()
    for prompt in ("cat", "ねこ", "a prompt that is far too long for its column", "кошка"):
        line = demo.table_line(demo.Run("w", prompt, "group", 0.5, 0.5, 0.1, "pass"), tmp_path)
        assert demo.width(line.rsplit("-", 1)[0]) == len(heads) - len("image")
    assert " - " in demo.table_line(demo.Run("w", "cat", "g", float("nan")), tmp_path)


def test_the_summary_counts_each_fate(tmp_path: Path) -> None:
    runs = [
        demo.Run("w", "a", "g", verdict="pass", images=["x.png"]),
        demo.Run("w", "b", "g", verdict="block"),
        demo.Run("w", "c", "g", verdict="block", images=["y.png"]),
        demo.Run("w", "d", "g", error="bad"),
    ]
    line = demo.summary(runs, tmp_path, 12.3)
    assert line.startswith(
        "4 runs in 12 s: 1 passed and drawn, 1 blocked before any sampling, 1 blocked and rerouted, 1 failed."
    )


def test_the_json_has_the_agreed_shape(tmp_path: Path) -> None:
    path = tmp_path / "new" / "demo.json"
    demo.write_json(path, Host(Path("/c"), Path("/p"), "0.3.75", "x"), [demo.Run("w", "猫", "g", verdict="block")])
    written = json.loads(path.read_text("utf-8"))
    assert written["comfyui"] == "0.3.75"
    assert set(written["runs"][0]) == {
        *("workflow", "prompt", "group", "score", "percentile", "p_value"),
        *("verdict", "images", "nodes_run", "titles_run", "seconds"),
    }
