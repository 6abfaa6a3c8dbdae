"""Calibrations made in ComfyUI: nothing scored is lost, and nothing foreign is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import WIDGETS, latent, options, score_prompt

HOW: dict[str, Any] = {"tap": "mid_out", "estimator": "relative", "noise_seed": 11, "noise_samples": 1}
Lines = Callable[[list[str]], Any]
LATENT = latent(size=16)


@pytest.fixture(scope="module")
def of(pack: ModuleType) -> Lines:
    """Reference prompts from lines of the text box."""
    return lambda lines: pack.emoe_core.gating.reference_prompts.from_text("\n".join(lines))


@pytest.fixture
def counted(host: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that were really scored, in order, two at a time."""
    seen: list[str] = []
    real = host.scoring.score.score_many

    def score(probe: Any, experts: Any, settings: Any, texts: list[str], *args: Any) -> Any:
        seen.extend(texts)
        return real(probe, experts, settings, texts, *args)

    monkeypatch.setattr(host.scoring.score, "score_many", score)
    monkeypatch.setattr(host.scoring.score, "PROMPTS_A_BLOCK", 2)
    return seen


def test_scores_are_those_of_score(host: Any, demo: Any, of: Lines) -> None:
    made = host.calibrating.calibrate(demo, of(["horse", "rainbow"]), LATENT, "two", None, options(host, **HOW))
    for prompt, kept in zip(made.prompts, made.scores, strict=True):
        positive = host.prompts.conditioning.encode_for_experts(demo, prompt)
        report = score_prompt(host, demo, positive, LATENT, **HOW).report
        assert report.score == pytest.approx(kept, rel=1e-5) and report.settings == made.settings


def test_an_interrupted_calibration_goes_on_where_it_stopped(
    host: Any, demo: Any, counted: list[str], monkeypatch: pytest.MonkeyPatch, of: Lines
) -> None:
    prompts = of(["horse", "rainbow", "tiger", "pizza", "bell"])
    how = {**HOW, "noise_seed": 12}
    kept = host.calibrating.KeptScores
    real = kept.add

    def die_at_the_third(self: Any, prompt: str, score: float) -> None:
        if prompt == "tiger":
            self.path.write_text(self.path.read_text() + '{"prompt": "tiger", "sco')  # as a killed process leaves it
            raise KeyboardInterrupt
        real(self, prompt, score)

    monkeypatch.setattr(kept, "add", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        host.calibrating.calibrate(demo, prompts, LATENT, "five", None, options(host, **how))
    assert counted == ["horse", "rainbow", "tiger", "pizza"]
    counted.clear()
    monkeypatch.setattr(kept, "add", real)
    made = host.calibrating.calibrate(demo, prompts, LATENT, "five", None, options(host, **how))
    assert counted == ["tiger", "pizza", "bell"]  # what was written down is not scored again
    assert made.prompts == prompts.prompts
    counted.clear()
    again = host.calibrating.calibrate(demo, prompts, LATENT, "five", None, options(host, **how))
    assert len(counted) == 5  # finished: nothing half-made is left over
    assert again.scores == pytest.approx(made.scores, rel=1e-5)


def test_odd_ends_of_lines_lose_nothing(host: Any, demo: Any, counted: list[str], of: Lines) -> None:
    """A line cut inside a character, a prompt with a line separator, and one with half a surrogate pair."""
    pair = host.calibrating.KeptScores(host.calibrating.folder() / "pair.jsonl")
    pair.add("a\ud800b", 0.5)
    assert pair.read() == {"a\ud800b": 0.5}
    how = {**HOW, "noise_seed": 17}
    positive = host.prompts.conditioning.encode_for_experts(demo, "horse")
    settings = host.scoring.score.Run.of(demo, LATENT, options(host, **how)).settings(positive)
    path = host.calibrating.unfinished(settings, None).path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes('{"prompt": "red\u2028horse", "score": 0.25}\n{"prompt": "猫'.encode()[:-1])
    made = host.calibrating.calibrate(
        demo, replace(of(["-", "猫"]), prompts=("red\u2028horse", "猫")), LATENT, "odd", None, options(host, **how)
    )
    assert counted == ["猫"] and made.scores[0] == 0.25 and not path.exists()


def test_comfyuis_interrupt_ends_it_at_once_and_loses_nothing(
    host: Any, demo: Any, counted: list[str], monkeypatch: pytest.MonkeyPatch, of: Lines
) -> None:
    """The button Cancel, pressed after the second prompt: the third is not even scored."""
    import comfy.model_management as management

    prompts, how = of(["horse", "rainbow", "tiger", "pizza"]), {**HOW, "noise_seed": 14}
    kept = host.calibrating.KeptScores
    real = kept.add

    def press_cancel(self: Any, prompt: str, score: float) -> None:
        real(self, prompt, score)
        management.interrupt_current_processing(prompt == "rainbow")

    monkeypatch.setattr(kept, "add", press_cancel)
    with pytest.raises(management.InterruptProcessingException):
        host.calibrating.calibrate(demo, prompts, LATENT, "four", None, options(host, **how))
    assert counted == ["horse", "rainbow"]
    counted.clear()
    monkeypatch.setattr(kept, "add", real)
    assert len(host.calibrating.calibrate(demo, prompts, LATENT, "four", None, options(host, **how)).scores) == 4
    assert counted == ["tiger", "pizza"]


def test_what_another_shared_text_encoder_began_is_not_gone_on_with(
    host: Any, demo: Any, counted: list[str], monkeypatch: pytest.MonkeyPatch, of: Lines
) -> None:
    prompts, how = of(["horse", "rainbow", "tiger"]), {**HOW, "noise_seed": 16}
    one, other = demo.experts[0].clip, demo.experts[3].clip
    kept = host.calibrating.KeptScores
    real = kept.add

    def die_at_the_second(self: Any, prompt: str, score: float) -> None:
        real(self, prompt, score)
        if prompt == "rainbow":
            raise KeyboardInterrupt

    monkeypatch.setattr(kept, "add", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        host.calibrating.calibrate(demo, prompts, LATENT, "three", one, options(host, **how))
    monkeypatch.setattr(kept, "add", real)
    counted.clear()
    host.calibrating.calibrate(demo, prompts, LATENT, "three", other, options(host, **how))
    assert len(counted) == 3
    counted.clear()
    host.calibrating.calibrate(demo, prompts, LATENT, "three", one, options(host, **how))
    assert len(counted) == 1


def test_progress_is_told_in_prompts_and_time_left(
    host: Any, demo: Any, monkeypatch: pytest.MonkeyPatch, of: Lines
) -> None:
    import comfy.utils

    told: list[str] = []
    bar: list[tuple[int, int]] = []
    monkeypatch.setattr(host.calibrating, "show_text", told.append)
    real = comfy.utils.ProgressBar.update_absolute

    def heard(self: Any, value: int, *args: Any, **kwargs: Any) -> None:
        """What the bar is told; a newer host passes on only some of what comes in quick succession."""
        real(self, value, *args, **kwargs)
        bar.append((self.current, self.total))

    monkeypatch.setattr(comfy.utils.ProgressBar, "update_absolute", heard)
    how = {**HOW, "noise_seed": 15}
    host.calibrating.calibrate(demo, of(["horse", "rainbow", "tiger"]), LATENT, "three", None, options(host, **how))
    assert bar[-3:] == [(1, 3), (2, 3), (3, 3)] and told[-1] == "3 of 3 prompts"
    assert told[0].startswith("1 of 3 prompts, about ") and told[0].endswith(" s left")


def test_one_text_encoder_for_all_is_another_setting(host: Any, demo: Any, of: Lines) -> None:
    clip = demo.experts[0].clip
    shared = host.calibrating.calibrate(demo, of(["horse"]), LATENT, "shared", clip, options(host, **HOW))
    own = host.calibrating.calibrate(demo, of(["horse"]), LATENT, "own", None, options(host, **HOW))
    assert shared.settings.text_encoders == ("shared",) and len(own.settings.text_encoders) == 4


def test_saved_loaded_and_protected(host: Any, demo: Any, pack: ModuleType, of: Lines) -> None:
    wrong = pack.emoe_core.errors.EMoEError
    one = host.calibrating.calibrate(demo, of(["horse"]), LATENT, "keep me", None, options(host, **HOW))
    two = host.calibrating.calibrate(demo, of(["pizza", "bell"]), LATENT, "keep me", None, options(host, **HOW))
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


def test_marked_prompts_make_a_labelled_calibration(host: Any, demo: Any, of: Lines) -> None:
    made = host.calibrating.calibrate(demo, of(["horse", "!qzxv"]), LATENT, "marked", None, options(host, **HOW))
    assert made.bad == (False, True) and made.good_scores == made.scores[:1] and "1 of them bad" in made.line()


def test_no_prompts(host: Any, demo: Any, pack: ModuleType, of: Lines) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="no prompts"):
        host.calibrating.calibrate(demo, of([]), LATENT, "none", None, options(host, **HOW))


@pytest.mark.parametrize(("items", "said"), [(4, "^Calibrate Gate's latent_image is a batch; set its"), (0, "of zero")])
def test_one_latent_for_every_prompt(
    host: Any, demo: Any, pack: ModuleType, of: Lines, counted: list[str], items: int, said: str
) -> None:
    """A batch's score is that of its worst item: it would be held against scores of single images."""
    with pytest.raises(pack.emoe_core.errors.EMoEError, match=said):
        host.calibrating.calibrate(
            demo, of(["horse"]), {"samples": torch.zeros(items, 4, 16, 16)}, "b", None, options(host, **HOW)
        )
    assert counted == []


def test_a_prompt_file_gives_prompts_marks_and_groups(
    host: Any, demo: Any, node_classes: dict[str, Any], comfy_base: Any
) -> None:
    """In the input folder or by its full path; a changed file is read again, a row that cannot be read is named."""
    import folder_paths

    rows = "prompt,language,bad\nhorse,en,no\nPferd,de,no\nqzxv,en,yes\ntoo,many,columns,here\nKatze,de,no\n"
    path = Path(folder_paths.get_input_directory()) / "reference.csv"
    path.write_text(rows, encoding="utf-8")
    node = node_classes["EMoE_Calibrate"]
    widgets = {**WIDGETS, "noise_seed": 13, "noise_samples": 1}
    before = node.fingerprint_inputs(prompt_file="reference.csv", prompts="")
    outputs = [
        node.execute(
            experts=demo, latent_image=LATENT, prompts="bell", name="f", prompt_file=name, bad_below=0.5, **widgets
        )
        for name in ("reference.csv", str(path))
    ]
    made = outputs[0].args[0]
    assert made == outputs[1].args[0]
    assert made.prompts == ("bell", "horse", "Pferd", "qzxv", "Katze") and made.bad == (
        False,
        False,
        False,
        True,
        False,
    )
    assert made.groups == {"language": ("", "en", "de", "en", "de")}
    assert outputs[0].ui["text"][1] == "left out, line 5: 4 columns instead of 3; quote a field that holds a ','"
    assert before != "missing" and node.fingerprint_inputs(prompt_file="nothing.csv") == "missing"
    path.write_text(rows + "Hund,de,no\n", encoding="utf-8")
    assert node.fingerprint_inputs(prompt_file="reference.csv", prompts="") != before
    assert node.fingerprint_inputs(prompt_file="") == ""


def test_the_gate_takes_a_group_and_an_old_graph_without_one(
    host: Any, demo: Any, node_classes: dict[str, Any], pack: ModuleType, of: Lines
) -> None:
    made = host.calibrating.calibrate(
        demo, of(["horse", "bell", "tiger"]), LATENT, "grouped", None, options(host, **HOW)
    )
    grouped = replace(made, groups={"language": ("en", "en", "de")})
    positive = host.prompts.conditioning.encode_for_experts(demo, "horse")
    report = score_prompt(host, demo, positive, LATENT, **HOW).report
    gate, common = node_classes["EMoE_Gate"], {"alpha": 0.4, "threshold": 0.5, "mode": "decide", "filename_prefix": "g"}

    def verdict(**more: Any) -> dict[str, Any]:
        answer = gate.execute(report=report, policy="block_share", calibration=grouped, **common, **more)
        found: dict[str, Any] = answer.ui["emoe"][0]
        return found

    assert verdict()["group"] == "" and verdict()["group_threshold"] is False
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="too few for alpha 0.4"):
        gate.execute(
            report=report,
            policy="block_share",
            calibration=replace(made, scores=made.scores[:1], prompts=made.prompts[:1]),
            **common,
        )
    assert "has 2 prompts" not in verdict(group="language=en")["reason"] and verdict(group="en")["group_threshold"]
    assert "the group 'de' has 1 prompts, too few for a threshold of its own" in verdict(group="de")["reason"]
    assert "the group 'fr' is not in the calibration" in verdict(group="fr")["reason"]


def test_a_calibration_of_other_experts_is_refused_with_the_reason(
    host: Any, demo: Any, node_classes: dict[str, Any], pack: ModuleType, of: Lines
) -> None:
    """Saved with four experts, loaded from its file, and asked about two of them."""
    made = host.calibrating.calibrate(demo, of(["horse"]), LATENT, "of four", None, options(host, **HOW))
    host.calibrating.save(made, "of four", overwrite=True)
    loaded = node_classes["EMoE_LoadCalibration"].execute("of four").args[0]
    two = replace(demo, experts=demo.experts[:2])
    positive = host.prompts.conditioning.encode_for_experts(two, "horse")
    report = score_prompt(host, two, positive, LATENT, **HOW).report
    with pytest.raises(
        pack.emoe_core.errors.EMoEError, match=r"other settings than the calibration 'of four': experts is \("
    ):
        node_classes["EMoE_Gate"].execute(
            report=report,
            policy="block_share",
            alpha=0.5,
            threshold=0,
            mode="decide",
            filename_prefix="g",
            calibration=loaded,
        )


def test_the_built_in_prompts_need_no_homework(
    host: Any, demo: Any, node_classes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the box and a file, or alone; and the calibration says what it was made of."""
    found = host.calibrating.reference_prompts("my own", "", 0.5, "everyday")
    assert len(found.prompts) == 161 and found.prompts[0] == "my own" and "a red apple" in found.prompts
    assert set(found.groups) == {"topic", "kind"} and found.groups["topic"][0] == ""
    few = host.calibrating.from_set("everyday").prompts[:20]
    monkeypatch.setattr(host.calibrating, "from_set", lambda name: host.calibrating.from_text("\n".join(few)))
    how = {"preset": "fast", "add_noise": "enable", "noise_seed": 23, "steps": 20, "scheduler": "normal", "at_step": 0}
    how |= {"noise_samples": 1, "tap": "mid_out", "estimator": "relative"}
    out = node_classes["EMoE_Calibrate"].execute(demo, LATENT, "", "mine", built_in="everyday", **how)
    (made,) = out.result
    assert made.prompts == few and "ones that models should know" in made.reference
    assert made.reference in "\n".join(out.ui["text"])
    with pytest.raises(ValueError, match="built_in is 'nothing'; choose none or everyday"):
        host.calibrating.reference_prompts("", "", 0.5, "nothing")
