"""Everything that the experts are asked, once for all scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tools.train_demo.evaluate import GUIDANCE, STEPS
from tools.train_demo.train import Net, alphas
from tools.train_demo.unet import HEADS

from .cases import Case

FIRST_STEP = 999
SEEDS = (0, 1)
MORE_SEEDS = (0, 1, 2, 3)
BATCH = 128
#: Of a sampling of 20 steps, how many are taken; and of how many steps a picture is made where few must do.
EARLY = FEW = 4
#: Noise on the text's encoding, whose parts have variance one after the encoder's last norm.
JOLT, JOLTS = 0.2, (0, 1)
#: At which noise level an expert judges another's picture.
JUDGED_AT = 600


@dataclass(frozen=True)
class Passes:
    """What came back, by prompt P, noise sample K, expert M, and place in a latent of C channels.

    Attributes:
        shift: what the prompt changes in the noise prediction, [P, 4 K, M, C, places].
        middle: the middle block's output, mean over places, [P, K, M, D].
        entropy: of the cross-attention over tokens, mean over heads, places and layers, [P, K, M].
        shared_entropy: the same for the mean of the experts' attention, [P, K].
        maps: where the prompt's own tokens are looked at, [P, K, M, places of all layers].
        reworded: `shift` for other wordings of the prompt, [P, R, K, M, C, places].
        jolted: `shift` under noise on the text's encoding, [P, R, K, M, C, places].
        early: mean square of the guidance in the first steps of a sampling, [P, K, M, steps].
        begun: the clean picture seen after them, minus that of the empty prompt, [P, K, M, C, places].
        drawn: the picture of a sampling in few steps, [P, K, M, C, places].
        drawn_over_empty: the same minus the picture of the empty prompt.
        judged: by how much the prompt helps the next expert to clean an expert's noised picture, a share, [P, K, M].
        judged_own: the same for its own picture.
        words: the text encoding of each word, mean over its tokens, for each prompt [words, M, D].
    """

    shift: Tensor
    middle: Tensor
    entropy: Tensor
    shared_entropy: Tensor
    maps: Tensor
    reworded: Tensor
    jolted: Tensor
    early: Tensor
    begun: Tensor
    drawn: Tensor
    drawn_over_empty: Tensor
    judged: Tensor
    judged_own: Tensor
    words: list[Tensor]


def wordings(text: str) -> list[str]:
    """Other wordings that need no language model: a full stop, twice over, and without its middle letter."""
    middle = len(text) // 2
    return [f"{text}.", f"{text} {text}", text[:middle] + text[middle + 1 :]]


@torch.no_grad()
def ask(case: Case, say: Any = lambda text: None) -> Passes:
    """Asks the experts of a case for all its prompts; the empty prompt is asked once for each."""
    texts = case.texts
    asked = _Asked(case)
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(texts), BATCH):
        parts.append(asked.part(texts[start : start + BATCH]))
        say(f"{case.name}: {min(start + BATCH, len(texts))} of {len(texts)} prompts")
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Passes(words=[_words(case, text) for text in texts], **whole)


class _Asked:
    """A case's experts, with what they answer to the empty prompt."""

    def __init__(self, case: Case) -> None:
        self.case, self.signal = case, alphas()
        self.empty = [net.text(case.empty[None]) for net in case.nets]
        few = torch.linspace(FIRST_STEP, 0, FEW + 1).round().long()[:-1]
        many = torch.linspace(FIRST_STEP, 0, STEPS + 1).round().long()
        self.few, self.many = [*few.tolist(), -1], many[: EARLY + 1].tolist()
        self.unmoved = [
            [self._sample(net, self.empty[m], m, self._noise(seed))[0] for m, net in enumerate(case.nets)]
            for seed in SEEDS
        ]

    def part(self, texts: list[str]) -> dict[str, Tensor]:
        """All answers to these prompts but their words."""
        contexts = self._contexts(texts)
        own = (self.case.ids(texts) != self.case.encode.end).float()
        own[:, 0] = 0  # the start token
        others = [self._contexts(list(row)) for row in zip(*map(wordings, texts), strict=True)]
        seen = [self._look(seed, contexts, own) for seed in SEEDS]
        found = {name: torch.stack([one[name] for one in seen], dim=1) for name in seen[0]}
        more = [self._shift(seed, contexts) for seed in MORE_SEEDS[len(SEEDS) :]]
        found["shift"] = torch.cat([found["shift"], torch.stack(more, dim=1)], dim=1)
        found["reworded"] = torch.stack(
            [torch.stack([self._shift(seed, other) for seed in SEEDS], dim=1) for other in others], dim=1
        )
        found["jolted"] = torch.stack(
            [torch.stack([self._shift(seed, self._jolt(contexts, jolt)) for seed in SEEDS], dim=1) for jolt in JOLTS],
            dim=1,
        )
        drawn = [self._draw(seed, contexts) for seed in SEEDS]
        return found | {name: torch.stack([one[name] for one in drawn], dim=1) for name in drawn[0]}

    def _contexts(self, texts: list[str]) -> list[Tensor]:
        ids = self.case.ids(texts)
        return [net.text(ids) for net in self.case.nets]

    def _jolt(self, contexts: list[Tensor], seed: int) -> list[Tensor]:
        """The same noise for every prompt and expert, so that nothing but the prompt differs."""
        noise = torch.randn(contexts[0][:1].shape, generator=torch.Generator().manual_seed(1000 + seed))
        return [context + JOLT * noise for context in contexts]

    def _noise(self, seed: int) -> Tensor:
        side = self.case.side
        return torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(seed))

    def _shift(self, seed: int, contexts: list[Tensor]) -> Tensor:
        """What each expert's prediction differs by from that for the empty prompt, [P, M, C, places]."""
        noise = self._noise(seed)
        each = []
        for net, context, empty in zip(self.case.nets, contexts, self.empty, strict=True):
            out = _predict(net, noise.expand(len(context), -1, -1, -1), FIRST_STEP, context)
            each.append((out - _predict(net, noise, FIRST_STEP, empty)).flatten(2))
        return torch.stack(each, dim=1)

    def _look(self, seed: int, contexts: list[Tensor], own: Tensor) -> dict[str, Tensor]:
        """The first step, with the middle block and the attention to the text."""
        noise, every = self._noise(seed), []
        for net, context, empty in zip(self.case.nets, contexts, self.empty, strict=True):
            with _watched(net) as kept:
                out = _predict(net, noise.expand(len(context), -1, -1, -1), FIRST_STEP, context)
                one = {"middle": kept.pop("middle")[0].flatten(2).mean(dim=2), "attention": kept.pop("attention")}
            one["shift"] = (out - _predict(net, noise, FIRST_STEP, empty)).flatten(2)
            every.append(one)
        layers = [torch.stack(layer, dim=1) for layer in zip(*(one["attention"] for one in every), strict=True)]
        return {
            "shift": torch.stack([one["shift"] for one in every], dim=1),
            "middle": torch.stack([one["middle"] for one in every], dim=1),
            "entropy": torch.stack([_entropy(layer).mean(dim=(2, 3)) for layer in layers]).mean(dim=0),
            "shared_entropy": torch.stack([_entropy(layer.mean(1)).mean(dim=(1, 2)) for layer in layers]).mean(dim=0),
            "maps": torch.cat([torch.einsum("pmhst,pt->pms", layer, own) / layer.shape[2] for layer in layers], dim=2),
        }

    def _draw(self, seed: int, contexts: list[Tensor]) -> dict[str, Tensor]:
        """The beginning of a sampling, a whole one in few steps, and what the experts say to each other's pictures."""
        noise = self._noise(seed)
        begun = [
            self._sample(net, context, m, noise, self.many) for m, (net, context) in enumerate(self._each(contexts))
        ]
        drawn = [self._sample(net, context, m, noise)[0] for m, (net, context) in enumerate(self._each(contexts))]
        idle = [self._sample(net, self.empty[m], m, noise, self.many)[0] for m, net in enumerate(self.case.nets)]
        experts = len(drawn)
        return {
            "early": torch.stack([sizes for _, sizes in begun], dim=1),
            "begun": torch.stack([(x - still).flatten(2) for (x, _), still in zip(begun, idle, strict=True)], dim=1),
            "drawn": torch.stack([x.flatten(2) for x in drawn], dim=1),
            "drawn_over_empty": torch.stack(
                [(x - still).flatten(2) for x, still in zip(drawn, self.unmoved[seed], strict=True)], dim=1
            ),
            "judged": torch.stack([self._judge((m + 1) % experts, x, contexts) for m, x in enumerate(drawn)], dim=1),
            "judged_own": torch.stack([self._judge(m, x, contexts) for m, x in enumerate(drawn)], dim=1),
        }

    def _each(self, contexts: list[Tensor]) -> Iterator[tuple[Net, Tensor]]:
        return zip(self.case.nets, contexts, strict=True)

    def _sample(
        self, net: Net, context: Tensor, expert: int, noise: Tensor, times: list[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """DDIM with guidance: the clean picture seen at the last step, and the guidance's mean square at each, [P, steps]."""
        times = times or self.few
        x, sizes = noise.expand(len(context), -1, -1, -1), []
        clean = x
        for now, after in zip(times[:-1], times[1:], strict=True):
            yes = _predict(net, x, now, context)
            no = _predict(net, x if sizes else x[:1], now, self.empty[expert])  # the first is the same for all prompts
            sizes.append((yes - no).square().mean(dim=(1, 2, 3)))
            guess = no + GUIDANCE * (yes - no)
            a, b = self.signal[now], self.signal[after] if after >= 0 else torch.tensor(1.0)
            clean = (x - (1 - a).sqrt() * guess) / a.sqrt()
            x = b.sqrt() * clean + (1 - b).sqrt() * guess
        return clean, torch.stack(sizes, dim=1)

    def _judge(self, judge: int, pictures: Tensor, contexts: list[Tensor]) -> Tensor:
        net, a = self.case.nets[judge], self.signal[JUDGED_AT]
        noise = self._noise(JUDGED_AT)
        x = a.sqrt() * pictures + (1 - a).sqrt() * noise
        without, told = (
            (_predict(net, x, JUDGED_AT, context) - noise).square().mean(dim=(1, 2, 3))
            for context in (self.empty[judge], contexts[judge])
        )
        return (without - told) / without


def _predict(net: Net, x: Tensor, time: int, context: Tensor) -> Tensor:
    found: Tensor = net.unet(x, torch.full((len(x),), time), context.expand(len(x), -1, -1))
    return found


@contextmanager
def _watched(net: Net) -> Iterator[dict[str, list[Tensor]]]:
    """Keeps the middle block's output and the attention to the text, [P, heads, places, tokens] of each layer."""
    kept: dict[str, list[Tensor]] = {"middle": [], "attention": []}

    def attention(module: Any, args: tuple[Tensor, Tensor], _: Tensor) -> None:
        q, k = (
            f(y).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for f, y in zip((module.to_q, module.to_k), args, strict=True)
        )
        kept["attention"].append((q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3))

    handles = [
        module.register_forward_hook(attention)
        for name, module in net.unet.named_modules()
        if name.rpartition(".")[2] == "attn2"
    ]
    handles.append(net.unet.middle_block[-1].register_forward_hook(lambda _, __, out: kept["middle"].append(out)))
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _entropy(shares: Tensor) -> Tensor:
    return torch.special.entr(shares).sum(dim=-1)


def _words(case: Case, text: str) -> Tensor:
    """The encoding of each word in its place, mean over its tokens."""
    counts = [len([t for t in case.encode(word) if t != case.encode.end]) - 1 for word in text.split()]
    states = torch.stack([net.text(case.ids([text]))[0] for net in case.nets], dim=1)  # tokens, M, D
    ends = torch.tensor([1, *counts]).cumsum(0).clamp(max=len(states) - 1).tolist()
    words = [states[a:b].mean(dim=0) for a, b in zip(ends[:-1], ends[1:], strict=True) if b > a]
    return torch.stack(words) if words else states[:1]
