"""`prove look` on a live server with the demo experts: everything it finds comes into the trial, beside what is drawn later."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emoe_host.graphs import load

from emoe_core.demo import prompts
from emoe_core.trial.look import look_at
from emoe_core.trial.store import Trial

ROOT = Path(__file__).resolve().parents[2]


class Looking:
    """A person's own workflow, and prompts that their models know."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "mine.sqlite3"
        self.write(load("gate_before_generation"))
        (folder / "known.txt").write_text("\n".join(prompts()["calibration"][:12]), encoding="utf-8")

    def write(self, graph: dict[str, Any]) -> None:
        (self.folder / "w.json").write_text(json.dumps(graph))

    def run(self, server: str, *more: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "emoe_core", "prove", "look", "--server", server, "--trial", str(self.path)]
        command += ["--workflow", str(self.folder / "w.json"), "--known", str(self.folder / "known.txt")]
        command += ["--pairs", "10", "--languages", "ja", "--names", "10", *more]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def mine(tmp_path: Path) -> Looking:
    return Looking(tmp_path)


def test_what_it_finds_is_in_the_trial_and_draw_goes_on_in_it(default_server: Any, mine: Looking) -> None:
    code, out, err = mine.run(default_server.url, "--json")
    assert code == 0, err
    told, contents = json.loads(out), Trial(mine.path).contents()
    found = look_at(contents)
    assert found is not None and told["passed"] is found.passed is True
    assert told["separations"] == found.as_dict()["separations"]
    assert {one["kind"] for one in told["separations"]} == {"nonsense", "ja"}
    assert {reading.name for reading in contents.readings} >= {
        "layout",
        "fast",
        "thorough",
        "paper",
        "one_model",
        "response",
    }
    assert len(contents.prompts) == 10 * 2 + 2 * 10 + sum(len(p.prompt.split()) > 2 for p in contents.prompts[:10])
    (nonsense,) = [one for one in found.separations if one.kind == "nonsense" and one.reading == "layout"]
    assert nonsense.auroc > 0.9

    code, out, err = mine.run(default_server.url)
    assert code == 0 and "nonsense: AUROC" in out and "Control passed" in out, err
    assert Trial(mine.path).contents() == contents

    draw = [
        sys.executable,
        "-m",
        "emoe_core",
        "prove",
        "draw",
        "--server",
        default_server.url,
        "--trial",
        str(mine.path),
    ]
    (mine.folder / "p.txt").write_text("horse\n")
    draw += ["--workflow", str(mine.folder / "w.json"), "--prompts", str(mine.folder / "p.txt")]
    done = subprocess.run(draw, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    drawn = [prompt for prompt in Trial(mine.path).contents().prompts if prompt.pictures]
    assert [prompt.prompt for prompt in drawn] == ["horse"]


def test_what_cannot_be_is_one_sentence(default_server: Any, mine: Looking) -> None:
    def refused(*more: str, server: str = default_server.url) -> str:
        code, _, err = mine.run(server, *more)
        assert code == 2
        return err

    assert "no language 'xx'" in refused("--languages", "xx")
    assert "not in ComfyUI's input folder" in refused("--rated", "/etc/passwd")
    assert "No ComfyUI answers" in refused("--give-up", "0.1", server="http://127.0.0.1:9")
    graph = load("gate_before_generation")
    graph["99"] = graph["5"]
    mine.write(graph)
    assert "has 2 Uncertainty Scores" in refused()
    graph = {name: node for name, node in graph.items() if node["class_type"] != "EMoE_Score"}
    mine.write(graph)
    assert "has 0 Uncertainty Scores" in refused()
    assert not mine.path.exists()
