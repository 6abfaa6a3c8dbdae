"""Known or Unknown: the demo experts tell what they were trained on from what they were not, and the controls mean something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from emoe_testing.scoring import latent, options

LATENT = latent(size=16)
NODE: dict[str, Any] = {
    "preset": "layout",
    "add_noise": "enable",
    "noise_seed": 5,
    "steps": 20,
    "scheduler": "normal",
    "at_step": 0,
    "noise_samples": 1,
    "tap": "mid_out",
    "estimator": "relative",
}


@pytest.fixture
def known(pack: Any) -> str:
    """Prompts that the demo experts were trained on, of three words and more and of fewer."""
    prompts = pack.emoe_core.demo.prompts()["calibration"]
    return "\n".join(sorted(prompts, key=lambda text: -len(text.split()))[:24])


@pytest.fixture
def looked(host: Any, demo: Any, node_classes: dict[str, Any]) -> Any:
    def run(experts: Any = demo, trial: str = "", **changed: Any) -> Any:
        given = {"pairs": 0, "languages": "de, ja", "names": 12} | changed
        return node_classes["EMoE_KnownOrUnknown"].execute(experts, LATENT, trial, **NODE, **given)

    return run


def test_every_prompt_has_every_reading_and_the_set_passes_its_controls(looked: Any, known: str) -> None:
    out = looked(pairs=12, prompts=known)
    text, passed, image = out.result
    (told,) = out.ui["emoe_look"]
    kinds = [prompt["columns"]["kind"] for prompt in told["prompts"]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "reference": 12,
        "shuffled": sum(len(p["prompt"].split()) > 2 for p in told["prompts"] if p["columns"]["kind"] == "reference"),
        "nonsense": 12,
        "name": 12,
        "language": 24,
    }
    assert all(set(prompt["scores"]) == set(told["readings"]) for prompt in told["prompts"])
    assert {"layout", "fast", "thorough", "paper", "one_model", "response"} <= set(told["readings"])
    assert passed and "Control passed" in text and tuple(image.shape[:1]) == (1,)
    assert told["controls"]["matching"]["auroc"] > 0.9
    shares = told["controls"]["rounding"]["shares"]
    assert set(shares) == {"layout", "fast", "thorough", "paper"} and 0 < shares["layout"] < 0.1
    tokens = {p["prompt"]: int(p["columns"]["tokens"]) for p in told["prompts"] if p["columns"]["kind"] == "shuffled"}
    assert all(count >= len(prompt.split()) for prompt, count in tokens.items())


def test_copies_fail_by_rounding(host: Any, demo: Any, looked: Any, known: str) -> None:
    """A model and its own copy in another precision disagree by rounding alone, and surely agree on the prompt."""
    first = replace(demo, experts=demo.experts[:1])
    (half,) = host.scoring.score.in_precision(first, "bfloat16").experts
    out = looked(replace(demo, experts=(demo.experts[0], half)), pairs=8, names=0, prompts=known)
    found = out.ui["emoe_look"][0]["controls"]
    assert not out.result[1] and "rounding alone" in out.result[0]
    assert found["matching"]["passed"] and not found["rounding"]["passed"]


def test_prompts_that_no_expert_knows_fail_by_style(looked: Any) -> None:
    """The demo experts draw emoji and know no scenes: each answers them in its own way."""
    out = looked(pairs=16, names=0)
    found = out.ui["emoe_look"][0]["controls"]
    assert not found["matching"]["passed"] and found["matching"]["auroc"] < 0.9
    assert not out.result[1] and "Control failed" in out.result[0]


def test_an_interrupted_look_goes_on_and_another_sets_trial_is_refused(
    host: Any, demo: Any, looked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = host.trials.Trial
    real, count = store.add, 0

    def die(self: Any, *args: Any) -> int:
        nonlocal count
        count += 1
        if count == 9:
            raise KeyboardInterrupt
        return int(real(self, *args))

    monkeypatch.setattr(store, "add", die)
    with pytest.raises(KeyboardInterrupt):
        looked(trial="cut short")
    assert len(host.trials.trial("cut short").keys()) == 8
    looked(trial="cut short")
    assert count == 9 + 36 - 8 and len(host.trials.trial("cut short").keys()) == 36
    looked(trial="cut short")
    assert count == 9 + 36 - 8
    with pytest.raises(ValueError, match="scores of other models or settings"):
        looked(replace(demo, experts=demo.experts[:2]), trial="cut short", names=13)


def test_what_cannot_be_is_one_sentence(host: Any, demo: Any, looked: Any, node_classes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has no prompts; set pairs or names"):
        looked(names=0)
    with pytest.raises(ValueError, match="no language 'xx'"):
        looked(languages="xx")
    with pytest.raises(ValueError, match="cannot be a trial's name"):
        looked(trial="../../x")
    with pytest.raises(ValueError, match="not in ComfyUI's input folder"):
        looked(prompt_file="/etc/passwd")
    with pytest.raises(ValueError, match="is a batch; set its batch_size to 1"):
        node_classes["EMoE_KnownOrUnknown"].execute(demo, latent(size=16, batch=2), "", **NODE)


def test_a_file_of_rated_prompts_is_read_as_pqpp_has_it(host: Any, demo: Any, looked: Any) -> None:
    import folder_paths

    rows = [f"{number},{thing},{number % 3}" for number, thing in enumerate(["horse", "rainbow", "tiger", "pizza"] * 3)]
    path = f"{folder_paths.get_input_directory()}/rated.csv"
    with open(path, "w", encoding="utf-8") as file:
        file.write("image_id,best_caption,score\n" + "\n".join(rows))
    out = looked(names=0, prompt_file="rated.csv")
    (fit,) = [one for one in out.ui["emoe_look"][0]["rated"] if one["reading"] == "layout"]
    assert fit["prompts"] == 12 and -1 <= fit["rho"] <= 1
    assert "Rated prompts" in out.result[0]
    how = options(host, **{name: NODE[name] for name in ("preset", "noise_seed", "noise_samples")})
    assert host.looking.main_reading(
        host.looking.look(demo, host.looking.Wanted(8, "", 0), LATENT, how, None, "")[0], how
    ) == ("layout")
