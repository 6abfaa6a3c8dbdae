"""The price on the node, and what is not computed or loaded twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.scoring import WIDGETS, latent

WORDS = "sunflower"


@pytest.fixture
def file(host: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of prices, in a user directory of the test's own."""
    path = tmp_path / "emoe" / "prices.json"
    monkeypatch.setattr(host.scoring.prices, "path", lambda: path)
    return path


@pytest.fixture
def own(pack: Any, host: Any, demo: Any) -> Callable[..., Any]:
    """`own(0, 1)`: new experts of these demo experts' models, as Add Expert makes them, with text encoders that count."""
    counted: list[int] = []

    class Clip:
        """An expert's text encoder that counts what it encodes, and is its expert's own in all else."""

        def __init__(self, clip: Any) -> None:
            self.clip = clip

        def __getattr__(self, name: str) -> Any:
            return getattr(self.clip, name)

        def encode_from_tokens_scheduled(self, *given: Any) -> Any:
            counted.append(1)
            return self.clip.encode_from_tokens_scheduled(*given)

    clips = [Clip(expert.clip) for expert in demo.experts]
    models = [expert.model.clone() for expert in demo.experts]

    def build(*places: int) -> Any:
        made = pack.emoe_core.experts.sets.ExpertSet()
        for place in places:
            made = made.add(host.experts.load.expert_from_model(models[place], clips[place], f"expert {place}"))
        return made

    build.counted = counted  # type: ignore[attr-defined]
    return build


@pytest.fixture
def score(node_classes: dict[str, type]) -> Callable[..., Any]:
    def run(experts: Any, positive: Any, preset: str = "layout", **more: Any) -> Any:
        widgets = {**WIDGETS, "preset": preset, **more}
        return node_classes["EMoE_Score"].execute(experts, positive, latent(size=16), **widgets)

    return run


@pytest.fixture
def network_calls(demo: Any) -> Iterator[list[int]]:
    """The place of the expert of each network call."""
    calls: list[int] = []
    hooks = [
        expert.model.model.diffusion_model.middle_block[0].register_forward_hook(lambda *_, n=n: calls.append(n))
        for n, expert in enumerate(demo.experts)
    ]
    yield calls
    for hook in hooks:
        hook.remove()


def test_the_node_says_what_it_took_and_what_is_next(host: Any, own: Any, score: Any, file: Path) -> None:
    experts = own(0, 1, 2, 3)
    positive = host.prompts.conditioning.encode_for_experts(experts, WORDS)
    first, second, third = (score(experts, positive) for _ in range(3))
    assert first.args[0] == second.args[0] == third.args[0]  # a score takes no notice of it
    reports = [output.args[1] for output in (first, second, third)]
    assert reports[0] == reports[1] and "took" not in reports[0].as_dict()
    assert [report.took.empty > 0 for report in reports] == [True, False, False]
    low, high = reports[0].took.expected
    assert low < high  # one run does not tell whether the next one loads
    assert reports[1].took.expected[0] == reports[1].took.expected[1] <= reports[1].took.seconds * 1.01
    for output, report in zip((first, second, third), reports, strict=True):
        (line,) = [line for line in output.ui["text"] if line.startswith("took ")]
        assert line == report.took.line() and "4 experts" in line and "expected next: " in line
        told = output.ui["emoe_report"][0]
        assert list(told)[-1] == "took" and told["took"]["calls"] == report.took.calls
    took = reports[2].took
    assert 0 < took.inside < took.seconds and 0 < took.around < took.seconds
    text = file.read_text(encoding="utf-8")
    assert str(file.parent) not in text and "expert 0" not in text and len(text) < 2000


def test_a_long_score_tells_how_long_it_goes_on(
    host: Any, own: Any, score: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(host.scoring.prices, "show_text", said.append)
    experts = own(0, 1)
    positive = host.prompts.conditioning.encode_for_experts(experts, WORDS)
    for _ in range(2):
        score(experts, positive, "fast")
    assert said == []  # it is over before anybody has read it
    monkeypatch.setattr(host.scoring.prices, "WORTH_TELLING", 0.0)
    line = score(experts, positive, "fast").args[1].took.line()
    assert said[0].startswith("expected: ") and said[-1] == line and len(said) == 3
    assert said[1].startswith(("about ", "longer than expected"))


def test_another_start_reads_the_file_and_a_broken_one_is_left(
    host: Any, own: Any, score: Any, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prices, experts = host.scoring.prices, own(0, 1)
    positive = host.prompts.conditioning.encode_for_experts(experts, WORDS)
    for _ in range(2):
        before = score(experts, positive, "fast").args[1]
    run = host.scoring.score.Run.of(experts, latent(size=16), host.scoring.score.ScoreOptions(preset="fast"))
    assert run.expected() == pytest.approx(before.took.expected)
    prices._prices.pop(file)
    assert run.expected() is not None and len(prices.known().records) == 1
    file.write_text('{"schema": 1, "records": [{}]}', encoding="utf-8")
    prices._prices.pop(file)
    with caplog.at_level("WARNING", "emoe"):
        assert score(experts, positive, "fast").args[0] == before.score
    assert "cannot be read" in caplog.text and str(file.parent) not in caplog.text
    assert len(json.loads(file.read_text(encoding="utf-8"))["records"]) == 1


def test_what_is_measured_after_a_restart_is_written_in_the_end(
    host: Any, own: Any, score: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices, experts = host.scoring.prices, own(0, 1)
    positive = host.prompts.conditioning.encode_for_experts(experts, WORDS)
    for _ in range(2):
        score(experts, positive, "fast")
    first = file.read_text(encoding="utf-8")
    prices._prices.pop(file)
    prices._written.pop(file)
    score(experts, positive, "fast")
    assert file.read_text(encoding="utf-8") == first  # not on every run
    monkeypatch.setattr(prices, "_EVERY", 1e-9)
    score(experts, positive, "fast")
    assert file.read_text(encoding="utf-8") != first


def test_a_folder_that_takes_no_file_takes_no_score(host: Any, own: Any, score: Any, file: Path) -> None:
    file.parent.write_text("no folder", encoding="utf-8")
    experts = own(0, 1)
    assert score(experts, host.prompts.conditioning.encode_for_experts(experts, WORDS), "fast").args[1].took.calls >= 2


def test_a_list_and_stages_say_their_price(host: Any, demo: Any, node_classes: Any, file: Path) -> None:
    prompts = [host.prompts.conditioning.encode_for_experts(demo, text) for text in (WORDS, "blue car", "lemon")]
    lists = {name: [value] for name, value in {**WIDGETS, "preset": "layout"}.items()}
    for _ in range(2):
        output = node_classes["EMoE_ScoreList"].execute(
            experts=[demo], positive=prompts, latent_image=[latent(size=16)], **lists
        )
    told = [report["took"] for report in output.ui["emoe_report"]]
    assert told[0] == told[2] and told[0]["prompts"] == 3 and told[0]["experts"] == 4 and told[0]["empty"] == 0
    options = host.scoring.score.ScoreOptions
    rule = host.scoring.score.Stages(1e9, 1e9)  # the first stage decides always
    for _ in range(2):
        scored = host.scoring.score.score_prompt(demo, prompts[0], latent(size=16), options(stages=rule))
    took = scored.report.took
    assert took.experts == 2 and took.calls == 2 and took.empty == 0
    assert took.expected is None  # what the second stage takes was never measured


def test_the_empty_prompt_outlives_another_order_of_the_experts(
    host: Any, own: Any, score: Any, file: Path, network_calls: list[int]
) -> None:
    """Its encoding too, so that no text encoder is loaded for it again."""
    encode = host.prompts.conditioning.encode_for_experts
    experts = own(0, 1)
    positive = encode(experts, WORDS)
    own.counted.clear()
    score(experts, positive)
    assert len(own.counted) == 2  # each expert's own encoding of the empty prompt
    made = len(network_calls)
    for order in ((1, 0), (1, 0, 2)):
        turned = own(*order)
        positive = encode(turned, "lemon")
        own.counted.clear()
        network_calls.clear()
        report = score(turned, positive).args[1]
        known = len(order) == 2
        assert len(own.counted) == (0 if known else 1)
        assert (report.took.empty == 0) == known
        assert network_calls.count(0) == network_calls.count(1) == made // 4
        assert known or network_calls.count(2) == made // 2


def test_diagnostics_say_the_price(host: Any, own: Any, score: Any, node_classes: Any, file: Path) -> None:
    experts = own(0, 1, 2, 3)
    look = node_classes["EMoE_ExpertDiagnostics"].execute
    text, said = look(experts).result[0], look(experts).ui["emoe_diagnosis"][0]
    assert "nothing was measured with this set yet" in text and list(said)[-1] == "price"
    assert said["price"]["seconds"] is None and said["price"]["passes"] == 8
    positive = host.prompts.conditioning.encode_for_experts(experts, WORDS)
    for preset in ("layout", "layout", "fast", "fast"):
        score(experts, positive, preset)
    text, said = look(own(3, 2, 1, 0)).result[0], look(experts).ui["emoe_diagnosis"][0]
    assert "per prompt on cpu, latents of 4x16x16 (preset layout with 2 noise samples, 8 network passes of " in text
    assert "preset fast or paper: " in text and "(measured)" in text and "files in 8 bits: saves 75 %" in text
    assert said["price"]["seconds"] > 0 and said["price"]["preset"] == "layout"
