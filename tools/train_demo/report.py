"""Measures the finished experts: a table by group of prompts as JSON, and a page of pictures to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import evaluate, train_vae
from .data import RATES, Corpus
from .sources import LANGUAGES
from .train import Net
from .vae import Autoencoder

DRAWN = 24
SCORED = 120
SEED = 21
SCORES = ("variance", "relative", "response", "centred_relative", "guidance")


def _truth(corpus: Corpus, group: str) -> dict[str, int]:
    """The concept that each prompt of a group means; empty for a group without meaning."""
    kinds = {"under_sampled": "under_sampled", "held_out": "held_out", "faces": "held_out_group"}
    lang = group if group in LANGUAGES else "en"
    if group in ("nonsense", "word_salad", "typos"):
        return {}
    kind = kinds.get(group, "main")
    return {c.names[lang]: i for i, c in enumerate(corpus.concepts) if c.group == kind}


def _pictures(made: Tensor) -> list[Image.Image]:
    array = ((made + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(a) for a in array]


def measure(
    nets: list[Net],
    vae: Autoencoder,
    corpus: Corpus,
    pictures: Tensor,
    prompts: dict[str, list[str]],
    tokenizer: Path,
    page: Path,
) -> dict[str, Any]:
    """Top-1 by nearest picture among all concepts (first expert), and how well each score separates a group from `fresh`."""
    groups: dict[str, Any] = {}
    scored: dict[str, Any] = {}
    rows: list[list[Image.Image]] = []
    for name, texts in prompts.items():
        drawn = texts if name in ("calibration", "fresh") else texts[:: max(1, len(texts) // DRAWN)][:DRAWN]
        truth = _truth(corpus, name)
        latents = evaluate.sample(nets[:1], evaluate.Prompts.of(drawn, tokenizer), SEED)
        made = evaluate.decode(vae, latents)
        rows.append(_pictures(made[:16]))
        groups[name] = {"drawn": len(drawn)}
        if truth:
            found = evaluate.nearest(made, pictures).tolist()
            right = [f == truth[text] for f, text in zip(found, drawn, strict=True)]
            groups[name]["top1"] = round(float(np.mean(right)), 3)
        scored[name] = evaluate.scores(nets, evaluate.Prompts.of(texts[:SCORED], tokenizer))
        print(f"measured {name}: {groups[name]}", flush=True)
    for name, table in scored.items():
        groups[name]["scored"] = len(table["relative"])
        groups[name]["median"] = {s: float(np.median(table[s])) for s in SCORES}
        if name != "fresh":
            groups[name]["auroc"] = {s: round(evaluate.auroc(scored["fresh"][s], table[s]), 3) for s in SCORES}
    languages = [lang for lang in LANGUAGES if lang in RATES and lang != "en"]
    order = ["fresh", *languages]
    shares = [RATES["en"], *(RATES[lang] for lang in languages)]
    summary = {s: round(evaluate.spearman(shares, [groups[g]["median"][s] for g in order]), 3) for s in SCORES}
    sheet = Image.new("RGB", (16 * 128, len(rows) * 128), (255, 255, 255))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * 128, y * 128))
    sheet.save(page)
    return {"groups": groups, "spearman_share_median_score": summary, "picture_seed": SEED}


def run(runs: Path, names: list[str], vae: Autoencoder, corpus: Corpus, pictures: Any, tokenizer: Path,
        prompts: Path, out: Path) -> None:  # fmt: skip
    """Loads, measures, writes `quality.json` and `contact.png`."""
    nets = [evaluate.load(runs / f"{name}.pt") for name in names]
    groups = json.loads(prompts.read_text("utf-8"))
    reference = train_vae.to_tensor(pictures)
    found = measure(nets, vae, corpus, reference, groups, tokenizer, out / "contact.png")
    with torch.no_grad():
        made = evaluate.decode(vae, train_vae.encode(vae, reference) * 0.18215)
    main = torch.tensor([c.group == "main" for c in corpus.concepts])
    error = (made - reference).square().mean((1, 2, 3)) / 4
    found["autoencoder_psnr"] = {
        "main": round(float((-10 * torch.log10(error[main])).mean()), 2),
        "others": round(float((-10 * torch.log10(error[~main])).mean()), 2),
    }
    (out / "quality.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
