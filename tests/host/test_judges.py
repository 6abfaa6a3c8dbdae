"""Judge Trial with ComfyUI's own CLIP objects, held against transformers' CLIPModel on the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from emoe_core.trial.judges.table import OWN

WIDTH, VOCABULARY, SIDE = 32, 49408, 32
PROMPTS = [
    *("a red house by the sea", "two cats asleep", "an old steam train", "rice terraces at dawn", "a bowl of soup"),
    *("a violin on a chair", "snow on a pine tree", "a bus in the rain", "a child with a kite", "a stone bridge"),
    *("(a green parrot:1.3) in a cage", "a very long prompt " + "with many words and commas, " * 30),
]


@dataclass
class Pair:
    """A CLIP of small size with random weights, as transformers has it and as ComfyUI has it."""

    model: Any
    vision: Any
    clip: Any

    def project(self, weight: torch.Tensor) -> None:
        """Another projection of pictures, in both."""
        rounded = weight.to(next(self.vision.model.parameters()).dtype)
        with torch.no_grad():
            self.model.visual_projection.weight.copy_(rounded)
            self.vision.model.visual_projection.weight.copy_(rounded)


def configs(width: int = WIDTH) -> dict[str, Any]:
    shared = {"hidden_act": "quick_gelu", "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}
    text = {**shared, "hidden_size": width, "max_position_embeddings": 77, "vocab_size": VOCABULARY}
    vision = {
        **shared,
        "hidden_size": 48,
        "image_size": SIDE,
        "patch_size": 8,
        "num_channels": 3,
        "projection_dim": width,
    }
    return {
        "text": {**text, "eos_token_id": 49407, "bos_token_id": 49406, "projection_dim": width},
        "vision": {**vision, "model_type": "clip_vision_model"},
    }


def make_pair(folder: Path, seed: int, width: int = WIDTH, projection: torch.Tensor | None = None) -> Pair:
    import comfy.clip_vision
    import comfy.sd
    import comfy.sd1_clip
    import comfy.supported_models_base
    from transformers import CLIPConfig, CLIPModel

    told = configs(width)
    config = CLIPConfig(text_config=told["text"], vision_config=told["vision"], projection_dim=width)
    model = CLIPModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            scale = 0.3 if "embedding" in name else 1 / max(1, weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.1
            # what is in the file has 16 bits, and ComfyUI keeps it so
            weight.copy_((drawn * scale + (1 if "norm" in name and name.endswith("weight") else 0)).half().float())
    state = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    path = folder / f"{seed}-{width}.json"
    path.write_text(json.dumps(told["vision"]), "utf-8")
    vision = comfy.clip_vision.ClipVisionModel(str(path))
    lacking, _ = vision.load_sd({k: v for k, v in state.items() if k.startswith(("vision_model.", "visual_"))})
    assert not lacking

    class Text(comfy.sd1_clip.SDClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            super().__init__(
                device=device,
                dtype=dtype,
                textmodel_json_config=dict(told["text"]),
                return_projected_pooled=False,  # as a CLIP of Stable Diffusion 1 has it
                model_options=model_options or {},
            )

    class Texts(comfy.sd1_clip.SD1ClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            super().__init__(device=device, dtype=dtype, model_options=model_options or {}, clip_model=Text)

    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, Texts)
    clip = comfy.sd.CLIP(target, parameters=1)
    text = {k: v for k, v in state.items() if k.startswith(("text_model.", "text_projection"))}
    if projection is not None:
        text["text_projection.weight"] = projection
    lacking, _ = clip.load_sd(text)
    assert not lacking
    return Pair(model, vision, clip)


@pytest.fixture(scope="module")
def pair(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), 1)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    """As many pictures as prompts, of several shapes."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(len(PROMPTS)):
        height, width = ((64, 64), (48, 80), (96, 40), (SIDE, SIDE))[number // 3 % 4]
        blocks = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        found.append(Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC))
    return found


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)[None]


def by_transformers(pair: Pair, images: list[Image.Image], prompts: list[str]) -> torch.Tensor:
    """Cosines [pictures, prompts] as CLIPModel gives them for the pixels that ComfyUI prepares."""
    import comfy.clip_vision
    import comfy.sd1_clip
    from transformers import CLIPTokenizer

    folder = Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer"
    tokenizer = CLIPTokenizer.from_pretrained(str(folder))
    tokens = tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    prepared = torch.cat([comfy.clip_vision.clip_preprocess(pixels(one), size=SIDE) for one in images])
    with torch.no_grad():
        found = pair.model(input_ids=tokens["input_ids"], pixel_values=prepared)
    return found.image_embeds @ found.text_embeds.T


Trials = Callable[..., Any]


@pytest.fixture
def trial(host: Any, pack: Any, comfy_base: Path, images: list[Image.Image], request: pytest.FixtureRequest) -> Trials:
    """`trial(prompts)`: a trial with a picture of each in the output folder, and its name."""
    store = pack.emoe_core.trial.store

    def make(prompts: list[str] = PROMPTS, name: str = "") -> tuple[Any, str]:
        name = name or request.node.name.replace("[", " ").replace("]", "")[:80]
        made = host.trials.trial(name)
        made.begin({"pictures": 1})
        folder = comfy_base / "output" / "trials"
        folder.mkdir(parents=True, exist_ok=True)
        for number, prompt in enumerate(prompts):
            image = images[number % len(images)]
            image.save(folder / f"{name}-{number}.png")
            drawn = store.Drawn(0, "", f"{name}-{number}.png", "trials", "output")
            made.add(str(number), number, prompt, {}, {}, [drawn])
        return made, name

    return make


@pytest.fixture
def judge(pack: Any) -> Callable[..., Any]:
    """The node's work with its defaults."""

    def run(name: str, judge: str = "clip", **inputs: Any) -> Any:
        return pack.nodes.judge.JudgeTrial.execute(name, judge, **inputs)

    return run


def said(trial: Any, judge: str) -> dict[int, Any]:
    return {one.picture: one for one in trial.contents().judgements if one.judge == judge}


def belonging(pair: Pair, images: list[Image.Image], prompts: list[str]) -> None:
    """Gives the pair a projection by which each picture is where its prompt is, as training would."""
    import comfy.clip_vision

    prepared = torch.cat([comfy.clip_vision.clip_preprocess(pixels(one), size=SIDE) for one in images])
    with torch.no_grad():
        seen = pair.model.vision_model(pixel_values=prepared).pooler_output
        clean = [prompt.replace("(", "").replace(":1.3)", "") for prompt in prompts]
        import comfy.sd1_clip
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(str(Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer"))
        tokens = tokenizer(clean, padding="max_length", max_length=77, truncation=True, return_tensors="pt")[
            "input_ids"
        ]
        said = pair.model.text_projection(pair.model.text_model(input_ids=tokens).pooler_output)
    pair.project(torch.linalg.lstsq(seen, said).solution.T)


# --- the numbers ----------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_transformers(host: Any, pair: Pair, images: list[Image.Image]) -> None:
    space = host.judges.space.Space(pair.vision, pair.clip, "clip")
    space.check()
    plain = [prompt for prompt in PROMPTS if "(" not in prompt]
    wanted = by_transformers(pair, images, plain)
    found = space.pictures(images) @ torch.stack([space.text(prompt) for prompt in plain]).T
    # Of the last prompt each takes what fits into a window, and ComfyUI breaks between words.
    assert torch.allclose(found[:, :-1], wanted[:, :-1], atol=1e-4, rtol=0)
    assert wanted[:, :-1].std() > 0.01


def test_weights_in_brackets_and_what_is_beyond_the_window_do_not_count(host: Any, pair: Pair) -> None:
    space = host.judges.space.Space(pair.vision, pair.clip, "clip")
    assert torch.equal(space.text("(a green parrot:1.3) in a cage"), space.text("a green parrot in a cage"))
    long = "cat, " * 40
    assert torch.equal(space.text(long + "one end"), space.text(long + "another end"))


def test_the_users_clip_stays_as_it_was(host: Any, pair: Pair) -> None:
    def encoded() -> Any:
        return pair.clip.encode_from_tokens(pair.clip.tokenize("cat"), return_pooled=True)[1]

    before = encoded()
    host.judges.space.Space(pair.vision, pair.clip, "clip").text("dog")
    assert torch.equal(encoded(), before)


def test_a_pair_is_the_same_when_it_is_loaded_again(host: Any, pair: Pair, tmp_path: Path) -> None:
    def identity(one: Pair) -> str:
        return host.judges.space.Space(one.vision, one.clip, "clip").identity()

    assert identity(make_pair(tmp_path, 1)) == identity(pair) != identity(make_pair(tmp_path, 6))
    pair.clip.encode_from_tokens(pair.clip.tokenize("cat"))
    assert identity(make_pair(tmp_path, 1)) == identity(pair)


def test_clip_score_is_the_cosine_in_hundredths(
    host: Any, pair: Pair, images: list[Image.Image], trial: Trials, judge: Any
) -> None:
    made, name = trial()
    judge(name, "clip_score", clip_vision=pair.vision, clip=pair.clip)
    wanted = by_transformers(pair, images, [p.replace("(", "").replace(":1.3)", "") for p in PROMPTS]).diagonal()
    found = torch.tensor([one.value for _, one in sorted(said(made, "clip_score").items())])
    assert torch.allclose(found[:-1], 100 * wanted[:-1].clamp(min=0), atol=1e-2)
    assert all(one.bad is None for one in said(made, "clip_score").values())


# --- retrieval ------------------------------------------------------------------------------------------------------


@pytest.fixture
def good_pair(host: Any, tmp_path: Path, images: list[Image.Image]) -> Pair:
    made = make_pair(tmp_path, 2)
    belonging(made, images, PROMPTS)
    return made


def test_a_picture_finds_its_own_prompt(good_pair: Pair, trial: Trials, judge: Any) -> None:
    made, name = trial()
    models = {"clip_vision": good_pair.vision, "clip": good_pair.clip}
    summary, good, bad, left_out = judge(name, **models).args
    assert (good, bad, left_out) == (len(PROMPTS), 0, 0), summary
    assert "compared with 11 others" in summary and "by chance 8% of the pictures would be good" in summary
    assert all(one.value == 1 for one in said(made, "clip").values())
    before = said(made, "clip")
    assert "judged 0 pictures now and 12 before: 0 of 12 are bad" in judge(name, **models).args[0]
    assert said(made, "clip") == before
    assert "judged 12 pictures" in judge(name, **models, top_k=90).args[0]


def test_swapped_pictures_are_bad(
    good_pair: Pair, trial: Trials, judge: Any, comfy_base: Path, images: list[Image.Image]
) -> None:
    made, name = trial()
    for here, there in ((1, 2), (2, 1)):
        images[here].save(comfy_base / "output" / "trials" / f"{name}-{there}.png")
    for number, one in enumerate(made.contents().prompts):
        made.mark(one.pictures[0].id, "bad" if number in (1, 2, 3) else "good")
    summary, good, bad, _ = judge(name, clip_vision=good_pair.vision, clip=good_pair.clip, top_k=1).args
    assert (good, bad) == (10, 2), summary
    assert "Of 12 pictures that were marked by eye too, the judge says the same of 11 (Cohen's kappa 0.75" in summary
    first = said(made, "clip_score")
    judge(name, "clip_score", clip_vision=good_pair.vision, clip=good_pair.clip, threshold=99.0)
    verdicts = [one.bad for _, one in sorted(said(made, "clip_score").items())]
    assert not first and verdicts == [n in (1, 2) for n in range(12)]


def test_a_trial_that_grows_is_judged_anew_while_it_lacks_prompts(good_pair: Pair, trial: Trials, judge: Any) -> None:
    _, name = trial(PROMPTS[:10])
    models = {"clip_vision": good_pair.vision, "clip": good_pair.clip}
    assert "judged 10 pictures:" in judge(name, **models).args[0]
    trial(PROMPTS, name)
    assert "judged 12 pictures:" in judge(name, **models).args[0]


def test_a_run_that_is_cancelled_goes_on_from_there(
    good_pair: Pair, trial: Trials, judge: Any, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management

    made, name = trial()
    models = {"clip_vision": good_pair.vision, "clip": good_pair.clip}
    space = host.judges.space.Space
    real, times = space.text, []

    def cancelled(self: Any, prompt: str) -> Any:
        times.append(prompt)
        if len(times) > 5:
            raise comfy.model_management.InterruptProcessingException
        return real(self, prompt)

    monkeypatch.setattr(space, "text", cancelled)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        judge(name, "clip_score", **models)
    monkeypatch.undo()
    kept = len(said(made, "clip_score"))
    assert f"judged {12 - kept} pictures" in judge(name, "clip_score", **models).args[0]


# --- what does not belong together ----------------------------------------------------------------------------------


def refused(run: Callable[[], Any], *words: str) -> None:
    with pytest.raises(ValueError) as caught:
        run()
    assert type(caught.value).__name__.endswith("Error") and str(caught.value).count("\n") == 0
    for word in words:
        assert word in str(caught.value)


def test_other_dimensions_are_refused(pair: Pair, trial: Trials, judge: Any, tmp_path: Path) -> None:
    made, name = trial()
    other = make_pair(tmp_path, 3, width=64)
    refused(
        lambda: judge(name, clip_vision=pair.vision, clip=other.clip),
        "do not belong together: pictures have 32 numbers and texts 64",
    )
    assert not made.contents().judgements


def test_an_encoder_without_a_projection_is_refused(
    pair: Pair, trial: Trials, judge: Any, tmp_path: Path, demo: Any
) -> None:
    _, name = trial()
    stray = torch.zeros(WIDTH, WIDTH)
    stray[3, 5] = 1e-4  # what may lie in memory
    for projection in (torch.eye(WIDTH), torch.zeros(WIDTH, WIDTH), stray, stray * 1e8, stray * float("nan")):
        other = make_pair(tmp_path, 4, projection=projection)
        refused(lambda clip=other.clip: judge(name, clip_vision=pair.vision, clip=clip), "no text projection")
    refused(lambda: judge(name, clip_vision=pair.vision, clip=demo.experts[0].clip), "do not belong together")
    refused(lambda: judge(name, clip=pair.clip), "needs clip_vision and clip")


def test_unrelated_weights_give_values_and_a_warning(pair: Pair, trial: Trials, judge: Any, tmp_path: Path) -> None:
    made, name = trial()
    other = make_pair(tmp_path, 5)
    summary, good, bad, _ = judge(name, clip_vision=pair.vision, clip=other.clip).args
    assert (good, bad) == (0, 0) and "do not belong together, or the pictures show nothing" in summary
    assert len(said(made, "clip")) == 12 and all(one.bad is None for one in said(made, "clip").values())


def test_too_few_prompts_for_the_check_are_told(good_pair: Pair, trial: Trials, judge: Any) -> None:
    _, name = trial(PROMPTS[:4])
    summary = judge(name, clip_vision=good_pair.vision, clip=good_pair.clip).args[0]
    assert "fewer than 6 prompts" in summary and "without saying good or bad" in summary
    _, alone = trial([PROMPTS[0]], "alone")
    assert (
        "no other prompt to compare theirs with"
        in judge(alone, clip_vision=good_pair.vision, clip=good_pair.clip).args[0]
    )


# --- pictures and trials that are not there -------------------------------------------------------------------------


def test_deleted_pictures_are_told_and_nothing_is_lost(
    good_pair: Pair, trial: Trials, judge: Any, comfy_base: Path, pack: Any
) -> None:
    made, name = trial()
    models = {"clip_vision": good_pair.vision, "clip": good_pair.clip}
    (comfy_base / "output" / "trials" / f"{name}-0.png").unlink()
    store = pack.emoe_core.trial.store
    (comfy_base / "secret.png").write_bytes((comfy_base / "output" / "trials" / f"{name}-1.png").read_bytes())
    drawn = [
        store.Drawn(1, "", "secret.png", "..", "output"),
        store.Drawn(2, "http://elsewhere:8188", f"{name}-1.png", "trials", "output"),
        store.Drawn(3, "http://127.0.0.1:8188", f"{name}-1.png", "trials", "output"),
    ]
    made.add("0", 0, PROMPTS[0], {}, {}, drawn)
    summary, _, _, left_out = judge(name, **models).args
    assert left_out == 3 and len(said(made, "clip")) == 12
    assert "1 picture left out: their files are not there any more." in summary
    assert "1 picture left out: their rows lead out of ComfyUI's folders." in summary
    assert "http://elsewhere:8188 drew them, which is not this ComfyUI" in summary
    before = said(made, "clip")
    for path in (comfy_base / "output" / "trials").glob(f"{name}-*.png"):
        path.unlink()
    assert judge(name, **models).args[3] == 3 and said(made, "clip") == before


@pytest.mark.parametrize(
    ("server", "here"),
    [
        ("http://127.0.0.1:8188", True),
        ("http://localhost:8188/", True),
        ("http://[::1]:8188", True),
        ("http://127.0.0.1:8189", False),
        ("http://127.0.0.1", False),
        ("http://elsewhere:8188", False),
        ("http://127.0.0.1:8188@elsewhere", False),
        ("file:///127.0.0.1:8188", False),
        ("nonsense", False),
    ],
)
def test_which_server_this_one_is(host: Any, server: str, here: bool) -> None:
    assert host.judging._is_here(server) is here


def test_no_table_can_take_a_judges_name(host: Any) -> None:
    assert set(OWN) == set(host.judging.JUDGES)


def test_unknown_and_empty_trials(pair: Pair, judge: Any, host: Any, pack: Any) -> None:
    models = {"clip_vision": pair.vision, "clip": pair.clip}
    refused(lambda: judge("none", **models), "There is no trial at")
    refused(lambda: judge("../none", **models), "cannot be a trial's name")
    host.trials.trial("empty").begin({})
    refused(lambda: judge("empty", **models), "has no pictures yet")
    refused(lambda: judge("empty", "nobody", **models), "There is no judge named 'nobody'")
    validate = pack.nodes.judge.JudgeTrial.validate_inputs
    assert "There is no trial named 'none'" in validate("none") and validate("empty") is True and validate(None) is True


def test_the_demo_experts_need_no_model(trial: Trials, judge: Any) -> None:
    _, name = trial(["panda", "nothing at all"])
    summary, good, bad, left_out = judge(name, "demo").args
    assert good + bad == 1 and left_out == 1 and "know names of emoji only" in summary


# --- questions ------------------------------------------------------------------------------------------------------


class Seeing:
    """A text encoder that answers by a table, as those that see pictures and write do."""

    def __init__(self, real: Any, answers: list[str]) -> None:
        self._real, self.answers, self.asked = real, answers, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def tokenize(self, text: str, image: Any = None, **_: Any) -> Any:
        assert image.shape[0] == 1 and image.shape[-1] == 3
        self.asked.append(text)
        return {"any": [[(1, 1.0), ({"type": "image", "data": image}, 1.0)]]}

    def generate(self, tokens: Any, do_sample: bool, max_length: int, seed: int) -> Any:
        return [len(self.asked) - 1]

    def decode(self, written: Any) -> str:
        return self.answers[written[0]]


def test_answers_are_taken_and_others_are_told(pair: Pair, trial: Trials, judge: Any) -> None:
    made, name = trial(PROMPTS[:5])
    clip = Seeing(pair.clip, ["Yes.", "no", "<think>no, or</think> **YES**", "Perhaps not", "No, it shows a dog"])
    summary, good, bad, left_out = judge(name, "question", clip=clip).args
    assert (good, bad, left_out) == (2, 2, 1) and "answered neither yes nor no" in summary
    assert [one.value for _, one in sorted(said(made, "question").items())] == [1, 0, 1, 0]
    assert PROMPTS[0] in clip.asked[0] and "{prompt}" not in clip.asked[0]
    clip.answers = ["yes"] * 9
    assert "judged 1 picture now and 4 before" in judge(name, "question", clip=clip).args[0]


def test_what_cannot_be_asked_is_refused(pair: Pair, trial: Trials, judge: Any) -> None:
    _, name = trial(PROMPTS[:2])
    refused(lambda: judge(name, "question"), "needs clip")
    refused(lambda: judge(name, "question", clip=SimpleNamespace(generate=print), question="Is it good?"), "{prompt}")
    word = "cannot see pictures" if hasattr(pair.clip, "generate") else "update ComfyUI"
    refused(lambda: judge(name, "question", clip=pair.clip), word)


@pytest.fixture
def qwen(host: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Qwen3-VL of the host's own classes, of small size and random weights, that begins with yes or no; None on hosts
    that have none.
    """
    import comfy.sd
    import comfy.supported_models_base

    try:
        import comfy.text_encoders.qwen3vl as family
    except ImportError:
        return None
    kind = "qwen3vl_4b"
    small = {"hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "depth": 2, "deepstack_visual_indexes": [0]}
    monkeypatch.setitem(family.QWEN3VL_VISION, kind, small)
    text = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    target = comfy.supported_models_base.ClipTarget(family.tokenizer(model_type=kind), family.te(model_type=kind))
    clip = comfy.sd.CLIP(target, parameters=1, model_options={f"{kind}_model_config": text})
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(weight.shape, generator=generator).half() / 8 if weight.ndim > 1 else torch.ones_like(weight)
        for name, weight in getattr(clip.cond_stage_model, kind).transformer.state_dict().items()
    }
    yes, no = (clip.tokenizer.tokenize_with_weights(word, skip_template=True)[kind][0][0][0] for word in ("yes", "no"))
    table = state["model.embed_tokens.weight"]
    table[yes] *= 200
    table[no] = -table[yes]
    clip.load_sd(state)
    return clip


def test_an_encoder_of_the_hosts_own_is_asked(
    pair: Pair, qwen: Any, trial: Trials, judge: Any, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, name = trial()
    monkeypatch.setattr(host.judges.question, "_WORDS", 1)  # random weights do not know when to stop
    if qwen is None:
        refused(lambda: judge(name, "question", clip=pair.clip), "update ComfyUI")
        return
    summary, good, bad, left_out = judge(name, "question", clip=qwen).args
    assert (good + bad, left_out) == (len(PROMPTS), 0), summary
    before = said(made, "question")
    assert "judged 0 pictures now and 12 before" in judge(name, "question", clip=qwen).args[0]
    assert said(made, "question") == before
    assert "judged 12 pictures" in judge(name, "question", clip=qwen, question="Is it {prompt}?").args[0]
