"""Calibrations made in ComfyUI: nothing scored is lost, and nothing foreign is accepted."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
import torch

HOW: dict[str, Any] = {
    "tap": "mid_out",
    "estimator_name": "relative",
    "add_noise": True,
    "noise_seed": 11,
    "steps": 20,
    "scheduler": "normal",
    "at_step": 0,
    "noise_samples": 1,
}
LATENT = {"samples": torch.zeros(1, 4, 16, 16)}


@pytest.fixture(scope="module")
def host(pack: ModuleType) -> Any:
    return pack.emoe_core.hosts.comfyui


@pytest.fixture(scope="module")
def experts(host: Any) -> Any:
    return host.embedded.embedded_experts()


@pytest.fixture
def counted(host: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that were really scored, in order."""
    seen: list[str] = []
    real = host.calibrating.score_prompt

    def score(experts: Any, positive: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(host.conditioning.prompt_text(positive))
        return real(experts, positive, *args, **kwargs)

    monkeypatch.setattr(host.calibrating, "score_prompt", score)
    return seen


def test_scores_are_those_of_score(host: Any, experts: Any) -> None:
    made = host.calibrating.calibrate(experts, dict.fromkeys(["horse", "rainbow"], False), LATENT, "two", None, **HOW)
    for prompt, kept in zip(made.prompts, made.scores, strict=True):
        positive = host.conditioning.encode_for_experts(experts, prompt)
        report = host.scoring.score_prompt(experts, positive, LATENT, **HOW).report
        assert report.score == kept and report.settings == made.settings


def test_an_interrupted_calibration_goes_on_where_it_stopped(
    host: Any, experts: Any, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = dict.fromkeys(["horse", "rainbow", "tiger", "pizza", "bell"], False)
    how = {**HOW, "noise_seed": 12}
    real = host.calibrating._write_down

    def die_at_the_third(settings: Any, prompt: str, score: float) -> None:
        if prompt == "tiger":
            path = host.calibrating._unfinished_file(settings)
            path.write_text(path.read_text() + '{"prompt": "tiger", "sco')  # as a killed process leaves it
            raise KeyboardInterrupt
        real(settings, prompt, score)

    monkeypatch.setattr(host.calibrating, "_write_down", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        host.calibrating.calibrate(experts, prompts, LATENT, "five", None, **how)
    assert counted == ["horse", "rainbow", "tiger"]
    counted.clear()
    monkeypatch.setattr(host.calibrating, "_write_down", real)
    made = host.calibrating.calibrate(experts, prompts, LATENT, "five", None, **how)
    assert counted == ["horse", "tiger", "pizza", "bell"]  # the first again, to know the settings
    assert list(made.prompts) == list(prompts)
    counted.clear()
    again = host.calibrating.calibrate(experts, prompts, LATENT, "five", None, **how)
    assert len(counted) == 5 and again == made  # finished: nothing half-made is left over


def test_one_text_encoder_for_all_is_another_setting(host: Any, experts: Any) -> None:
    clip = experts.experts[0].clip
    shared = host.calibrating.calibrate(experts, dict.fromkeys(["horse"], False), LATENT, "shared", clip, **HOW)
    own = host.calibrating.calibrate(experts, dict.fromkeys(["horse"], False), LATENT, "own", None, **HOW)
    assert shared.settings.text_encoders == ("shared",) and len(own.settings.text_encoders) == 4


def test_saved_loaded_and_protected(host: Any, experts: Any, pack: ModuleType) -> None:
    wrong = pack.emoe_core.errors.EMoEError
    one = host.calibrating.calibrate(experts, dict.fromkeys(["horse"], False), LATENT, "keep me", None, **HOW)
    two = host.calibrating.calibrate(experts, dict.fromkeys(["pizza", "bell"], False), LATENT, "keep me", None, **HOW)
    path = host.calibrating.save(one, "", overwrite=False)
    assert path == host.calibrating.save(one, "keep me", overwrite=False)
    assert "keep me" in host.calibrating.names() and host.calibrating.load("keep me") == one
    with pytest.raises(wrong, match="another calibration named 'keep me'"):
        host.calibrating.save(two, "keep me", overwrite=False)
    host.calibrating.save(two, "keep me", overwrite=True)
    assert host.calibrating.load("keep me") == two
    edited = json.loads(path.read_text())
    edited["scores"][0] = 0.0
    path.write_text(json.dumps(edited))
    with pytest.raises(wrong, match="changed after it was saved"):
        host.calibrating.load("keep me")


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", "x" * 101, "a\nb", "CON:"])
def test_a_name_is_a_plain_name(host: Any, pack: ModuleType, name: str) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="cannot be a calibration's name"):
        host.calibrating.path_of(name)


def test_a_text_box_of_prompts(host: Any) -> None:
    read = host.calibrating.prompts_of
    assert read(" cat \n\n# not me\ndog\r\ncat\n! 猫\n!#x") == {"cat": False, "dog": False, "猫": True}
    with pytest.raises(ValueError, match="'cat' is there as good and as bad"):
        read("cat\n!cat")


def test_marked_prompts_make_a_labelled_calibration(host: Any, experts: Any) -> None:
    made = host.calibrating.calibrate(experts, {"horse": False, "qzxv": True}, LATENT, "marked", None, **HOW)
    assert made.bad == (False, True) and made.good_scores == made.scores[:1] and "1 of them bad" in made.line()


def test_no_prompts(host: Any, experts: Any, pack: ModuleType) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="no prompts"):
        host.calibrating.calibrate(experts, {}, LATENT, "none", None, **HOW)
