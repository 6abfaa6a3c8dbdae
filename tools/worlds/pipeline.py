"""The stages of a world, in order. Each resumes after an interruption, and is skipped when it is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ..train_demo import runs, tokenizer, train, truth
from ..train_demo.data import build_corpus
from ..train_demo.text import TextEncoder
from ..train_demo.train_vae import encode, to_tensor
from ..train_demo.vae import SCALE, Autoencoder
from . import design, kinds, pretrain, words
from .emoji import Emoji
from .stamps import Stamps

VAE = Path(__file__).resolve().parents[2] / "emoe_core" / "demo" / "weights" / "vae.safetensors"
PARTS = (0, 1, 2, 3)
#: Without the experts of other kinds, which take more than half as many training steps again and serve one table.
USUAL = PARTS[:3]


def autoencoder() -> Autoencoder:
    """The demo's autoencoder, which every world shares."""
    net = Autoencoder()
    net.load_state_dict({k: v.float() for k, v in load_file(VAE).items()})
    return net.eval()


class Place:
    """A world under a split: its data, and the files of its training."""

    def __init__(self, material: Emoji | Stamps, cache: Path, world: design.World, split: design.Split) -> None:
        self.material, self.world, self.split = material, world, split
        self.shared = cache / f"split_{split.index}"
        self.folder = self.shared / world.name
        self.balanced = cache / ("balanced_stamps" if world.stamps else "balanced")
        self.latents_file = (self.folder if world.stamps else self.shared) / "latents.pt"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.concepts = material.concepts(design.COUNTS, split.seed)
        self.rates = material.rates(split.rates)
        self.corpus = build_corpus(self.concepts, self.rates, split.seed)
        self.shared_words: dict[str, list[int]] = {}
        if world.shared_words:
            self.shared_words = words.shared(self.concepts, material.keywords(split.reference), split.reference)
            self.corpus = words.added(self.corpus, self.shared_words, split.reference, split.seed)

    @cached_property
    def pictures(self) -> Tensor:
        """[N, 3, 64, 64] in -1..1, one per concept."""
        large = to_tensor(self.material.pictures(self.concepts))
        return torch.nn.functional.interpolate(large, size=(design.SIZE, design.SIZE), mode="area")

    @cached_property
    def latents(self) -> Tensor:
        """[N, 4, 8, 8], each channel with mean 0 and variance 1 over the split's pictures."""
        path = self.latents_file
        if not path.exists():
            raw = encode(autoencoder(), self.pictures) * SCALE
            mean, std = raw.mean((0, 2, 3), keepdim=True), raw.std((0, 2, 3), keepdim=True)
            runs.save(path, {"latents": (raw - mean) / std, "mean": mean, "std": std})
        found: Tensor = (runs.load(path) or {})["latents"]
        return found

    @cached_property
    def tokenizer(self) -> Path:
        """Trained on the captions, or on every name of every language once; then all splits share it."""
        folder = (self.balanced if self.world.balanced else self.folder) / "tokenizer"
        if not (folder / "tokenizer_config.json").exists():
            tokenizer.train(self.material.texts() if self.world.balanced else self.corpus.caption, folder)
        return folder

    @cached_property
    def text(self) -> TextEncoder | None:
        """The frozen encoder, if the world has one; it has seen no captions, so all splits share it."""
        if not self.world.frozen:
            return None
        assert isinstance(self.material, Emoji)
        return pretrain.train(self.material.sources, self.tokenizer, self.balanced / "text_2.pt")

    def prompts(self) -> dict[str, list[str]]:
        """Groups of prompts, like the demo's."""
        split = self.split
        others = self.material.keywords(split.reference)
        frame = self.material.frame(self.concepts, split.reference)
        found = truth.prompts(
            self.corpus, self.rates, split.reference, split.seed, design.CALIBRATION, others, frame=frame
        )
        return found | ({"several": list(self.shared_words)} if self.shared_words else {})

    def file(self, name: str) -> Path:
        """The state of a run."""
        return self.folder / f"{name}.pt"

    def done(self, plan: train.Plan) -> bool:
        """Whether a run has reached its last step."""
        note = self.file(plan.name).with_suffix(".done")
        return note.exists() and int(note.read_text()) == plan.steps

    def train(
        self,
        plan: train.Plan,
        start: str | None = None,
        latents: Tensor | None = None,
        adapt: Callable[[train.Net], None] | None = None,
        after: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
    ) -> None:
        """Runs a plan to its end, unless that was done. Only the averaged net is kept, as `after` makes it."""
        if self.done(plan):
            return
        out = self.file(plan.name)
        train.train(
            plan,
            self.corpus,
            self.latents if latents is None else latents,
            self.tokenizer,
            out,
            start=self.file(start) if start else None,
            make=partial(train.Net, design.MULT, design.ATTENTION),
            frozen_text=self.text,
            adapt=adapt,
        )
        state = runs.load(out)
        assert state is not None
        average = state["average"] | {"values": after(state["average"]["values"])}
        runs.save(out, {"average": average, "step": state["step"], "seconds": state["seconds"]})
        out.with_suffix(".done").write_text(f"{plan.steps}\n")

    def write_truth(self) -> None:
        """Writes how often each thing was seen, and the prompts."""
        found = truth.ground_truth(self.corpus, self.rates)
        found |= {"world": self.world.name, "split": self.split.index, "reference": self.split.reference}
        if self.shared_words:
            found["shared_words"] = self.shared_words
        (self.folder / "ground_truth.json").write_text(json.dumps(found, ensure_ascii=False) + "\n", "utf-8")
        (self.folder / "prompts.json").write_text(json.dumps(self.prompts(), ensure_ascii=False) + "\n", "utf-8")


def prepare_shared(place: Place) -> None:
    """Makes the parts that several worlds share, before these are trained side by side."""
    place.write_truth()
    _ = place.latents, place.tokenizer, place.text


def place_of(cache: Path, world: str, split: int) -> Place:
    """A world under a split, in the cache's folders."""
    found = (design.WORLDS | design.MORE)[world]
    material = Stamps.prepare(cache) if found.stamps else Emoji.prepare(cache)
    return Place(material, cache / "worlds", found, design.Split(split))


def run(cache: Path, world: str, split: int, part: int, threads: int = 0) -> None:
    """One part of a world under a split. It is here, and not beside `main`, so that another process can find it by name.

    Part 0: the base, four experts and the near copy. Part 1: four more. Part 2: the experts of their own seeds.
    Part 3: experts as users have them, see `kinds`.
    """
    if threads:
        torch.set_num_threads(threads)
    print(f"world {world}, split {split}, part {part}", flush=True)
    place = place_of(cache, world, split)
    if part == 3:
        kinds.train(place)
        return
    if part == 2:
        for plan in design.INDEPENDENT:
            place.train(plan)
        return
    if part == 0:
        place.train(design.BASE)
    for plan in design.EXPERTS[:4] if part == 0 else design.EXPERTS[4:]:
        place.train(plan, "base")
    if part == 0:
        place.train(design.COPY, "expert_1")


def median_tokens(place: Place) -> dict[str, float]:
    """Median number of tokens of a name, by language: the confound that the balanced tokenizer removes."""
    found = {}
    encoder = tokenizer.Encoder(place.tokenizer)
    for lang in place.concepts[0].names:
        rows = np.array([encoder(c.names[lang]) for c in place.concepts])
        found[lang] = float(np.median((rows != encoder.end).sum(1) - 1))
    return found
