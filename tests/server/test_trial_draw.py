"""`prove draw` against live servers with the demo experts: killed, restarted, continued, and every picture once in the end."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emoe_host.graphs import load
from PIL import Image

from emoe_core.trial.record import TrialRecord
from emoe_core.trial.store import Contents, Trial, TrialError

ROOT = Path(__file__).resolve().parents[2]
ROWS = 4
PRESETS = ["fast", "thorough", "paper", "one_model", "layout"]


def workflow(**score: Any) -> dict[str, Any]:
    """A person's own: the gate on the demo experts, a short generation, and a node that writes down each picture."""
    graph = load("gate_before_generation")
    graph["5"]["inputs"] |= score
    graph["8"]["inputs"]["steps"] = 2
    graph["20"] = {
        "class_type": "RecorderPass",
        "inputs": {"tag": "x", "anything": ["9", 0]},
        "_meta": {"title": "Count"},
    }
    graph["21"] = {"class_type": "RecorderWait", "inputs": {"anything": ["20", 0], "seconds": 0.15}}
    graph["10"]["inputs"]["on_pass"] = ["21", 0]
    return graph


class Drawing:
    """Prompts of which most would be blocked, were the Gate to decide."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.folder, self.path = folder, folder / "mine.sqlite3"
        self.prompts = [f"{tag} number {n}" for n in range(1, ROWS + 1)]
        self.write(workflow())
        lines = [f'"{prompt}","group {n % 2}"' for n, prompt in enumerate(self.prompts)]
        (folder / "p.csv").write_text("\n".join(["prompt,group", *lines]) + "\n", encoding="utf-8")

    def write(self, graph: dict[str, Any]) -> None:
        (self.folder / "w.json").write_text(json.dumps(graph))

    def start(self, servers: str, *more: str, plain: bool = False) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "emoe_core", "prove", "draw", "--server", servers, "--trial", str(self.path)]
        command += ["--workflow", str(self.folder / "w.json"), "--prompts", str(self.folder / "p.csv")]
        command += [] if plain else ["--set", "prompt=Prompt.value", "--set", "prompt=Count.tag"]
        command += ["--json", *more]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, servers: str, *more: str, plain: bool = False) -> tuple[int, dict[str, Any], str]:
        return self.end(self.start(servers, *more, plain=plain))

    @staticmethod
    def end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
        try:
            out, err = process.communicate(timeout=180)
        finally:
            process.kill()
        return process.returncode, json.loads(out), err

    @property
    def contents(self) -> Contents:
        return Trial(self.path).contents()

    @property
    def drawn(self) -> int:
        try:
            return sum(Trial(self.path).keys().values())
        except TrialError as error:  # the command has not begun it yet
            assert "There is no trial" in str(error)
            return 0

    def wait_for(self, count: int, process: subprocess.Popen[str]) -> None:
        for _ in range(6000):
            if self.drawn >= count:
                return
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        pytest.fail(f"{self.drawn} pictures")

    def check(self, pictures: int, *outputs: Path) -> None:
        """Every prompt is there once with all readings, and every picture once, as a file."""
        found = self.contents
        assert [reading.name for reading in found.readings] == [*PRESETS, "response"]
        assert sorted(prompt.prompt for prompt in found.prompts) == self.prompts
        for prompt in found.prompts:
            assert set(prompt.scores) == {*PRESETS, "response"}
            assert prompt.columns == {"group": f"group {(prompt.row - 1) % 2}"}
            assert [picture.number for picture in prompt.pictures] == list(range(pictures))
            assert [picture.seed for picture in prompt.pictures] == [
                1000 * (prompt.row - 1) + n for n in range(pictures)
            ]
            for picture in prompt.pictures:
                assert any((folder / picture.subfolder / picture.filename).is_file() for folder in outputs)
                assert picture.type == "output" and picture.seconds is not None and picture.seconds > 0
        files = [(p.server, p.subfolder, p.filename) for prompt in found.prompts for p in prompt.pictures]
        assert len(set(files)) == len(files) == ROWS * pictures


@pytest.fixture
def drawing(tmp_path: Path, tag: str) -> Drawing:
    return Drawing(tmp_path, tag)


def test_every_prompt_is_read_in_every_way_and_drawn_twice(default_server: Any, drawing: Drawing) -> None:
    code, said, err = drawing.run(default_server.url, "--pictures", "2", "--dry-run")
    assert code == 0 and not drawing.path.exists(), err
    assert (said["pictures_per_prompt"], said["seeds_set"]) == (2, ["seed of 'KSampler' (node 8)"])
    assert said["picture_saved_by"] == "'Save Image' (node 11)"
    code, said, err = drawing.run(default_server.url, "--pictures", "2")
    assert code == 0, err
    assert (said["drawn"], said["failed"], said["left"]) == (2 * ROWS, [], 0)
    drawing.check(2, default_server.output)
    found = drawing.contents
    assert {name: found.facts[name] for name in ("pictures", "base", "workflow")} == {
        "pictures": 2,
        "base": 0,
        "workflow": json.loads((drawing.folder / "w.json").read_text()),
    }
    assert found.facts["experts"] == [f"expert_{n}" for n in range(1, 5)]
    assert {picture.server for prompt in found.prompts for picture in prompt.pictures} == {default_server.url}
    first = found.prompts[0]
    settings = {reading.name: reading.settings for reading in found.readings}
    for preset in PRESETS:  # what the preset says alone
        graph = workflow(preset=preset)
        graph["1"]["inputs"]["value"] = first.prompt
        graph = {node: graph[node] for node in ("1", "2", "3", "4", "5", "6")}
        graph["6"]["inputs"]["policy"] = "raw_threshold"
        (report,) = default_server.run(graph).outputs["6"]["emoe_report"]
        assert first.scores[preset] == pytest.approx(report["score"], rel=1e-5)
        fingerprint = settings[preset]
        assert fingerprint is not None and fingerprint.fingerprint() == report["fingerprint"]
    paths = [default_server.output / p.subfolder / p.filename for p in first.pictures]
    assert paths[0].read_bytes() != paths[1].read_bytes()  # another seed, another picture


def test_a_graph_for_lists_of_prompts_is_drawn_row_by_row(default_server: Any, drawing: Drawing) -> None:
    graph = load("gate_a_list_of_prompts")
    graph["5"]["class_type"] = "EMoE_ScoreList"
    graph["8"]["inputs"]["steps"] = 2
    drawing.write(graph)
    code, said, err = drawing.run(default_server.url, plain=True)
    assert (code, said["drawn"]) == (0, ROWS), err
    drawing.check(1, default_server.output)
    (drawing.folder / "p.csv").write_text('prompt\n"one\ntwo"\n')  # a row must be one prompt
    code, said, _ = drawing.run(default_server.url, plain=True)
    assert code == 2 and "The run scored 2 prompts, and a row must be one" in said["failed"][0]["error"]


def test_killed_half_way_and_started_again(default_server: Any, drawing: Drawing) -> None:
    for done in (1, 3, 6):
        process = drawing.start(default_server.url, "--pictures", "2", "--in-flight", "2")
        drawing.wait_for(done, process)
        process.kill()
        process.communicate()
    code, said, err = drawing.run(default_server.url, "--pictures", "2")
    assert code == 0 and "Going on" in err, err
    drawing.check(2, default_server.output)
    assert [len(default_server.called(prompt)) for prompt in drawing.prompts] == [2] * ROWS
    assert json.loads(drawing.path.with_name("mine.sqlite3.state").read_text())["flights"] == {}
    before = drawing.contents
    code, said, err = drawing.run(default_server.url, "--pictures", "2")  # nothing is left to do
    assert (code, said["this_run"]) == (0, {}) and drawing.contents == before


def test_more_pictures_later_adds_only_those(default_server: Any, drawing: Drawing) -> None:
    assert drawing.run(default_server.url)[0] == 0
    drawing.check(1, default_server.output)
    before = {picture.id for prompt in drawing.contents.prompts for picture in prompt.pictures}
    code, said, err = drawing.run(default_server.url, "--pictures", "3")
    assert code == 0 and said["this_run"] == {default_server.url: 2 * ROWS}, err
    drawing.check(3, default_server.output)
    found = drawing.contents
    assert before <= {picture.id for prompt in found.prompts for picture in prompt.pictures}
    assert found.facts["pictures"] == 3
    assert [len(default_server.called(prompt)) for prompt in drawing.prompts] == [3] * ROWS


def test_the_server_is_killed_and_started_again(own: Any, drawing: Drawing) -> None:
    process = drawing.start(own.url, "--pictures", "2", "--in-flight", "2")
    drawing.wait_for(3, process)
    own.server.kill()
    before = drawing.drawn
    own.server.again()
    code, said, err = drawing.end(process)
    assert code == 0, err
    drawing.check(2, own.output)
    assert before < 2 * ROWS and said["requeued"] >= 1
    again = sum(len(own.called(prompt)) - 2 for prompt in drawing.prompts)
    assert 0 <= again <= 1  # the run that the kill interrupted may have come as far as its picture


def test_two_servers_share_the_pictures(own: Any, default_server: Any, drawing: Drawing) -> None:
    code, _, err = drawing.run(f"{own.url},{default_server.url}", "--pictures", "2")
    assert code == 0, err
    drawing.check(2, own.output, default_server.output)
    shares = Counter(p.server for prompt in drawing.contents.prompts for p in prompt.pictures)
    assert set(shares) == {own.url, default_server.url}


def test_what_fails_is_told_and_tried_again(default_server: Any, drawing: Drawing) -> None:
    graph = workflow()
    block = {"tag": "x", "anything": ["21", 0], "block": False, "message": ""}
    graph["22"] = {"class_type": "RecorderBlock", "inputs": block, "_meta": {"title": "Other"}}
    graph["10"]["inputs"]["on_pass"] = ["22", 0]
    drawing.write(graph)
    table = drawing.folder / "p.csv"
    table.write_text("prompt,blocked\n" + "".join(f'"{p}",{n == 1}\n' for n, p in enumerate(drawing.prompts)))
    code, said, err = drawing.run(default_server.url, "--set", "blocked=Other.block")
    assert code == 2 and said["drawn"] == ROWS - 1, err
    (failed,) = said["failed"]
    assert failed["row"] == 2 and "No picture came to 'Save Image' (node 11): something else" in failed["error"]
    assert "Row 2 has no picture 0" in err and "start the same command again" in err
    again = drawing.run(default_server.url, "--set", "blocked=Other.block")
    assert again[0] == 2 and again[1]["this_run"] == {default_server.url: 1}


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    graph = copy.deepcopy(workflow())
    change(graph)
    return graph


def without(*nodes: str) -> Callable[[dict[str, Any]], object]:
    return lambda graph: [graph.pop(node) for node in nodes]


def two_saves(graph: dict[str, Any]) -> None:
    graph["30"] = {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "x"}}


def two_scores(graph: dict[str, Any]) -> None:
    graph["31"] = copy.deepcopy(graph["5"])


def no_seed(graph: dict[str, Any]) -> None:
    graph["10"]["inputs"]["on_pass"] = ["40", 0]
    graph["40"] = {"class_type": "RecorderImage", "inputs": {"tag": "x", "value": 0.5}}


def scored_half_way(graph: dict[str, Any]) -> None:
    graph["5"]["inputs"] |= {"latent_image": ["8", 0], "add_noise": "disable"}


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        (without("5", "6", "10", "11"), [], "no Uncertainty Score"),
        (without("6", "10"), [], "no Confidence Gate behind"),
        (without("11"), [], "saves no picture; add a Save Image"),
        (two_saves, [], "saves pictures at 'Save Image' .* and 'SaveImage' .*--picture NODE"),
        (two_saves, ["--picture", "Nothing"], "names a node that the workflow does not have"),
        (two_saves, ["--picture", "Gate"], "which --picture names, saves no pictures"),
        (two_scores, [], "has 2 Uncertainty Scores"),
        (no_seed, ["--pictures", "2"], "depends on no seed, so all pictures of a prompt would be the same"),
        (scored_half_way, ["--pictures", "2"], "The score depends on the seed of 'KSampler'"),
        (lambda _: None, ["--seed-input", "KSampler"], "write NODE.INPUT"),
        (lambda _: None, ["--seed-input", "Nobody.seed"], "--seed-input 'Nobody.seed' names a node"),
        (lambda _: None, ["--pictures", "1001"], "at most 1000 per prompt"),
        (lambda _: None, ["--base-seed", "-1"], "--base-seed is -1; choose 0 to"),
        (lambda _: None, ["--trial", "../x"], "cannot be a trial's name"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_queued(
    default_server: Any, drawing: Drawing, change: Any, more: list[str], said: str
) -> None:
    drawing.write(changed(change))
    code, answer, err = drawing.run(default_server.url, *more)
    assert code == 2 and not drawing.path.exists()

    assert re.search(said, answer["error"]), answer
    assert err.count("\n") == 1 and not any(len(default_server.called(prompt)) for prompt in drawing.prompts)


def test_another_workflow_or_another_command_is_refused(default_server: Any, drawing: Drawing) -> None:
    assert drawing.run(default_server.url)[0] == 0
    held = TrialRecord(drawing.path, json.loads(drawing.path.with_name("mine.sqlite3.state").read_text())["workflow"])
    held.open(workflow(), 0, 1)
    code, said, _ = drawing.run(default_server.url)
    held.close()
    assert code == 2 and "Another command is drawing into" in said["error"]
    before = drawing.contents
    for graph, more, what in (
        (workflow(noise_seed=7), (), "begun with another workflow"),
        (workflow(), ("--base-seed", "5"), "begun with another base"),
        (workflow(), ("--seed-input", "Score.steps"), "another workflow or other inputs"),
    ):
        drawing.write(graph)
        code, said, _ = drawing.run(default_server.url, *more)
        assert code == 2 and what in said["error"], said
    assert drawing.contents == before


def test_a_batch_of_pictures_is_refused_row_by_row(default_server: Any, drawing: Drawing) -> None:
    graph = workflow()
    graph["4"]["inputs"]["batch_size"] = 2
    drawing.write(graph)
    code, said, _ = drawing.run(default_server.url)
    assert code == 2 and said["drawn"] == 0
    assert all("batch of 2" in one["error"] and "batch_size to 1" in one["error"] for one in said["failed"])
    assert len(said["failed"]) == ROWS


# --- Keep for Trial -------------------------------------------------------------------------------------------------------


def kept(trial: str, prompts: str = "sunflower\nxchtgg", seed: int = 3) -> dict[str, Any]:
    graph = load("prove_your_checkpoints")
    graph["1"]["inputs"]["prompts"] = prompts
    graph["8"]["inputs"] |= {"seed": seed, "steps": 2}
    graph["11"]["inputs"]["trial"] = trial
    return graph


def stored(server: Any, trial: str) -> Trial:
    return Trial(server.user / "emoe" / "trials" / f"{trial}.sqlite3")


def test_the_node_keeps_pictures_with_what_every_preset_said(server: Any, tag: str) -> None:
    result = server.run(kept(tag))
    assert result.ok, result.error
    assert result.outputs["11"]["text"] == [f"the trial '{tag}' has 2 pictures of 2 prompts"]
    again = server.run(kept(tag, seed=4))
    assert again.outputs["11"]["emoe_trial"] == [{"trial": tag, "prompts": 2, "pictures": 4}]
    found = stored(server, tag).contents()
    assert [reading.name for reading in found.readings] == [*PRESETS, "response"]
    assert [(prompt.row, prompt.prompt) for prompt in found.prompts] == [(1, "sunflower"), (2, "xchtgg")]
    assert (found.facts["pictures"], found.facts["workflow"]) == (2, kept(tag, seed=4))
    files = [image for run in (result, again) for image in run.images]
    pictures = sorted((p for prompt in found.prompts for p in prompt.pictures), key=lambda p: p.filename)
    assert [(p.filename, p.subfolder, p.type) for p in pictures] == [
        (image["filename"], image["subfolder"], "output") for image in files
    ]
    assert all(p.server == "" and p.seed is None for p in pictures)
    for run, seed in ((result, 3), (again, 4)):
        for path in run.image_paths(server.output):
            with Image.open(path) as image:
                assert image.size == (128, 128)
                assert json.loads(image.text["prompt"])["8"]["inputs"]["seed"] == seed  # type: ignore[attr-defined]


def test_what_cannot_be_kept_is_one_sentence_and_saves_nothing(default_server: Any, tag: str) -> None:
    assert default_server.run(kept(tag)).ok
    before, files = stored(default_server, tag).contents(), len(list(default_server.output.rglob("*.png")))

    def refused(said: str, change: Callable[[dict[str, Any]], object], trial: str = tag) -> None:
        graph = kept(trial)
        change(graph)
        error = default_server.run(graph).error
        assert error is not None and re.search(said, error) and "\n" not in error, error

    refused("scores of other models or settings", lambda g: g["5"]["inputs"].update(noise_seed=1))
    refused(
        "batch of 2.* batch_size to 1|several pictures of one prompt", lambda g: g["4"]["inputs"].update(batch_size=2)
    )
    refused("cannot be a trial's name", lambda _: None, "../outside")
    refused(
        "gets 3 pictures and 2 reports",
        lambda g: g.update(
            {
                "30": {"class_type": "EMoE_PromptList", "inputs": {"prompts": "a\nb\nc"}},
                "31": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 2], "text": ["30", 0]}},
                "8": {**g["8"], "inputs": {**g["8"]["inputs"], "positive": ["31", 0]}},
            }
        ),
    )
    refused(
        "cannot write its file into the output folder",
        lambda g: g["11"]["inputs"].update(filename_prefix="../../outside"),
    )
    assert stored(default_server, tag).contents() == before
    assert len(list(default_server.output.rglob("*.png"))) == files
