"""The gate on a live server: what runs, what does not, and what every client finds afterwards."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emoe_host.client import GraphRefused, Result
from emoe_testing.checkpoints import make_sd15
from emoe_testing.graphs import BLOCK, PASS, Graph, gate, gated, generated, node, save, scored

Run = Callable[..., Result]


def test_a_passed_prompt_is_drawn(run: Run, tag: str) -> None:
    result = run(gated(PASS, tag))
    assert result.ok, result.errors
    assert len(result.images) == 1
    assert all(result.did_run(n) for n in ("score", "gate", "sampler", "picture", "save"))
    assert result.outputs["gate"]["emoe"][0]["verdict"] == "pass"


def test_of_a_blocked_prompt_nothing_is_even_announced(run: Run, tag: str) -> None:
    result = run(gated(BLOCK, tag))
    assert result.ok and not result.images
    assert result.did_run("score") and result.did_run("gate")
    assert not any(result.was_announced(n) for n in ("negative", "sampler", "picture"))
    assert not result.did_run("save")
    assert result.outputs["gate"]["emoe"][0]["verdict"] == "block"


@pytest.mark.parametrize(("threshold", "taken"), [(PASS, "main"), (BLOCK, "fallback")])
def test_reroute_touches_one_branch_only_its_loader_included(
    server: Any, run: Run, tag: str, threshold: float, taken: str
) -> None:
    graph = {
        **scored(),
        "gate": gate(threshold),
        "main_loader": node("RecorderImage", tag=f"{tag} main", value=0.1),
        "main": node("RecorderPass", tag=f"{tag} main", anything=["main_loader", 0]),
        "fallback_loader": node("RecorderImage", tag=f"{tag} fallback", value=0.9),
        "fallback": node("RecorderPass", tag=f"{tag} fallback", anything=["fallback_loader", 0]),
        "route": node("EMoE_Route", passed=["gate", 0], on_pass=["main", 0], on_block=["fallback", 0]),
        "save": save("route", tag),
    }
    other = "fallback" if taken == "main" else "main"
    result = run(graph)
    assert result.ok and len(result.images) == 1 and result.did_run("save")
    assert server.called(f"{tag} {taken}") == ["RecorderImage", "RecorderPass"]
    assert server.called(f"{tag} {other}") == []
    assert not result.was_announced(f"{other}_loader")


def test_route_on_the_model_keeps_the_sampler_from_being_called(server: Any, run: Run, tag: str) -> None:
    """The gate hung upstream: nodes behind the blocker are announced, and none of them is called."""
    graph = {
        **scored(),
        "gate": gate(BLOCK),
        "loader": node("RecorderImage", tag=tag, value=0.5),
        "route": node("EMoE_Route", passed=["gate", 0], on_pass=["loader", 0]),
        "work": node("RecorderPass", tag=tag, anything=["route", 0]),
        "sink": node("RecorderSink", tag=tag, anything=["work", 0]),
    }
    result = run(graph)
    assert result.ok and server.called(tag) == []
    assert not result.did_run("sink") and not result.was_announced("loader")


@pytest.mark.parametrize("on_block", ["silent", "error"])
def test_stop(server: Any, run: Run, tag: str, on_block: str) -> None:
    def graph(threshold: float) -> Graph:
        return {
            **scored(),
            "gate": gate(threshold),
            "loader": node("RecorderImage", tag=tag, value=0.5),
            "stop": node("EMoE_Stop", value=["loader", 0], passed=["gate", 0], on_block=on_block),
            "sink": node("RecorderSink", tag=tag, anything=["stop", 0]),
        }

    blocked = run(graph(BLOCK))
    assert server.called(tag) == []
    if on_block == "silent":
        assert blocked.status == "success" and not blocked.errors
    else:
        assert blocked.status == "error"
        assert (
            blocked.error
            == "EMoE: the Gate blocked this prompt, and Stop or Skip by Gate was set to end the run with an error."
        )
        assert blocked.errors[0]["exception_type"] == "emoe_core.errors.PromptBlocked"
    assert blocked.outputs["gate"]["emoe"][0]["verdict"] == "block"
    assert run(graph(PASS)).ok and server.called(tag) == ["RecorderImage", "RecorderSink"]


def test_the_verdict_is_in_the_history_and_in_a_file_also_when_all_is_cached(server: Any, run: Run, tag: str) -> None:
    graph = gated(BLOCK, tag)
    first, second = run(graph), run(graph)
    for result in (first, second):
        entry = result.outputs["gate"]
        verdict = entry["emoe"][0]
        assert verdict["schema"] == 1 and verdict["verdict"] == "block" and verdict["passed"] is False
        assert {"score", "percentile", "p_value", "threshold", "reason", "fingerprint", "items"} <= verdict.keys()
        assert len(entry["text"]) == 1 and entry["text"][0].startswith("block: ") and tag in entry["text"][0]
        (file,) = entry["files"]
        kept = json.loads((Path(server.output) / file["subfolder"] / file["filename"]).read_text("utf-8"))
        assert {key: kept[key] for key in verdict} == verdict and kept["report"]["prompt"] == tag
        assert result.status == "success"
    assert first.outputs["gate"]["emoe"] == second.outputs["gate"]["emoe"]
    listed = json.loads(urllib.request.urlopen(f"{server.url}/history/{second.prompt_id}").read())
    assert listed[second.prompt_id]["outputs"]["gate"]["emoe"][0] == first.outputs["gate"]["emoe"][0]


def test_a_client_without_a_socket_finds_the_verdict_too(run: Run, tag: str) -> None:
    result = run(gated(PASS, tag), follow=False)
    assert result.status == "success" and len(result.images) == 1
    assert result.outputs["gate"]["emoe"][0]["verdict"] == "pass" and result.files("files")


def test_observe_records_a_block_and_lets_it_pass(default_server: Any, tag: str) -> None:
    graph = gated(BLOCK, tag)
    graph["gate"]["inputs"]["mode"] = "observe"
    result = default_server.run(graph)
    verdict = result.outputs["gate"]["emoe"][0]
    assert len(result.images) == 1 and (verdict["verdict"], verdict["passed"]) == ("block", True)


def test_an_item_of_a_list_is_blocked_alone(server: Any, run: Run, tag: str) -> None:
    graph = {
        "flags": node("RecorderBooleans", tag=f"{tag} flags", words="yes no yes"),
        "picture": node("RecorderImage", tag=f"{tag} picture", value=0.5),
        "route": node("EMoE_Route", passed=["flags", 0], on_pass=["picture", 0]),
        "save": save("route", tag),
    }
    result = run(graph)
    assert result.ok and len(result.images) == 2


def test_a_list_of_prompts_is_scored_and_gated_prompt_by_prompt(run: Run, tag: str) -> None:
    def graph(threshold: float) -> Graph:
        made = {**gated(threshold, tag), "prompts": node("RecorderStrings", tag=tag, lines=f"{tag}\nrainbow\nhorse")}
        made["text"]["inputs"]["text"] = ["prompts", 0]
        return made

    verdicts = run(graph(PASS)).outputs["gate"]["emoe"]
    assert [v["prompt"] for v in verdicts] == [tag, "rainbow", "horse"]
    assert len({v["score"] for v in verdicts}) == 3, verdicts
    scores = sorted(v["score"] for v in verdicts)
    result = run(graph(scores[1]))
    assert sorted(v["verdict"] for v in result.outputs["gate"]["emoe"]) == ["block", "pass", "pass"]
    assert len(result.images) == 2 and len(result.outputs["gate"]["files"]) == 3


@pytest.mark.parametrize("words", ["yes no yes", "yes yes yes", "no no no", "yes"])
def test_filter_list_keeps_lists_aligned_and_bears_an_empty_side(server: Any, run: Run, tag: str, words: str) -> None:
    flags = [word == "yes" for word in words.split()]
    names = [f"{tag} {i}" for i in range(len(flags))]
    graph = {
        "flags": node("RecorderBooleans", tag=f"{tag} flags", words=words),
        "names": node("RecorderStrings", tag=f"{tag} names", lines="\n".join(names)),
        "one": node("RecorderImage", tag=f"{tag} one", value=0.5),
        "filter": node("EMoE_FilterList", passed=["flags", 0], list_1=["names", 0], list_2=["one", 0]),
        "good": node("PreviewAny", source=["filter", 0]),
        "bad": node("PreviewAny", source=["filter", 4]),
        "count": node("PreviewAny", source=["filter", 10]),
        "picture": save("filter", tag),
    }
    graph["picture"]["inputs"]["images"] = ["filter", 1]
    result = run(graph)
    assert result.ok, result.errors

    def texts(output: str) -> list[str]:
        return result.outputs.get(output, {}).get("text", [])

    assert texts("good") == [name for name, flag in zip(names, flags, strict=True) if flag]
    assert texts("bad") == [name for name, flag in zip(names, flags, strict=True) if not flag]
    assert texts("count") == [str(sum(flags))] and len(result.images) == sum(flags)


def test_progress_counts_every_model_call(default_server: Any, tag: str) -> None:
    result = default_server.run({**scored(prompt=tag, noise_samples=3), "gate": gate(PASS)})
    told = [(p["value"], p["max"]) for p in result.progress if p["node"] == "score"]
    assert told and told[-1] == (12, 12) and told == sorted(told)


def test_a_batch_has_a_score_an_item_and_one_verdict(default_server: Any, tag: str) -> None:
    verdict = default_server.run({**scored(prompt=tag, batch=3), "gate": gate(PASS)}).outputs["gate"]["emoe"][0]
    scores = [item["score"] for item in verdict["items"]]
    assert len(set(scores)) == 3 and verdict["score"] == max(scores)
    middle = sorted(scores)[1]
    again = default_server.run({**scored(prompt=tag, batch=3), "gate": gate(middle)}).outputs["gate"]["emoe"][0]
    assert again["verdict"] == "block" and sorted(i["verdict"] for i in again["items"]) == ["block", "pass", "pass"]


def test_the_same_inputs_give_the_same_score_bit_for_bit(run: Run, tag: str) -> None:
    """Other prefixes make other gates, so the verdict is made anew; with no cache the whole graph is."""
    scores = []
    for prefix in ("emoe/a", "emoe/b"):
        graph = {**scored(prompt=tag), "gate": gate(PASS, filename_prefix=prefix)}
        scores.append(run(graph).outputs["gate"]["emoe"][0]["score"])
    assert scores[0] == scores[1]


def test_the_picture_is_the_same_with_and_without_a_score(servers: Callable[[str], Any], tag: str) -> None:
    """On a server that caches nothing, so that the sampler really runs again."""
    live = servers("none")
    with_score = live.run({**scored(prompt=tag), "gate": gate(PASS), **generated(), "save": save("picture", f"{tag}a")})
    plain = {k: v for k, v in scored(prompt=tag).items() if k != "score"}
    without = live.run({**plain, **generated(), "save": save("picture", f"{tag}b")})
    pictures = [result.image_paths(Path(live.output))[0] for result in (with_score, without)]
    from PIL import Image

    assert with_score.did_run("sampler") and without.did_run("sampler")
    first, second = (Image.open(path).convert("RGB").tobytes() for path in pictures)
    assert first == second and len(set(first)) > 10


def test_two_scores_with_other_experts_in_one_graph(run: Run, tag: str) -> None:
    graph = {**scored(prompt=tag), "gate": gate(PASS)}
    graph["pair"] = node("EMoE_AddExpert", model=["experts", 1], name="twin", clip=["experts", 2])
    graph["twins"] = node("EMoE_AddExpert", model=["experts", 1], name="", clip=["experts", 2], experts=["pair", 0])
    graph["text2"] = node("EMoE_EncodeForExperts", experts=["twins", 0], text=tag)
    graph["score2"] = node(
        "EMoE_Score", **{**graph["score"]["inputs"], "experts": ["twins", 0], "positive": ["text2", 0]}
    )
    graph["shown"] = node("PreviewAny", source=["score2", 0])
    result = run(graph)
    assert result.outputs["gate"]["emoe"][0]["score"] > 0
    assert float(result.outputs["shown"]["text"][0]) == 0  # twins agree on everything: nothing may pass for that
    graph["gate2"] = gate(PASS)
    graph["gate2"]["inputs"]["report"] = ["score2", 1]
    result = run(graph)
    assert "All 2 experts are the same model" in str(result.error) and "gate2" not in result.outputs


def test_a_checkpoint_scores_the_same_by_both_roads(default_server: Any, models: Path, tag: str) -> None:
    """Load Experts, and CheckpointLoaderSimple with Add Expert, on a cut-down SD1.5."""
    base = models / "checkpoints" / "road_base.safetensors"
    if not base.exists():
        make_sd15(base, 0)
        for seed in (1, 2):
            make_sd15(models / "checkpoints" / f"road_{seed}.safetensors", seed, base=base, delta=0.1)
    common = {
        "prompt": node("RecorderConditioning", tag=tag, seed=1, width=768),
        "latent": node("EmptyLatentImage", width=64, height=64, batch_size=1),
    }
    own = node("EMoE_LoadExperts", expert_1="road_1.safetensors", expert_2="road_2.safetensors")
    graph: Graph = {
        **common,
        "own": own,
        "load1": node("CheckpointLoaderSimple", ckpt_name="road_1.safetensors"),
        "load2": node("CheckpointLoaderSimple", ckpt_name="road_2.safetensors"),
        "add1": node("EMoE_AddExpert", model=["load1", 0], name="a"),
        "add2": node("EMoE_AddExpert", model=["load2", 0], name="b", experts=["add1", 0]),
    }
    for road, source in (("own", "own"), ("stock", "add2")):
        inputs = {**scored()["score"]["inputs"], "experts": [source, 0], "positive": ["prompt", 0]}
        graph[f"score_{road}"] = node("EMoE_Score", **inputs)
        graph[f"gate_{road}"] = gate(PASS)
        graph[f"gate_{road}"]["inputs"]["report"] = [f"score_{road}", 1]
    result = default_server.run(graph)
    assert result.ok, result.error
    own_verdict, stock_verdict = (result.outputs[f"gate_{road}"]["emoe"][0] for road in ("own", "stock"))
    assert own_verdict["score"] == stock_verdict["score"] > 0
    assert own_verdict["fingerprint"] == stock_verdict["fingerprint"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at_step": 20}, "Uncertainty Score's at_step is 20, beyond the last of 20 steps; choose 0 to 19."),
        (
            {"preset": "best"},
            "There is no preset 'best'; the known ones are fast, thorough, paper, one_model, layout and custom.",
        ),
        ({"preset": "custom", "tap": "skip"}, "There is no tap 'skip'"),
        ({"preset": "custom", "estimator": "guess"}, "There is no estimator 'guess'"),
        ({"add_noise": "maybe"}, "Uncertainty Score's add_noise is 'maybe'"),
        ({"scheduler": "mine"}, "Uncertainty Score's scheduler is 'mine'"),
    ],
)
def test_bad_settings_end_in_one_sentence(default_server: Any, tag: str, change: dict[str, Any], said: str) -> None:
    """Such as another node hands on: what comes over a link is checked by no host."""
    graph = {**scored(prompt=tag), "gate": gate(PASS)}
    for name, value in change.items():
        graph[f"given_{name}"] = node("RecorderPass", tag=tag, anything=value)
        graph["score"]["inputs"][name] = [f"given_{name}", 0]
    result = default_server.run(graph)
    assert result.status == "error" and result.error is not None
    assert said in result.error and "\n" not in result.error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("at_step", 20),
        ("preset", "best"),
        ("tap", "skip"),
        ("estimator", "guess"),
        ("add_noise", "maybe"),
        ("scheduler", "mine"),
    ],
)
def test_a_bad_setting_is_named_by_whoever_finds_it(default_server: Any, tag: str, name: str, value: Any) -> None:
    """By the host, before anything runs (newer ones check menus themselves), or by the node."""
    change = {name: value} if name not in ("tap", "estimator") else {"preset": "custom", name: value}
    try:
        result = default_server.run({**scored(prompt=tag, **change), "gate": gate(PASS)})
    except GraphRefused as refused:
        said = str(refused)
        assert f"node score (EMoE_Score): Value not in list ({name}: " in said
    else:
        assert result.status == "error" and result.error is not None
        said = result.error
        assert "\n" not in said and (name in said or f"There is no {name} " in said)
    assert (repr(value) if isinstance(value, str) else f" {value}, ") in said


def test_a_policy_without_calibration_is_an_error_and_never_a_pass(default_server: Any, tag: str) -> None:
    graph = gated(PASS, tag)
    graph["gate"]["inputs"]["policy"] = "false_block_rate"
    graph["score"]["inputs"]["noise_seed"] = 12345
    result = default_server.run(graph)
    assert result.status == "error" and not result.images and not result.was_announced("sampler")
    assert result.error is not None and "calibration" in result.error


def test_calibrate_save_load_and_gate(run: Run, tag: str) -> None:
    """The whole road in two graphs; the second one on another day, with a prompt that must not pass."""
    settings = {k: v for k, v in scored()["score"]["inputs"].items() if not isinstance(v, list)}
    settings["noise_seed"] = 4
    prompts = "\n".join(f"{tag} {i}" for i in range(9)) + "\n# a comment"
    make = {
        **{k: v for k, v in scored().items() if k in ("experts", "latent")},
        "made": node(
            "EMoE_Calibrate",
            experts=["experts", 0],
            latent_image=["latent", 0],
            prompts=prompts,
            name=tag,
            **settings,
        ),
        "kept": node("EMoE_SaveCalibration", calibration=["made", 0], name="", overwrite=False),
    }
    saved = run(make)
    assert saved.ok, saved.error
    assert "9 prompts" in saved.outputs["kept"]["text"][0] and f"Kept as '{tag}'" in saved.outputs["kept"]["text"][0]

    def use(**changes: Any) -> Graph:
        graph = gated(0.0, tag)
        graph["score"]["inputs"] |= {"noise_seed": 4, **changes}
        graph["loaded"] = node("EMoE_LoadCalibration", name=tag)
        graph["gate"]["inputs"] |= {"policy": "false_block_rate", "alpha": 0.1, "calibration": ["loaded", 0]}
        return graph

    used = run(use())
    assert used.ok, used.error
    verdict = used.outputs["gate"]["emoe"][0]
    assert 0.1 <= verdict["p_value"] <= 1 and 0 <= verdict["percentile"] <= 100
    assert (verdict["verdict"] == "block") == (verdict["p_value"] <= 0.1)
    refused = run(use(noise_seed=5)).error
    assert refused is not None and f"the calibration '{tag}': noise_seed is 5 instead of 4" in refused
    too_few = use()
    too_few["gate"]["inputs"]["alpha"] = 0.05
    assert "has 9 good prompts, too few for alpha 0.05: it needs at least 19" in (run(too_few).error or "")


def test_a_calibration_that_is_not_there_is_refused_before_anything_runs(default_server: Any) -> None:
    graph = {**gated(0.0, "x"), "loaded": node("EMoE_LoadCalibration", name="nowhere")}
    graph["gate"]["inputs"]["calibration"] = ["loaded", 0]
    with pytest.raises(GraphRefused, match="no calibration named 'nowhere'"):
        default_server.run(graph)


def test_one_expert_only(default_server: Any, tag: str) -> None:
    graph = {**scored(prompt=tag), "gate": gate(PASS)}
    graph["single"] = node("EMoE_AddExpert", model=["experts", 1], name="", clip=["experts", 2])
    graph["text"]["inputs"]["experts"] = graph["score"]["inputs"]["experts"] = ["single", 0]
    assert "add at least 1 more" in (default_server.run(graph).error or "")


def test_a_missing_file_is_refused_before_anything_runs(default_server: Any) -> None:
    with pytest.raises(GraphRefused, match="not_there.safetensors"):
        default_server.run(
            {
                "own": node("EMoE_LoadExperts", expert_1="not_there.safetensors", expert_2="x"),
                "s": node("RecorderSink", tag="", anything=["own", 0]),
            }
        )


def test_a_file_that_is_cut_short(default_server: Any, models: Path, tag: str) -> None:
    whole = make_sd15(models / "checkpoints" / f"{tag}.safetensors", 4)
    whole.write_bytes(whole.read_bytes()[:200_000])
    name = whole.name
    graph = {
        "own": node("EMoE_LoadExperts", expert_1=name, expert_2=name),
        "sink": node("RecorderSink", tag=tag, anything=["own", 0]),
    }
    error = default_server.run(graph).error
    assert error is not None and f"'{name}' is damaged" in error and "\n" not in error
