"""Choose Experts: what it keeps is what the scores are made of, planted copies and merges are not taken, and it goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from emoe_testing.cards import plugged, unplugged
from emoe_testing.checkpoints import make_sd15
from emoe_testing.scoring import latent, score_prompts
from safetensors.torch import load_file, save_file

LATENT = latent(size=16)
PAIRS = 8
NODE: dict[str, Any] = {
    "preset": "layout",
    "noise_seed": 5,
    "steps": 20,
    "scheduler": "normal",
    "at_step": 0,
    "noise_samples": 1,
    "most": 4,
    "loss": 0.02,
}


@pytest.fixture
def known(pack: Any) -> str:
    """Prompts that the demo experts were trained on, the longest first."""
    return "\n".join(sorted(pack.emoe_core.demo.prompts()["calibration"], key=lambda text: -len(text.split()))[:PAIRS])


@pytest.fixture
def two(demo: Any) -> Any:
    """Half of the demo experts, where it is not about who is chosen."""
    return replace(demo, experts=demo.experts[:2], calibrations=())


@pytest.fixture
def chosen(demo: Any, node_classes: dict[str, Any], known: str) -> Any:
    def run(experts: Any = demo, name: str = "", latent_image: Any = LATENT, **changed: Any) -> Any:
        given = {**NODE, "pairs": PAIRS, "prompts": known, **changed}
        return node_classes["EMoE_ChooseExperts"].execute(experts, latent_image, name, **given)

    return run


def planted(host: Any, pack: Any, folder: Path, name: str, shares: dict[int, float]) -> Any:
    """An expert whose weights are a mean of the demo experts'."""
    files = pack.emoe_core.demo.expert_files()
    parts = [
        ({key: weight.float() for key, weight in load_file(files[n]).items()}, share) for n, share in shares.items()
    ]
    made = {key: sum(share * part[key] for part, share in parts) for key in parts[0][0]}
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in made.items()}, path, {"name": name})
    return host.experts.load.expert_from_model(*host.experts.demo.load_demo_expert(path), name)


def test_products_give_what_the_score_gives_for_every_subset_and_preset(
    host: Any, pack: Any, demo: Any, chosen: Any
) -> None:
    demo = replace(demo, calibrations=())
    out = chosen(demo, name="exact", noise_samples=2, at_step=6, try_sizes="64x96")
    record = pack.emoe_core.choosing.record.read(host.choosing.path_of("exact"))
    assert [(one.step, one.size) for one in record.about.levels] == [(6, (128, 128)), (6, (64, 96))]
    texts = [one.text for one in record.prompts[:3]]
    for experts, samples, level in (([0, 1, 2], 2, 0), ([2, 0], 1, 1), ([1, 2], 2, 1)):
        part = replace(demo, experts=tuple(demo.experts[number] for number in experts), calibrations=())
        encoded = [host.prompts.conditioning.encode_for_experts(part, text) for text in texts]
        size = record.about.levels[level].settings.latent_shape
        also = host.scoring.score.every_preset(part, encoded[0])
        reports = [
            one.report
            for one in score_prompts(
                host,
                part,
                encoded,
                {"samples": LATENT["samples"].new_zeros(1, *size)},
                preset="layout",
                noise_seed=5,
                noise_samples=samples,
                at_step=record.about.levels[level].step,
                also=also,
            )
        ]
        for preset in record.presets(level):
            found = record.scores(level, preset, experts, samples)
            settings = record.about.settings(level, preset, experts, samples)
            assert settings == replace(reports[0].settings, tap=settings.tap, estimator=settings.estimator)
            for place, report in enumerate(reports):
                # calls of other sizes round differently, which is all that may differ
                assert found[place] == pytest.approx(
                    report.items[0].all[settings.tap][settings.estimator].score, rel=2e-5
                )
    encoded = [host.prompts.conditioning.encode_for_experts(demo, text) for text in texts]
    always = pack.emoe_core.scoring.stages.Stages(-1.0, 1e9)  # both stages
    for preset in ("layout", "thorough"):
        found = record.scores_in_halves(0, preset, range(4))
        how = {"preset": preset, "noise_seed": 5, "noise_samples": 2, "at_step": 6, "stages": always}
        for place, one in enumerate(score_prompts(host, demo, encoded, LATENT, **how)):
            assert found[place] == pytest.approx(one.report.score, rel=2e-5)
    made = out.result[3]
    assert made.settings.noise_samples in (1, 2) and len(made.scores) == PAIRS
    assert out.ui["emoe_choice"][0]["file"] == {
        "filename": "exact.choice.jsonl",
        "subfolder": "emoe_choices",
        "type": "output",
    }
    json.dumps(out.ui["emoe_choice"][0], allow_nan=False)


def test_planted_copies_and_merges_are_not_taken(host: Any, pack: Any, demo: Any, chosen: Any, tmp_path: Path) -> None:
    experts = demo
    for name, shares in (("merge", {0: 0.5, 1: 0.5}), ("copy", {2: 0.97, 3: 0.03})):
        experts = experts.add(planted(host, pack, tmp_path, name, shares))
    out = chosen(experts)
    names = [one.name for one in out.result[0].experts]
    assert 2 <= len(names) <= 4 and not {"merge", "copy"} & set(names)
    text, table = out.result[1], out.result[2]
    assert text.startswith(f"Take {len(names)} of 6 experts: ")
    assert "'copy' answers as 'expert_3' does and is left out" in text
    assert "'merge' answers as a mean of 'expert_1', 'expert_2' does (share of the first: 50%) and is left out" in text
    assert table.shape[0] == 1 and table.shape[-1] == 3
    told = out.ui["emoe_choice"][0]["selection"]
    assert [names.index(f"expert_{number + 1}") for number in told["chosen"]] == list(range(len(names)))
    assert out.result[3].settings.experts == tuple(one.identity for one in out.result[0].experts)


def test_an_interrupted_choice_goes_on_and_another_is_refused(
    host: Any, pack: Any, demo: Any, two: Any, chosen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = pack.emoe_core.choosing.record.Kept
    real, count = kept.add, 0

    def die(self: Any, block: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        real(self, block)

    monkeypatch.setattr(kept, "add", die)
    monkeypatch.setattr(host.choosing, "PROMPTS_A_BLOCK", 8)
    with pytest.raises(KeyboardInterrupt):
        chosen(two, "cut")
    path = host.choosing.path_of("cut")
    read = pack.emoe_core.choosing.record.read
    assert read(path).done == 16
    first = chosen(two, "cut").result[1]
    assert read(path).done == len(read(path).about.prompts) and count == 3 + len(range(16, read(path).done, 8))
    assert chosen(two, "cut", most=3).result[1].splitlines()[0] == first.splitlines()[0]
    for other, what in (
        ({"experts": replace(demo, experts=demo.experts[1:3])}, "experts"),
        ({"noise_seed": 6}, "settings"),
        ({"at_step": 3}, "settings"),
        ({"prompts": "a cat\na dog"}, "prompts"),
    ):
        with pytest.raises(ValueError, match=f"'cut' was begun with other {what}; give another name"):
            chosen(**{"experts": two, "name": "cut", **other})


def test_it_does_not_go_on_with_another_text_encoder_or_image(demo: Any, two: Any, chosen: Any) -> None:
    one, other = demo.experts[0].clip, demo.experts[3].clip
    images = [{"samples": LATENT["samples"] + number} for number in (1, 2)]
    for name, kept, changed in (
        ("encoder", {"clip": one}, {"clip": other}),
        ("image", {"latent_image": images[0]}, {"latent_image": images[1]}),
    ):
        first = chosen(two, name, **kept).result[1]
        assert chosen(two, name, **kept).result[1] == first
        with pytest.raises(ValueError, match=rf"'{name}' was begun with other inputs"):
            chosen(two, name, **changed)


def test_few_answers_are_held_at_once(host: Any, two: Any, chosen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is as large as its memory allows, and at least one prompt."""

    def first(_: Any, texts: list[str], *__: Any) -> Any:
        raise KeyboardInterrupt(len(texts))

    monkeypatch.setattr(host.choosing._Work, "_block", first)
    monkeypatch.setattr(host.choosing, "PROMPTS_A_BLOCK", 9)
    for most, size in ((1 << 29, 9), (1, 1)):
        monkeypatch.setattr(host.choosing, "BYTES_A_BLOCK", most)
        with pytest.raises(KeyboardInterrupt) as found:
            chosen(two)
        assert found.value.args == (size,)


def test_groups_of_a_file_and_marks_of_a_trial_choose(host: Any, pack: Any, two: Any, chosen: Any) -> None:
    import folder_paths

    words = sorted(pack.emoe_core.demo.prompts()["calibration"])[:24]
    rows = [f"{text},{'fi' if number % 2 else 'jp'}" for number, text in enumerate(words) if "," not in text]
    path = Path(folder_paths.get_input_directory()) / "markets.csv"
    path.write_text("prompt,market\n" + "\n".join(rows), encoding="utf-8")
    out = chosen(two, pairs=0, prompt_file="markets.csv")
    tasks = out.ui["emoe_choice"][0]["selection"]["tasks"]
    assert {"market=fi: nonsense", "market=jp: nonsense"} <= set(tasks)
    trial = host.trials.trial("marked")
    store = pack.emoe_core.trial.store
    trial.begin({})
    for number, text in enumerate(words):
        drawn = store.Drawn(0, "", f"{number}.png", "", "output")
        trial.add(str(number), number, text, {}, {}, [drawn])
    for picture in [one.id for prompt in trial.contents().prompts for one in prompt.pictures]:
        trial.mark(picture, "bad" if picture % 3 == 0 else "good")
    out = chosen(two, trial="marked")
    told = out.ui["emoe_choice"][0]
    assert list(told["selection"]["tasks"]) == ["bad against good"] and told["prompts"]["asked"] == len(words)
    assert len(out.result[3].bad) == len(words)


def test_what_cannot_be_is_one_sentence(host: Any, demo: Any, chosen: Any) -> None:
    one = replace(demo, experts=demo.experts[:1])
    for wrong, said in (
        ({"experts": one}, "takes 2 to 16 experts and has 1"),
        ({"latent_image": latent(size=16, batch=2)}, "is a batch; set its batch_size to 1"),
        ({"pairs": 0}, "has no prompts; set pairs above 0"),
        ({"pairs": 3}, "too few prompts to choose by"),
        ({"preset": "one_model"}, "preset is 'one_model'; choose fast"),
        ({"at_step": 20}, "at_step is 20, beyond the last of 20 steps"),
        ({"try_steps": "0, x"}, "try_steps has 'x', which is no step"),
        ({"try_steps": "20"}, "names step 20, beyond the last"),
        ({"try_sizes": "64"}, "try_sizes has '64', which is no size"),
        ({"try_sizes": "8x8"}, "choose 64 to 8192 pixels"),
        ({"prompt_file": "/etc/passwd"}, "not in ComfyUI's input folder"),
        ({"name": "../x"}, "cannot be a choice's name"),
        ({"trial": "../x"}, "cannot be a trial's name"),
    ):
        with pytest.raises(ValueError, match=said):
            chosen(**wrong)
    full = {"samples": LATENT["samples"] + 1}
    with pytest.raises(ValueError, match="try_sizes needs an empty latent_image"):
        chosen(latent_image=full, try_sizes="64x64")


class Words:
    """A text encoder of numbers: each word is always the same vector, at its place."""

    def __init__(self, width: int) -> None:
        self.width = width

    def tokenize(self, text: str) -> dict[str, Any]:
        return {"words": text.split(), "places": []}

    def encode_from_tokens_scheduled(self, tokens: dict[str, Any]) -> list[list[Any]]:
        found = torch.zeros(1, 77, self.width)
        for place, word in enumerate(tokens["words"]):
            seed = int.from_bytes(word.encode()[:6], "big")
            found[0, place] = torch.randn(self.width, generator=torch.Generator().manual_seed(seed))
        return [[found, {"pooled_output": found[:, :, :1280].sum(dim=1)}]]


@pytest.fixture
def unpaged() -> Any:
    yield
    unplugged()


@pytest.fixture
def numbers(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Words` has no weights to know it by."""
    monkeypatch.setattr(host.choosing, "clip_identity", lambda *_: "words")


def test_eight_checkpoints_need_the_memory_of_two(
    host: Any, comfy_base: Path, chosen: Any, monkeypatch: pytest.MonkeyPatch, unpaged: None, numbers: None
) -> None:
    """Each is loaded once per block."""
    import comfy.model_management as management

    folder = comfy_base / "models" / "checkpoints" / "eight"
    base = make_sd15(folder / "0.safetensors", 0)
    make_sd15(folder / "1.safetensors", 1, base=base, delta=0.1)
    for number in range(2, 8):  # what they hold does not matter here
        (folder / f"{number}.safetensors").symlink_to(folder / f"{number % 2}.safetensors")
    loaders = host.experts.load
    one = loaders.load_expert("eight/0.safetensors", False)
    size = one.model.model_size()
    card = plugged(monkeypatch, 2 * size + size // 8, management.VRAMState.NORMAL_VRAM)
    experts = loaders.load_experts([f"eight/{number}.safetensors" for number in range(8)], loaders.WHOLE)
    loads: list[Any] = []
    real = management.LoadedModel.model_load
    monkeypatch.setattr(
        management.LoadedModel,
        "model_load",
        lambda self, *a, **k: (loads.append(self.model.model), real(self, *a, **k))[1],
    )
    monkeypatch.setattr(host.choosing, "PROMPTS_A_BLOCK", 8)
    text = "\n".join(f"thing {number}" for number in range(8))  # too short for words in another order
    out = chosen(experts, latent_image=latent(size=8), prompts=text, clip=Words(768), preset="fast")
    assert [one.name for one in out.result[0].experts] == ["0", "1"] and size <= card.most <= card.size
    # two blocks of all eight; each pass has a clone of its own, which moves no weights
    assert 2 * 8 - 1 <= len(list(groupby(map(id, loads)))) <= 2 * 8 + 1


def test_sdxl_is_chosen_too(host: Any, chosen: Any, stand_in: Any, numbers: None) -> None:
    """Also where only a part of each file was read so far: the memory is that of whole models."""
    names = [stand_in("xl"), stand_in("xl")]
    experts = host.experts.load.load_experts(names, host.experts.load.ENCODER_ONLY)
    part = experts.experts[0].model.model_size()
    text = "\n".join(f"thing {number}" for number in range(8))  # too short for words in another order
    out = chosen(experts, latent_image=latent(size=8), prompts=text, clip=Words(2048))
    assert len(out.result[0]) == 2 and "Take 2 of 2 experts" in out.result[1]
    assert all(one["bytes"] > 1.2 * part for one in out.ui["emoe_choice"][0]["experts"])
