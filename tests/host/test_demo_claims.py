"""What the demo experts are there to show, with the weights and calibrations that ship.

Which prompts the experts have seen is known (emoe_core/demo/ground_truth.json), so each claim can fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import latent, score_prompt, score_prompts

ALPHA = 0.1
A_GROUP = 40
UNKNOWN = 16  # prompts of a group that is blocked nearly whole, where more than half is asked for
Score = Callable[[str, list[str]], list[Any]]


@pytest.fixture(scope="module")
def score(host: Any, demo: Any) -> Score:
    """`score(preset, prompts)`: their reports under the calibrations' settings, scored together."""

    def run(preset: str, prompts: list[str]) -> list[Any]:
        encoded = (host.prompts.conditioning.encode_for_experts(demo, prompt) for prompt in prompts)
        with torch.inference_mode():
            scored = list(score_prompts(host, demo, encoded, latent(size=16), preset=preset, brief=True))
        return [replace(one.report, calibrations=demo.calibrations) for one in scored]

    return run


def spread(prompts: list[str], count: int) -> list[str]:
    """At most `count` prompts at even distances through the list."""
    return prompts if len(prompts) <= count else [prompts[i * len(prompts) // count] for i in range(count)]


def blocked_share(pack: ModuleType, score: Score, preset: str, group: str, most: int = A_GROUP) -> tuple[float, int]:
    reports = score(preset, spread(pack.emoe_core.demo.prompts()[group], most))
    verdicts = [pack.emoe_core.gating.gate.decide(report, "false_block_rate", alpha=ALPHA) for report in reports]
    return sum(v.verdict == "block" for v in verdicts) / len(reports), len(reports)


@pytest.mark.parametrize("preset", ["fast", "thorough", "layout", "paper"])
def test_shipped_calibrations_are_these_experts(pack: ModuleType, host: Any, demo: Any, preset: str) -> None:
    """The same settings to the letter, and the stored scores come out again (rounding differs between processors)."""

    def score(prompt: str) -> Any:
        positive = host.prompts.conditioning.encode_for_experts(demo, prompt)
        with torch.inference_mode():
            return score_prompt(host, demo, positive, latent(size=16), preset=preset).report

    report = score(pack.emoe_core.demo.prompts()["calibration"][0])
    calibration = pack.emoe_core.gating.gate.matching(report, demo.calibrations)
    assert calibration.name == f"demo experts, {preset}" and len(calibration.scores) >= 99
    for index in range(0, len(calibration.scores), 20):
        again = score(calibration.prompts[index]).score
        assert again == pytest.approx(calibration.scores[index], rel=1e-3)


@pytest.mark.parametrize("preset", ["fast", "thorough", "layout"])
def test_english_the_experts_know_is_blocked_no_more_than_promised(pack: ModuleType, score: Score, preset: str) -> None:
    """Within the promise up to what chance allows: three standard errors of this many prompts."""
    share, count = blocked_share(pack, score, preset, "fresh")
    assert share <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / count)


@pytest.mark.parametrize("group", ["held_out", "faces", "nonsense", "ru", "zh", "ja"])
@pytest.mark.parametrize("preset", ["fast", "thorough", "layout"])
def test_what_the_experts_never_saw_is_mostly_blocked(pack: ModuleType, score: Score, preset: str, group: str) -> None:
    share, _ = blocked_share(pack, score, preset, group, UNKNOWN)
    assert share > 0.5


def test_a_report_of_another_seed_is_refused(pack: ModuleType, demo: Any, score: Score) -> None:
    (report,) = score("fast", ["rainbow"])
    other = replace(report, settings=replace(report.settings, noise_seed=1))
    with pytest.raises(pack.emoe_core.errors.SettingsMismatch, match="noise_seed is 1 instead of 0"):
        pack.emoe_core.gating.gate.decide(other, "false_block_rate")


def test_another_expert_drops_the_calibrations(pack: ModuleType, demo: Any) -> None:
    """They hold for the very set they were made with."""
    assert demo.calibrations and not demo.add(demo.experts[0]).calibrations
