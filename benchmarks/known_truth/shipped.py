"""The shipped experts, measured as users run them: inside ComfyUI."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from emoe_testing.scoring import score_prompt, score_prompts

from . import ablations, columns, prompts
from .pictures import STEPS, Drawn, judge
from .prompts import HOW

MAIN = {"tap": "noise_pred", "estimator": "centred_relative"}
BATCH = 32
GUIDANCE = 4.0
#: What each of the four experts draws for its router row. They were trained on the same emoji, so none has a speciality.
GATE_PROMPTS = "sunflower\ndog\ncar\nhouse"


class Shipped:
    """The demo experts and everything known about them."""

    name = "shipped"

    def __init__(self, pack: ModuleType) -> None:
        self.host = pack.emoe_core.hosts.comfyui
        self.demo = pack.emoe_core.demo
        self.experts_module = pack.emoe_core.experts.sets
        self.experts = self.host.experts.demo_set.embedded_experts()
        self.truth: dict[str, Any] = self.demo.ground_truth()
        self._texts: dict[Any, Any] = {}

    def prompts(self, most: int) -> list[prompts.Prompt]:
        """At most `most` of every group."""
        return prompts.collect(self.truth, self.demo.prompts(), self._tokens, most)

    def _tokens(self, text: str) -> int:
        clip = self.experts.experts[0].clip
        (chunk, *rest) = next(iter(clip.tokenize(text).values()))
        ends = clip.tokenizer.clip_l.end_token if hasattr(clip.tokenizer, "clip_l") else chunk[-1][0]
        inner = [token for part in (chunk, *rest) for token, *_ in part if token != ends]
        return len(inner) - 1 - len(rest)  # one start token per chunk

    def measure(self, wanted: list[prompts.Prompt], say: Any) -> dict[str, list[float]]:
        """Every column."""
        import torch

        latent = {"samples": torch.zeros(1, 4, 16, 16)}
        texts = [prompt.text for prompt in wanted]

        def run(experts: Any, also: list[tuple[str, str]], what: str) -> list[Any]:
            encoded = (self._encoded(experts, text) for text in texts)
            reports = []
            for scored in score_prompts(self.host, experts, encoded, latent, also=also, **MAIN_OF[what], **HOW):
                reports.append(scored.report)
                say(f"{what}: {len(reports)} of {len(texts)} prompts")
            return reports

        found = columns.of_ensemble(run(self.experts, columns.readings(True), "ensemble"))
        singles = []
        for expert in self.experts.experts:
            one = self.experts_module.ExpertSet().add(expert)
            singles.append(run(one, [("mid_out", "response"), ("noise_pred", "response")], "single"))
        return found | columns.of_singles(singles) | {columns.ROUTING: self._routing(texts, say)}

    def _routing(self, texts: list[str], say: Any) -> list[float]:
        """Entropy of the router's choices in the paper's mixture, made of the same experts."""
        import torch

        latent = {"samples": torch.zeros(1, 4, 16, 16)}
        mixture = self.host.mixture.build.build_mixture(
            self.experts, GATE_PROMPTS, "", latent, layers="attn", top_k=2, steps=25, cfg=7.5, seed=0
        )
        how = {"tap": "mid_out", "estimator": "relative", **HOW}
        found = []
        for text in texts:
            positive = self.host.prompts.conditioning.encode_for_experts(mixture, text)
            found.append(score_prompt(self.host, mixture, positive, latent, **how).report.routing.entropy)
            say(f"mixture: {len(found)} of {len(texts)} prompts")
        return found

    def _encoded(self, experts: Any, text: str) -> Any:
        """The prompt through each expert's own text encoder; cached, since every case asks for it again."""
        key = (tuple(expert.identity for expert in experts.experts), text)
        if key not in self._texts:
            self._texts[key] = self.host.prompts.conditioning.encode_for_experts(experts, text)
        return self._texts[key]

    def ablate(self, wanted: list[prompts.Prompt], say: Any) -> dict[str, dict[str, list[float]]]:
        """The presets' columns under every case of `ablations.CASES`."""
        import torch

        found: dict[str, dict[str, list[float]]] = {}
        latent = {"samples": torch.zeros(1, 4, 16, 16)}
        for case, (count, samples, step) in ablations.CASES.items():
            experts = self.experts_module.ExpertSet()
            for expert in self.experts.experts[:count]:
                experts = experts.add(expert)
            how = HOW | {"noise_samples": samples, "at_step": step}
            encoded = (self._encoded(experts, prompt.text) for prompt in wanted)
            reports = []
            also = [("mid_out", "relative"), ("noise_pred", "centred_layout")]
            for scored in score_prompts(self.host, experts, encoded, latent, also=also, **MAIN, **how):
                reports.append(scored.report)
                say(f"{case}: {len(reports)} of {len(wanted)} prompts")
            every = columns.of_ensemble(reports)
            found[case] = {name: every[name] for name in columns.PRESETS.values()}
        return found

    def draw(self, asked: list[prompts.Prompt], seeds: tuple[int, ...], say: Any) -> Drawn:
        """Pictures of the first expert for every prompt and seed, judged against the true ones."""
        wanted = [prompt for prompt in asked if prompt.concepts]
        import comfy.sample
        import torch

        expert = self.experts.experts[0]
        vae = importlib.import_module(f"{self.host.__name__}.demo").load_demo_vae()
        empty = _encode(expert.clip, [""])
        true = _reference(self.demo, len(self.truth["concepts"]))
        quality = []
        for seed in seeds:
            noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
            parts = []
            for start in range(0, len(wanted), BATCH):
                texts = [prompt.text for prompt in wanted[start : start + BATCH]]
                latent = torch.zeros(len(texts), 4, 16, 16)
                drawn = comfy.sample.sample(
                    expert.model, noise.expand_as(latent).clone(), STEPS, GUIDANCE, "ddim", "ddim_uniform",
                    _encode(expert.clip, texts), empty, latent, disable_pbar=True, seed=seed,
                )  # fmt: skip
                parts.append(vae.decode(drawn).movedim(-1, 1))
                say(f"pictures, seed {seed}: {min(start + BATCH, len(wanted))} of {len(wanted)}")
            quality.append(judge(torch.cat(parts), true, [prompt.concepts for prompt in wanted]))
        return Drawn.mean(quality).among(asked)


MAIN_OF = {"ensemble": MAIN, "single": {"tap": "noise_pred", "estimator": "guidance"}}


def _encode(clip: Any, texts: list[str]) -> list[list[Any]]:
    """One CONDITIONING with a batch of texts: the demo's text encoder gives rows of one length."""
    import torch

    rows = [clip.encode_from_tokens_scheduled(clip.tokenize(text))[0] for text in texts]
    length = max(row[0].shape[1] for row in rows)
    padded = [row[0].repeat(1, length // row[0].shape[1], 1) for row in rows]
    return [[torch.cat(padded), dict(rows[0][1])]]


def _reference(demo: Any, count: int) -> Any:
    """The true pictures of all concepts from the shipped sheet, [N, 3, 32, 32] in 0..1."""
    import torch
    from PIL import Image

    with Image.open(demo.FOLDER / "reference.png") as page:
        sheet = np.asarray(page.convert("RGB"))
    side, columns_a_row = 32, sheet.shape[1] // 32
    tiles = [sheet[i // columns_a_row * side :, i % columns_a_row * side :][:side, :side] for i in range(count)]
    return torch.from_numpy(np.stack(tiles)).movedim(-1, 1).float() / 255
