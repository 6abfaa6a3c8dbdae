"""World B's text encoder: trained on text alone, in all languages, on every thing, whatever the pictures' data is.

First, texts of one emoji in one language are pulled together against the batch (InfoNCE, van den Oord, Li and Vinyals,
arXiv 1807.03748). Then every text of every language is sorted to its emoji's English name, as the first part encodes it.
This second part ties the languages together; training on random pairs of languages from the start did not work.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..train_demo import runs
from ..train_demo.data import CATEGORIES
from ..train_demo.sources import LANGUAGES, Sources
from ..train_demo.text import TextEncoder
from ..train_demo.tokenizer import Encoder

BATCH = 256
STEPS = (550, 1650)
RATE = 1e-3
TEMPERATURE = 0.07


def texts(sources: Sources) -> dict[str, list[list[str]]]:
    """For every thing or face with a name in all languages: language to lists of name and keywords, in one order."""
    table: dict[str, dict[str, list[str]]] = {}
    for lang in LANGUAGES:
        raw = json.loads((sources.annotations / lang / "annotations.json").read_text("utf-8"))
        notes = raw["annotations"]["annotations"]
        table[lang] = {e: [v["tts"][0], *v.get("default", [])] for e, v in notes.items() if v.get("tts")}
    shared = sorted(set.intersection(*(set(words) for words in table.values())))
    things = set()
    for entry in json.loads(sources.emojibase.read_text("utf-8")):
        if entry.get("group") == 0 or entry.get("group") in CATEGORIES:
            things.add(entry["emoji"].replace("\ufe0f", "").replace("\ufe0e", ""))
    shared = [emoji for emoji in shared if len(emoji) == 1 and emoji in things]
    return {lang: [list(dict.fromkeys(words[emoji])) for emoji in shared] for lang, words in table.items()}


def pooled(net: TextEncoder, ids: Tensor, end: int) -> Tensor:
    """One unit vector per text: the hidden state at its first end token, as in CLIP.

    Texts go through in four parts of similar length, cut after the longest: no token sees the tokens after it, so the
    padding changes nothing.
    """
    place = (ids == end).int().argmax(dim=1)
    order = place.argsort()
    states = []
    for part in order.tensor_split(4):
        if len(part):
            here = place[part]
            states.append(net(ids[part, : int(here.max()) + 1])[torch.arange(len(part)), here])
    return F.normalize(torch.cat(states)[order.argsort()], dim=1)


class _Texts:
    """Every text as a row of ids, with its emoji and its language."""

    def __init__(self, sources: Sources, encode: Encoder) -> None:
        rows, self.emoji, self.language = [], [], []
        self.names: list[int] = []
        for number, words in enumerate(texts(sources).values()):
            for emoji, variants in enumerate(words):
                if number == 0:
                    self.names.append(len(rows))
                for text in variants:
                    rows.append(encode(text))
                    self.emoji.append(emoji)
                    self.language.append(number)
        self.ids = torch.tensor(rows)
        self.end = encode.end
        self.groups: dict[tuple[int, int], list[int]] = {}
        for row, key in enumerate(zip(self.language, self.emoji, strict=True)):
            self.groups.setdefault(key, []).append(row)
        self.pairs = [rows for rows in self.groups.values() if len(rows) > 1]


def train(sources: Sources, tokenizer: Path, out: Path) -> TextEncoder:
    """Both parts; resumes from `out`. Returns the finished encoder."""
    data = _Texts(sources, Encoder(tokenizer))
    first = _part(0, data, out.with_name("text_1.pt"), None)
    return _part(1, data, out, first)


def _part(part: int, data: _Texts, out: Path, start: TextEncoder | None) -> TextEncoder:
    torch.manual_seed(11 + part)
    net = TextEncoder()
    targets = torch.empty(0)
    if start is not None:
        net.load_state_dict(start.state_dict())
        with torch.no_grad():
            targets = torch.cat([pooled(start, ids, data.end) for ids in data.ids[data.names].split(BATCH)])
            targets = F.normalize(targets - targets.mean(0), dim=1)  # the part shared by all names separates none
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3, fused=True)
    average = runs.Average(net, 0.99)
    generator = torch.Generator().manual_seed(11 + part)
    first, seconds = runs.resume(runs.load(out), net, optimizer, average, generator)
    emoji = torch.tensor(data.emoji)
    progress = runs.Progress(out.stem, first, STEPS[part])
    for step in range(first, STEPS[part]):
        for group in optimizer.param_groups:
            group["lr"] = runs.cosine(step, STEPS[part], RATE, 50)
        if start is None:
            loss, right = _contrast(net, data, generator)
        else:
            pick = torch.randint(0, len(data.ids), (BATCH,), generator=generator)
            logits = pooled(net, data.ids[pick], data.end) @ targets.T / TEMPERATURE
            loss = F.cross_entropy(logits, emoji[pick])
            right = (logits.argmax(1) == emoji[pick]).float().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        average.update(net)
        progress(step, loss=loss.item(), right=right.item())
        if (step + 1) % 250 == 0 or step + 1 == STEPS[part]:
            runs.save(out, {
                "net": net.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state(),
                "generator": generator.get_state(), "step": step + 1, "seconds": seconds + progress.seconds,
            })  # fmt: skip
    net.load_state_dict(average.values)
    return net.eval()


def _contrast(net: TextEncoder, data: _Texts, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two texts of one emoji in one language must find each other among all of the batch."""
    pick = torch.randint(0, len(data.pairs), (BATCH,), generator=generator).tolist()
    left, right = [], []
    for index in pick:
        rows = data.pairs[index]
        a, b = torch.randperm(len(rows), generator=generator)[:2].tolist()
        left.append(rows[a])
        right.append(rows[b])
    logits = pooled(net, data.ids[left], data.end) @ pooled(net, data.ids[right], data.end).T / TEMPERATURE
    truth = torch.arange(BATCH)
    loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
    return loss, (logits.argmax(1) == truth).float().mean()
