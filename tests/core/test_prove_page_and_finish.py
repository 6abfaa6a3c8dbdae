"""`prove page` and `prove finish`: from a trial's file to a page, calibrations that the Gate takes, and a workflow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.trials import FACTS, GRAPH
from emoe_testing.trials import contents as trial_of
from PIL import Image

from emoe_core.cli.main import main
from emoe_core.gating.gate import decide
from emoe_core.records.calibration import Calibration
from emoe_core.records.report import ItemScore, Report
from emoe_core.trial.evidence import evidence
from emoe_core.trial.finish import file_name, workflow
from emoe_core.trial.store import Contents, Drawn, Judgement, Trial
from emoe_core.trial.thresholds import Advice

ROOT = Path(__file__).resolve().parents[2]
Filled = Callable[..., Path]


def contents(count: int = 60, strength: dict[str, float] | None = None, **how: Any) -> Contents:
    """A small trial in which the score foresees a great deal, unless `strength` says otherwise."""
    return trial_of(count, {"layout": 2.5, **(strength or {})}, **how)


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """Writes a trial made by hand into a file, with its pictures' files."""

    def fill(made: Contents, name: str = "mine", server: str = "") -> Path:
        trial = Trial(tmp_path / f"{name}.sqlite3")
        trial.begin(made.facts)
        (tmp_path / "output" / "emoe").mkdir(parents=True, exist_ok=True)
        readings = {one.name: one for one in made.readings}
        for one in made.prompts:
            drawn = [Drawn(p.number, server, p.filename, p.subfolder, p.type, p.seed, p.seconds) for p in one.pictures]
            scores = {readings[reading]: score for reading, score in one.scores.items()}
            trial.add(one.key, one.row, one.prompt, one.columns, scores, drawn)
            for p in one.pictures:
                Image.new("RGB", (64, 64), (p.id % 250, 0, 0)).save(tmp_path / "output" / "emoe" / p.filename)
        stored = [p for one in trial.contents().prompts for p in one.pictures]
        by_file = {p.filename: p.id for p in stored}
        for one in made.prompts:
            for p in one.pictures:
                trial.mark(by_file[p.filename], p.quality) if p.quality else None
        own = {p.id: by_file[p.filename] for one in made.prompts for p in one.pictures}
        trial.judge(Judgement(own[one.picture], one.judge, one.value, one.bad) for one in made.judgements)
        return trial.path

    return fill


def report(made: Calibration, score: float) -> Report:
    """A score under a calibration's settings."""
    item = ItemScore(score, None, score, None, 1.0, None)
    apart = tuple(tuple(float(a != b) for b in range(2)) for a in range(2))
    return Report(made.settings, (item,), ("x", "y"), ("", ""), apart, calibrations=(made,))


def test_the_page_of_a_file(filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = filled(contents())
    folder = tmp_path / "page"
    words = ["prove", "page", "--trial", str(path), "--pictures", str(tmp_path / "output"), "--out", str(folder)]
    assert main(words) == 0
    said = json.loads((folder / "trial.json").read_text("utf-8"))
    told = capsys.readouterr().out
    assert said["sentence"] in told and "trial.html" in told and said["trial"] == "mine"
    assert (folder / "trial.html").read_text("utf-8").count("<img") > 4
    assert main([*words, "--json", "--language", "ja"]) == 0
    assert json.loads(capsys.readouterr().out) == said


def test_a_picture_outside_its_folder_is_left_out(filled: Filled, tmp_path: Path) -> None:
    made = contents(40)
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64)).save(secret)
    prompts = tuple(
        replace(one, pictures=tuple(replace(p, filename=f"{p.id}.png") for p in one.pictures)) for one in made.prompts
    )
    path = filled(replace(made, prompts=prompts))
    output = tmp_path / "output" / "emoe"
    for file in sorted(output.iterdir()):
        file.unlink()
        file.symlink_to(secret)
    folder = tmp_path / "page"
    assert (
        main(["prove", "page", "--trial", str(path), "--pictures", str(tmp_path / "output"), "--out", str(folder)]) == 0
    )
    page = (folder / "trial.html").read_text("utf-8")
    assert "<img" not in page and "pictures are left out" in page


def test_a_server_that_is_gone_is_asked_once(filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from emoe_core.cli.prove import place
    from emoe_core.trial.pictures import NoAnswer

    asked = []

    def silent(picture: Any) -> bytes:
        asked.append(picture.id)
        raise NoAnswer(f"{picture.server} does not answer")

    monkeypatch.setattr(place, "fetch", silent)
    path = filled(contents(60), server="http://127.0.0.1:9")
    assert main(["prove", "page", "--trial", str(path), "--out", str(tmp_path / "page")]) == 0
    assert len(asked) == 1 and "pictures are left out" in (tmp_path / "page" / "trial.html").read_text("utf-8")


def test_the_only_judge_is_taken_where_nobody_marked(filled: Filled, tmp_path: Path) -> None:
    made = contents(judge=0.95)
    bare = tuple(replace(one, pictures=tuple(replace(p, quality=None) for p in one.pictures)) for one in made.prompts)
    path = filled(replace(made, prompts=bare))
    assert main(["prove", "page", "--trial", str(path), "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "trial.json").read_text("utf-8"))["labels"] == "judge:clip"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["page", "--labels", "judge:nobody"], "judged good or bad by 'nobody'"),
        (["page", "--labels", "eye"], "Labels are 'marks' or 'judge:NAME'"),
        (["finish"], "give --install, or --out DIR"),
        (["page", "--trial", "no such trial"], "There is no trial at"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    filled: Filled, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = filled(contents(20))
    given = words if "--trial" in words else [*words, "--trial", str(path)]
    assert main(["prove", *given]) == 2
    assert sentence in capsys.readouterr().err


def test_each_calibration_loads_and_the_gate_decides_with_it(filled: Filled, tmp_path: Path) -> None:
    path = filled(contents())
    folder = tmp_path / "left"
    assert main(["prove", "finish", "--trial", str(path), "--out", str(folder)]) == 0
    files = sorted(folder.glob("mine *.json"))
    assert [file.stem for file in files] == ["mine fast", "mine layout", "mine one_model"]
    for file in files:
        made = Calibration.load(file)
        assert made.name == file.stem and any(made.bad) and made.good_scores
        assert set(made.groups) == {"language"} and len(made.prompts) == 60
        limit = decide(report(made, 0.0), "false_block_rate", alpha=0.05).threshold
        for policy in ("false_block_rate", "block_share", "bad_pass_rate"):
            low, high = (decide(report(made, score), policy, alpha=0.2) for score in (min(made.scores), 1e6))
            assert (low.verdict, high.verdict, high.calibration) == ("pass", "block", made)
        assert decide(report(made, limit), "false_block_rate", alpha=0.05, group="language=fi").group == "language=fi"


def test_the_workflow_gets_the_advised_settings(filled: Filled, tmp_path: Path) -> None:
    path = filled(contents())
    assert main(["prove", "finish", "--trial", str(path), "--out", str(tmp_path / "left")]) == 0
    graph = json.loads((tmp_path / "left" / "mine.workflow.json").read_text("utf-8"))
    advice = evidence(Trial(path).contents()).advice
    assert advice is not None and advice.threshold is not None
    assert graph["7"]["class_type"] == "EMoE_LoadCalibration" and graph["7"]["inputs"] == {"name": "mine layout"}
    assert graph["5"]["inputs"] == {"experts": ["1", 0], "preset": "layout", "calibration": ["7", 0]}
    assert graph["6"]["inputs"] == {
        "report": ["5", 1],
        "policy": "false_block_rate",
        "alpha": 0.05,
        "threshold": advice.threshold,
        "mode": "decide",
    }
    made = Calibration.load(tmp_path / "left" / "mine layout.json")
    assert decide(report(made, 0.0), advice.policy, alpha=advice.alpha).threshold == advice.threshold
    assert GRAPH["5"]["inputs"]["preset"] == "layout" and "calibration" not in GRAPH["5"]["inputs"]


def test_another_calibration_is_replaced_only_when_asked(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = filled(contents())
    words = ["prove", "finish", "--trial", str(path), "--out", str(tmp_path / "left")]
    assert main(words) == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "left").iterdir()}
    assert main(words) == 0
    trial = Trial(path)
    trial.mark(trial.contents().prompts[0].pictures[0].id, "bad")
    trial.mark(trial.contents().prompts[1].pictures[0].id, "good")
    trial.mark(trial.contents().prompts[2].pictures[0].id, "bad")
    capsys.readouterr()
    assert main(words) == 2 and "There is another calibration" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in (tmp_path / "left").iterdir()} == before
    assert main([*words, "--overwrite"]) == 0


def test_installed_calibrations_lie_where_load_calibration_looks(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emoe_core.cli.prove import finish as command

    monkeypatch.setattr(command, "comfyui", lambda: tmp_path / "ComfyUI")
    path = filled(contents())
    assert main(["prove", "finish", "--trial", str(path), "--install"]) == 0
    kept = tmp_path / "ComfyUI" / "user" / "emoe" / "calibrations"
    assert sorted(file.stem for file in kept.iterdir()) == ["mine fast", "mine layout", "mine one_model"]
    assert (tmp_path / "mine.workflow.json").exists()


def test_a_workflow_that_cannot_be_set_costs_no_calibration(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, facts in enumerate(({"workflow": {"1": GRAPH["1"]}}, {}, {"workflow": {"5": GRAPH["5"]}})):
        path = filled(contents(facts=facts), f"odd{number}")
        assert main(["prove", "finish", "--trial", str(path), "--out", str(tmp_path / "left")]) == 0
        assert re.search("No workflow is written. The trial", capsys.readouterr().out)
        assert (tmp_path / "left" / f"odd{number} layout.json").exists()


def test_what_is_not_proved_only_watches(filled: Filled, tmp_path: Path) -> None:
    path = filled(contents(60, {"layout": 0.0, "fast": 0.0, "one_model": 0.0}))
    assert main(["prove", "finish", "--trial", str(path), "--out", str(tmp_path / "left")]) == 0
    graph = json.loads((tmp_path / "left" / "mine.workflow.json").read_text("utf-8"))
    assert graph["6"]["inputs"]["mode"] == "observe"


def test_names_of_files_and_nodes_never_collide() -> None:
    assert file_name("mein Käse: 50/50", "layout") == "mein Käse- 50-50 layout"
    assert file_name("...", "fast") == "trial fast" and len(file_name("x" * 500, "layout")) < 100
    advice = Advice("layout", "false_block_rate", 0.05, 1.5, "decide", "advice_main")
    graph = {**GRAPH, "7": {"class_type": "X", "inputs": {}}, "12:3": {"class_type": "Y", "inputs": {}}}
    made = workflow(contents(4, facts={**FACTS, "workflow": graph}), advice, "mine layout")
    assert set(made) == {*graph, "8"}


@pytest.mark.parametrize("action", ["look", "draw", "judge", "page", "finish"])
def test_an_action_alone_is_loaded_and_none_waits_for_torch(action: str) -> None:
    code = (
        "import sys; from emoe_core.cli.main import parser; "
        f"parser(['prove', {action!r}]); "
        "print(*sorted(name for name in sys.modules if name.startswith('emoe_core.cli.prove.')), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [*sorted([f"emoe_core.cli.prove.{action}", "emoe_core.cli.prove.place"]), "False"]
