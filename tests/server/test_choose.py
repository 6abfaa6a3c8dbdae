"""`choose` on a live server: cancelled while it measures, gone on with, fetched, and shown again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from emoe_host.graphs import load

from emoe_core.choosing.record import read
from emoe_core.demo import prompts
from emoe_core.records.calibration import Calibration

ROOT = Path(__file__).resolve().parents[2]
NAME = "on a server"


class Choosing:
    """A person's own workflow, and prompts that their models know: more than a block of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "w.json").write_text(json.dumps(load("gate_before_generation")))
        (folder / "known.txt").write_text("\n".join(prompts()["calibration"][:60]), encoding="utf-8")

    def command(self, server: str, *more: str) -> list[str]:
        words = ["choose", "run", "--server", server, "--name", NAME, "--out", str(self.folder), "--pairs", "60"]
        words += ["--known", str(self.folder / "known.txt"), "--noise-samples", "1", *more]
        return [sys.executable, "-m", "emoe_core", *words]

    def run(self, *words: str) -> tuple[int, str, str]:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def mine(tmp_path: Path) -> Choosing:
    return Choosing(tmp_path)


def test_it_is_cancelled_gone_on_with_fetched_and_shown_again(default_server: Any, mine: Choosing) -> None:
    own = ("--workflow", str(mine.folder / "w.json"))
    kept = default_server.output / "emoe_choices" / f"{NAME}.choice.jsonl"
    started = subprocess.Popen(
        mine.command(default_server.url, *own), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 150
    while (not kept.exists() or kept.read_bytes().count(b"\n") < 2) and time.monotonic() < until:
        assert started.poll() is None, started.communicate()
        time.sleep(0.02)
    urllib.request.urlopen(urllib.request.Request(f"{default_server.url}/interrupt", b"{}", method="POST"))
    _, err = started.communicate(timeout=60)
    assert started.returncode == 2 and "interrupted" in err.lower()
    begun = kept.read_bytes()
    assert begun.count(b"\n") in (2, 3) and read(kept).done in (64, 128)

    code, out, err = mine.run(*mine.command(default_server.url, *own, "--json"))
    assert code == 0, err
    told, fetched = json.loads(out), mine.folder / kept.name
    assert fetched.read_bytes() == kept.read_bytes() and fetched.read_bytes().startswith(begun)
    found = read(fetched)
    assert found.done == len(found.about.prompts) == told["prompts"]["measured"] > 64
    assert len(found.about.experts) == 4 and found.about.samples == 1
    made = Calibration.load(mine.folder / f"{NAME}.settings.json")
    assert len(made.settings.experts) == len(told["selection"]["chosen"])
    assert not (mine.folder / f"{NAME}.workflow.json").exists()  # Demo Experts always are four

    shown = [sys.executable, "-m", "emoe_core", "choose", "show", str(fetched)]
    code, out, err = mine.run(*shown)
    assert code == 0 and out.startswith("Take ") and "Cheapest setting" in out, err


def test_what_cannot_be_is_one_sentence(default_server: Any, mine: Choosing) -> None:
    def refused(*more: str, server: str = default_server.url) -> str:
        code, _, err = mine.run(*mine.command(server, *more))
        assert code == 2
        return err

    own = ("--workflow", str(mine.folder / "w.json"))
    assert "candidates are not said" in refused()
    assert "no model file 'nope'" in refused("--checkpoints", "nope", "nor this")
    assert "No ComfyUI answers" in refused(*own, "--give-up", "0.1", server="http://127.0.0.1:9")
    assert "try_steps has 'x'" in refused(*own, "--try-steps", "x")
