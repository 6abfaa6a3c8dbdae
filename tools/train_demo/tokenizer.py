"""A byte-level BPE tokenizer in CLIP's format, trained on the captions at their training rates."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

VOCABULARY = 2048
LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"
_WORD = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def _merges(captions: Iterable[str]) -> list[tuple[str, str]]:
    """Learns more merges than are needed, in order of use."""
    model = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    model.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=2 * VOCABULARY,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        end_of_word_suffix="</w>",
    )
    model.train_from_iterator(captions, trainer)
    learnt: list[Any] = json.loads(model.to_str())["model"]["merges"]
    return [tuple(m) if isinstance(m, list) else tuple(m.split(" ", 1)) for m in learnt]


def _alphabet() -> list[str]:
    """The 256 byte symbols in byte order, as CLIP numbers them: printable bytes first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


def train(captions: Iterable[str], folder: Path) -> None:
    """Writes vocab.json, merges.txt and the configuration that CLIP tokenizers read."""
    symbols = _alphabet()
    vocabulary = symbols + [s + "</w>" for s in symbols]
    known = set(vocabulary)
    kept: list[tuple[str, str]] = []
    for left, right in _merges(captions):
        if len(vocabulary) == VOCABULARY - 2:
            break
        kept.append((left, right))
        if left + right not in known:
            known.add(left + right)
            vocabulary.append(left + right)
    vocabulary += [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    table = {token: i for i, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(table, ensure_ascii=False) + "\n", "utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in kept)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", "utf-8")
    config = {
        # no warning is needed here: the host itself cuts longer texts into chunks of 32
        **special, "add_prefix_space": False, "do_lower_case": True, "errors": "replace",
        "model_max_length": 8192, "tokenizer_class": "CLIPTokenizer",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


class Encoder:
    """Turns captions into rows of 32 ids, padded with the end token as in Stable Diffusion 1."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPTokenizer

        self.tokenizer: Any = CLIPTokenizer.from_pretrained(str(folder))
        self.start, self.end = self.tokenizer("")["input_ids"][:2]

    def __call__(self, caption: str) -> list[int]:
        """Ids of one caption; ids beyond the row are cut."""
        ids: list[int] = self.tokenizer(caption)["input_ids"][1:-1] if caption else []
        row = [self.start, *ids[: LENGTH - 2], self.end]
        return row + [self.end] * (LENGTH - len(row))
