"""Judge Trial on a live server: what it judges, what it leaves out, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emoe_host.client import Graph, GraphRefused
from emoe_testing.graphs import node
from PIL import Image

from emoe_core import demo
from emoe_core.trial.store import BAD, Drawn, Trial

NAMES = ("panda", "octopus")


def tile(index: int) -> Image.Image:
    with Image.open(demo.FOLDER / "reference.png") as page:
        columns = page.width // 32
        left, top = index % columns * 32, index // columns * 32
        return page.convert("RGB").crop((left, top, left + 32, top + 32)).resize((128, 128))


@pytest.fixture
def trial(default_server: Any, tag: str) -> Iterator[Trial]:
    """Two prompts of the demo experts, each with its right picture, another's and one that is not there."""
    made = Trial(Path(default_server.user) / "emoe" / "trials" / f"{tag}.sqlite3")
    made.begin({})
    english = [concept["names"]["en"] for concept in demo.ground_truth()["concepts"]]
    output = Path(default_server.server.output)
    for row, name in enumerate(NAMES):
        pictures = []
        for number, index in enumerate((english.index(name), english.index(NAMES[1 - row]))):
            tile(index).save(output / f"{tag}_{row}_{number}.png")
            pictures.append(Drawn(number, "", f"{tag}_{row}_{number}.png", "", "output"))
        made.add(str(row), row, name, {}, {}, [*pictures, Drawn(2, "", f"{tag}_gone.png", "", "output")])
    yield made
    for file in made.path.parent.glob(f"{tag}.sqlite3*"):
        file.unlink()


def judged(name: Any, judge: str = "demo") -> Graph:
    return {"judge": node("EMoE_JudgeTrial", trial=name, judge=judge)}


def test_pictures_are_judged_and_compared_with_the_eye(default_server: Any, trial: Trial, tag: str) -> None:
    first, second = trial.contents().prompts[0].pictures[:2]
    trial.mark(first.id, "good")
    trial.mark(second.id, BAD)
    for _ in range(2):  # what is in the cache is looked at again
        run = default_server.run(judged(tag))
        assert run.ok, run.error
        (text,) = run.outputs["judge"]["text"]
        assert text.splitlines() == [
            "'demo' judged 4 pictures: 2 of 4 are bad.",
            "2 pictures left out: their files are not there any more.",
            "Of 2 pictures that were marked by eye too, the judge says the same of 2 (Cohen's kappa 1.00, 95 % interval "
            "-0.35 to 1.00).",
        ]
    assert [one.bad for one in trial.contents().judgements] == [False, True, False, True]


def test_a_judge_that_lacks_its_models_says_so(default_server: Any, trial: Trial, tag: str) -> None:
    for judge in ("clip", "clip_score"):
        run = default_server.run(judged(tag, judge))
        assert run.status == "error" and f"The judge {judge} needs clip_vision and clip" in run.error
    assert not trial.contents().judgements


@pytest.mark.parametrize("name", ["none", "../x", "\ud800", 7, {"a": 1}], ids=repr)
def test_a_trial_that_is_not_there_is_refused_before_anything_runs(default_server: Any, name: Any) -> None:
    with pytest.raises(GraphRefused, match="There is no trial named"):
        default_server.run(judged(name))
