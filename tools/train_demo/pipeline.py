"""The stages of the training, in order. Each one resumes after an interruption, and is skipped when it is done."""

from __future__ import annotations

import argparse
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import evaluate, export, report, runs, tokenizer, train, train_vae, truth
from .data import Concept, Corpus, build_corpus, pictures, select_concepts
from .sources import Sources, prepare
from .vae import SCALE

PICTURE_WEIGHTS = {"main": 3.0, "under_sampled": 2.0, "held_out": 1.0, "held_out_group": 1.0}


class Work:
    """The cache folder and what every stage needs from it."""

    def __init__(self, cache: Path, out: Path) -> None:
        self.cache, self.out = cache, out
        self.runs = cache / "runs"
        self.runs.mkdir(parents=True, exist_ok=True)
        self.sources: Sources = prepare(cache)
        self.concepts: list[Concept] = select_concepts(self.sources)
        self.corpus: Corpus = build_corpus(self.concepts)
        self.pictures: NDArray[np.uint8] = pictures(self.sources, (c.emoji for c in self.concepts))
        weights = np.array([PICTURE_WEIGHTS[c.group] for c in self.concepts])
        self.weights: NDArray[np.float64] = weights / weights.sum()

    @cached_property
    def tokenizer(self) -> Path:
        """The tokenizer's folder; trained if it is missing."""
        folder = self.cache / "tokenizer"
        if not (folder / "tokenizer_config.json").exists():
            tokenizer.train(self.corpus.caption, folder)
        return folder

    @cached_property
    def latents(self) -> Tensor:
        """The pictures' scaled latents, stored in a file so that all runs see the same numbers."""
        path = self.cache / "latents.pt"
        if not path.exists():
            net = train_vae.whitened(self.runs / "vae.pt", self.pictures)
            torch.save(train_vae.encode(net, train_vae.to_tensor(self.pictures)) * SCALE, path)
        found: Tensor = torch.load(path, weights_only=True)
        return found


def stage_vae(work: Work) -> None:
    """Both halves of the autoencoder."""
    train_vae.train(work.pictures, work.weights, work.runs / "vae.pt")


def stage_decoder(work: Work) -> None:
    """More training of the decoder."""
    net = train_vae.whitened(work.runs / "vae.pt", work.pictures)
    train_vae.refine(net, work.pictures, work.weights, work.runs / "decoder.pt")


def stage_base(work: Work) -> None:
    """The base, from scratch."""
    train.train(train.BASE, work.corpus, work.latents, work.tokenizer, work.runs / "base.pt")


def stage_expert(work: Work, index: int) -> None:
    """One expert, from the base."""
    plan = train.EXPERTS[index]
    out = work.runs / f"{plan.name}.pt"
    train.train(plan, work.corpus, work.latents, work.tokenizer, out, start=work.runs / "base.pt")


def stage_export(work: Work) -> None:
    """Weights, tokenizer, ground truth, prompts, reference pictures and licences."""
    out = work.out
    folder = out / "weights"
    vae = train_vae.finished(work.runs / "vae.pt", work.runs / "decoder.pt", work.pictures)
    counts = [(runs.load(work.runs / f"{name}.pt") or {"step": 0})["step"] for name in ("vae", "decoder")]
    preview = export.preview_map(work.latents, train_vae.to_tensor(work.pictures))
    export.export_vae(vae, (counts[0], counts[1]), preview, folder / "vae.safetensors")
    for plan in train.EXPERTS:
        state = work.runs / f"{plan.name}.pt"
        steps = (runs.load(state) or {"step": 0})["step"]
        export.export_expert(evaluate.load(state), plan, steps, folder / f"{plan.name}.safetensors")
    shutil.copytree(work.tokenizer, folder / "tokenizer", dirs_exist_ok=True)
    truth.write(work.corpus, work.pictures, work.sources, out)


def stage_report(work: Work) -> None:
    """Measures the exported files."""
    vae = train_vae.finished(work.runs / "vae.pt", work.runs / "decoder.pt", work.pictures)
    names = [plan.name for plan in train.EXPERTS]
    report.run(work.runs, names, vae, work.corpus, work.pictures, work.tokenizer, work.out / "prompts.json", work.cache)


STAGES = {
    "vae": stage_vae,
    "decoder": stage_decoder,
    "base": stage_base,
    "expert_1": lambda work: stage_expert(work, 0),
    "expert_2": lambda work: stage_expert(work, 1),
    "expert_3": lambda work: stage_expert(work, 2),
    "expert_4": lambda work: stage_expert(work, 3),
    "export": stage_export,
    "report": stage_report,
}


def main() -> int:
    """Runs all stages, or the named ones."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_demo", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder for downloads, training states and results")
    parser.add_argument("--out", type=Path, help="where the results go (default: export/ in the cache)")
    parser.add_argument("--stage", choices=list(STAGES), action="append", help="only this stage (repeatable)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    work = Work(arguments.cache, arguments.out or arguments.cache / "export")
    for name, stage in STAGES.items():
        if arguments.stage is None or name in arguments.stage:
            stage(work)
    return 0
