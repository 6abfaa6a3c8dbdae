"""Whether a calibration survives an update, and refuses anything else: proofs on other hosts and with other models.

    python benchmarks/hosts.py save FOLDER       with one ComfyUI: make models, calibrate on them
    python benchmarks/hosts.py compare FOLDER    with another one: the same models, the calibrations of the first
    python benchmarks/hosts.py judge [N]         with either: N altered sets to be refused, N equivalent ones to be accepted

`COMFYUI_PATH` and `EMOE_PYTHON` choose the ComfyUI. All differences are in standard deviations of the scores, like
the tolerance (`emoe_core.gating.proof`). The demo experts are trained. The other models have random weights, so their
scores say nothing and lie close together, which is a harder test of rounding.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from common import ROOT, comfyui, enter_host
from emoe_testing.patches import freeu
from emoe_testing.scoring import options, score_prompts

PROMPTS = 24
STEPS, LATER = 20, 6


class Words:
    """Replaces a text encoder: each text has its own encoding, the same everywhere."""

    def __init__(self, width: int, pooled: int) -> None:
        self.width, self.pooled = width, pooled

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str) -> Any:
        import torch

        seed = sum(ord(letter) * 31**place for place, letter in enumerate(text)) % 2**31
        generator = torch.Generator().manual_seed(seed)
        tensor = torch.randn(1, 77, self.width, generator=generator)
        return [[tensor, {"pooled_output": torch.randn(1, self.pooled, generator=generator)}]]


# --- sets of experts --------------------------------------------------------------------------------------------------


def expert_set(pack: ModuleType, models: list[Any], clips: list[Any]) -> Any:
    host, made = pack.emoe_core.hosts.comfyui.experts.load, pack.emoe_core.experts.sets.ExpertSet()
    for number, (model, clip) in enumerate(zip(models, clips, strict=True)):
        real = None if isinstance(clip, Words) else clip
        expert = host.expert_from_model(model, real, f"expert {number + 1}")
        made = made.add(expert if real is clip else replace(expert, clip=clip))
    return made


def shifted(model: Any, shift: float) -> Any:
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3

    return ModelSamplingSD3().patch(model, shift)[0]


def skipped(clip: Any, layer: int) -> Any:
    made = clip.clone()
    made.clip_layer(layer)
    return made


def with_lora(model: Any, clip: Any, path: Path, strength: float) -> tuple[Any, Any]:
    import comfy.sd
    import comfy.utils

    state = comfy.utils.load_torch_file(str(path), safe_load=True)
    made: tuple[Any, Any] = comfy.sd.load_lora_for_models(model, clip, state, strength, strength)
    return made


def random_lora(path: Path) -> Path:
    """A LoRA for the cut-down SD1.5: rank 4 on every query and key of the text."""
    import torch
    from emoe_testing import unet
    from safetensors.torch import save_file

    generator, weights = torch.Generator().manual_seed(3), {}
    for name, shape in unet.sd15((1, 2), 1).shapes():
        if name.endswith(("attn2.to_q.weight", "attn2.to_k.weight")):
            key = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
            weights[f"{key}.lora_up.weight"] = torch.randn(shape[0], 4, generator=generator) * 0.05
            weights[f"{key}.lora_down.weight"] = torch.randn(4, shape[1], generator=generator) * 0.05
            weights[f"{key}.alpha"] = torch.tensor(4.0)
    save_file(weights, path)
    return path


def transformer(make: Callable[..., Any], folder: Path, name: str, seed: int) -> Any:
    """A small transformer with the weights that the first host made, whatever names each host gives them."""
    from safetensors.torch import load_file, save_file

    model, path = make(seed), folder / f"{name}_{seed}.safetensors"
    network = model.model.diffusion_model
    if not path.exists():
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    kept, wanted = load_file(path), network.state_dict().keys()
    for old, new in ((".scale", ".weight"), (".weight", ".scale")):
        kept |= {k.removesuffix(old) + new: v for k, v in kept.items() if k.endswith(f"_norm{old}")}
    missing = network.load_state_dict(
        {key: value for key, value in kept.items() if key in wanted}, strict=False
    ).missing_keys
    assert set(missing) <= {"norm_final.weight"}, (
        missing
    )  # Z-Image has none; older releases make one and leave it unused
    return model


def sets(pack: ModuleType, folder: Path) -> Iterator[tuple[str, Any, tuple[int, ...], dict[str, Any]]]:
    """Name, experts, shape of the latent and settings of each set; once the first host made the files, they are reused."""
    import comfy.sd
    import torch
    from emoe_testing import checkpoints, transformers

    demo = pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts()
    for name in pack.emoe_core.scoring.presets.PRESETS:
        yield f"demo experts, {name}", demo, (4, 16, 16), question(pack, name)

    base = folder / "sd15_a.safetensors"
    files = [base, folder / "sd15_b.safetensors"]
    for number, path in enumerate(files):
        if not path.exists():
            plan = {"channel_mult": (1, 2), "text_encoder": True}
            checkpoints.make_sd15(path, number + 1, None if path == base else base, **plan)
    loaded = [comfy.sd.load_checkpoint_guess_config(str(path), output_vae=False, output_clip=True) for path in files]
    (a, b), (text, other) = [one[0] for one in loaded], [one[1] for one in loaded]
    lora = folder / "lora.safetensors"
    tuned, tuned_text = with_lora(a, text, lora if lora.exists() else random_lora(lora), 1.0)
    size, fast, layout = (4, 16, 16), question(pack, "fast"), question(pack, "layout")
    yield "SD1.5, fast", expert_set(pack, [a, b], [text, other]), size, fast
    yield "SD1.5, layout", expert_set(pack, [a, b], [text, other]), size, layout
    yield "SD1.5 with a LoRA", expert_set(pack, [tuned, b], [tuned_text, other]), size, layout
    yield "SD1.5 with FreeU", expert_set(pack, [freeu(a), freeu(b)], [text, other]), size, layout
    clips = [skipped(text, -2), skipped(other, -2)]
    yield "SD1.5 with clip skip -2", expert_set(pack, [a, b], clips), size, layout
    eight = comfy.sd.load_diffusion_model(str(files[1]), model_options={"dtype": torch.float8_e4m3fn})
    yield "SD1.5, fp8 beside fp16", expert_set(pack, [a, eight], [text, other]), size, layout

    for number in (1, 2):
        path = folder / f"sd3_{number}.safetensors"
        if not path.exists():
            transformers.make_sd3(path, number)
    sd3 = [comfy.sd.load_checkpoint_guess_config(str(folder / f"sd3_{n}.safetensors"), False, False)[0] for n in (1, 2)]
    flux = [transformer(transformers.make_flux, folder, "flux", n) for n in (1, 2)]
    z_image = [transformer(transformers.make_z_image, folder, "z_image", n) for n in (1, 2)]
    later = {**layout, "at_step": LATER}
    for name, models, words in (
        ("SD3", sd3, Words(transformers.SD3_CONTEXT, 2048)),
        ("Flux", flux, Words(transformers.FLUX_CONTEXT, 32)),
    ):
        made = expert_set(pack, [shifted(model, 3.0) for model in models], [words, words])
        yield f"{name} with a shift of 3, step {LATER}", made, (16, 16, 16), later
    words = Words(transformers.Z_IMAGE_CONTEXT, 8)
    yield "Flux", expert_set(pack, flux, [Words(transformers.FLUX_CONTEXT, 32)] * 2), (16, 16, 16), layout
    yield "Z-Image", expert_set(pack, z_image, [words, words]), (16, 16, 16), layout


def question(pack: ModuleType, preset: str) -> dict[str, Any]:
    made = pack.emoe_core.scoring.presets.PRESETS[preset]
    return {
        "tap": made.tap,
        "estimator": made.estimator,
        "add_noise": True,
        "noise_seed": 0,
        "steps": STEPS,
        "scheduler": "normal",
        "at_step": 0,
        "noise_samples": 2,
    }


def prompts() -> list[str]:
    """Reference prompts of the demo, evenly spaced over their scores."""
    kept = json.loads((ROOT / "emoe_core/demo/calibrations/layout.json").read_text(encoding="utf-8"))
    ranked = [prompt for _, prompt in sorted(zip(kept["scores"], kept["prompts"], strict=True))]
    return [ranked[round(k * (len(ranked) - 1) / (PROMPTS - 1))] for k in range(PROMPTS)]


def scored(pack: ModuleType, experts: Any, texts: list[str], shape: tuple[int, ...], how: dict[str, Any]) -> list[Any]:
    import torch

    host = pack.emoe_core.hosts.comfyui
    given = (host.prompts.conditioning.encode_for_experts(experts, text) for text in texts)
    latent = {"samples": torch.zeros(1, *shape)}
    return [one.report for one in score_prompts(host, experts, given, latent, brief=True, **how)]


# --- another host -----------------------------------------------------------------------------------------------------


def save(pack: ModuleType, folder: Path, only: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, experts, shape, how in sets(pack, folder):
        if only not in name:
            continue
        found = scored(pack, experts, prompts(), shape, how)
        kept = pack.emoe_core.records.calibration.Calibration(
            name, found[0].settings, tuple(one.score for one in found), tuple(prompts())
        )
        kept.save(folder / f"{name}.json")
        print(f"{name}: {kept.line()}", flush=True)


def compare(pack: ModuleType, folder: Path, only: str) -> int:
    print("| set | digests | largest difference | in standard deviations | verdicts that differ |")
    print("|---|---|---|---|---|")
    bad = 0
    for name, experts, shape, how in sets(pack, folder):
        if only not in name:
            continue
        kept = pack.emoe_core.records.calibration.Calibration.load(folder / f"{name}.json")
        found = scored(pack, experts, list(kept.prompts), shape, how)
        proof = proved(pack, experts, kept, shape, how)
        apart = [abs(new.score - old) for new, old in zip(found, kept.scores, strict=True)]
        flips = sum(
            (kept.p_value(new.score) <= alpha) != (kept.p_value(old) <= alpha)
            for alpha in (0.05, 0.1, 0.2, 0.5)
            for new, old in zip(found, kept.scores, strict=True)
        )
        word = "equal" if proof is None else "proved" if proof.holds else f"REFUSED: {proof.line()}"
        bad += word.startswith("REFUSED")
        spread = statistics.pstdev(kept.scores)
        print(f"| {name} | {word} | {max(apart):.1e} | {max(apart) / spread:.1e} | {flips} |", flush=True)
    return bad


def proved(pack: ModuleType, experts: Any, kept: Any, shape: tuple[int, ...], how: dict[str, Any]) -> Any:
    """The proof as Uncertainty Score makes it; None if the digests are equal."""
    import torch

    host = pack.emoe_core.hosts.comfyui
    run = host.scoring.score.Run.of(experts, {"samples": torch.zeros(1, *shape)}, options(host, **how))
    settings = run.settings(host.prompts.conditioning.encode_for_experts(experts, kept.prompts[0]))
    if kept.settings.question() != settings.question():
        raise SystemExit(f"{kept.name}: another question, {kept.settings.differences(settings)}")
    found = host.scoring.proving.Prover(run, settings).proofs([kept])
    return found[0] if found else None


# --- other models -----------------------------------------------------------------------------------------------------


def judge(pack: ModuleType, count: int) -> int:
    """Altered sets of the demo experts that must be refused, and equivalent ones that must be accepted."""
    demo = pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts()
    kept = {one.settings.estimator: one for one in demo.calibrations}
    presets = pack.emoe_core.scoring.presets.PRESETS
    wrong = 0
    for must_hold, kinds in ((False, altered(demo)), (True, alike(demo))):
        table: dict[str, list[float]] = {}
        failed = 0
        for number, (kind, make) in enumerate(itertools.islice(kinds, count)):
            name = ("layout", "fast", "thorough", "paper", "layout")[(number + number // 5) % 5]
            if kind.startswith("FreeU"):
                name = ("layout", "thorough")[number % 2]  # the change has its effect after the middle of the network
            calibration = kept[presets[name].estimator]
            models, clips = make()
            proof = proved(pack, expert_set(pack, models, clips), calibration, (4, 16, 16), question(pack, name))
            if proof is None:
                raise SystemExit(f"{kind}: equal digests")
            failed += proof.holds != must_hold
            ratio = proof.difference / proof.allowed
            table.setdefault(kind, []).append(ratio)
            if proof.holds != must_hold:
                print(f"WRONG: {kind} ({name}): {proof.line()}", flush=True)
        print(f"\n{'like sets' if must_hold else 'altered sets'}: {count - failed} of {count} judged right\n")
        print("| kind | sets | difference / allowed, least | median | most |\n|---|---|---|---|---|")
        for kind, ratios in sorted(table.items()):
            middle = statistics.median(ratios)
            print(f"| {kind} | {len(ratios)} | {min(ratios):.2g} | {middle:.2g} | {max(ratios):.2g} |", flush=True)
        wrong += failed
    return wrong


def put(things: list[Any], place: int, thing: Any) -> list[Any]:
    return [thing if other == place else one for other, one in enumerate(things)]


def altered(demo: Any) -> Iterator[tuple[str, Callable[[], tuple[list[Any], list[Any]]]]]:
    """Sets with changes that a user may have made, down to the smallest realistic ones."""
    import torch

    models, clips = [e.model for e in demo.experts], [e.clip for e in demo.experts]
    loras = sorted((ROOT / "emoe_core/demo/loras").glob("*.safetensors"))
    draw = random.Random(0)

    def lora(place: int, path: Path, strength: float) -> tuple[list[Any], list[Any]]:
        model, clip = with_lora(models[place], clips[place], path, strength)
        return put(models, place, model), put(clips, place, clip)

    def tuned(place: int, seed: int, amount: float) -> tuple[list[Any], list[Any]]:
        model, generator = models[place].clone(), torch.Generator().manual_seed(seed)
        weights = {k: w for k, w in model.model.state_dict().items() if k.startswith("diffusion_model.") and w.ndim > 1}
        model.add_patches(
            {k: (torch.randn(w.shape, generator=generator) * w.float().std(),) for k, w in weights.items()}, amount
        )
        return put(models, place, model), clips

    for number in itertools.count():
        place = draw.randrange(4)
        kind = number % 6
        if kind == 0:
            strength = draw.choice([0.1, 0.1, 0.2, -0.1, 0.5, 1.0])
            yield (
                f"a LoRA at {abs(strength):g} on one expert",
                lambda p=place, s=strength: lora(p, draw.choice(loras), s),
            )
        elif kind == 1:
            other = draw.choice([one for one in range(4) if one != place])
            yield (
                "one expert replaced by a copy of another",
                lambda p=place, o=other: (put(models, p, models[o]), put(clips, p, clips[o])),
            )
        elif kind == 2:
            yield "clip skip -2 on one expert", lambda p=place: (models, put(clips, p, skipped(clips[p], -2)))
        elif kind == 3:
            b2, version = draw.choice([1.1, 1.2, 1.3, 1.4]), draw.choice([1, 2])
            yield (
                "FreeU on one expert",
                lambda p=place, b=b2, v=version: (put(models, p, freeu(models[p], b2=b, version=v)), clips),
            )
        elif kind == 4:
            amount = draw.choice([0.03, 0.05, 0.1])
            yield (
                f"every weight of one expert moved by {amount:g} of its spread",
                lambda p=place, a=amount, n=number: tuned(p, n, a),
            )
        else:
            places = draw.sample(range(4), 4)
            if places == [0, 1, 2, 3]:
                places = [1, 0, 2, 3]
            yield "text encoders exchanged", lambda o=tuple(places): (models, [clips[one] for one in o])


def alike(demo: Any) -> Iterator[tuple[str, Callable[[], tuple[list[Any], list[Any]]]]]:
    """The same models as other machines compute them."""
    import comfy.ldm.modules.attention as attention
    import torch
    from comfy_extras.nodes_model_advanced import ModelComputeDtype

    models, clips = [e.model for e in demo.experts], [e.clip for e in demo.experts]
    draw = random.Random(0)
    backends = {
        "attention in parts": attention.attention_split,
        "sub-quadratic attention": attention.attention_sub_quad,
        "plain attention": attention.attention_basic,
        "PyTorch's attention": attention.attention_pytorch,
    }

    def with_backend(which: Any) -> list[Any]:
        made = []
        for model in models:
            clone = model.clone()
            clone.model_options["transformer_options"]["optimized_attention_override"] = (
                lambda function, *args, backend=which, **kwargs: backend(*args, **kwargs)
            )
            made.append(clone)
        return made

    def stored(dtype: Any) -> list[Any]:
        """The weights as a file of half the size stores them."""
        made = []
        for model in models:
            clone = model.clone()
            weights = {k: w for k, w in model.model.state_dict().items() if k.startswith("diffusion_model.")}
            clone.add_patches({k: ("set", (w.to(dtype).to(w.dtype),)) for k, w in weights.items()}, 1.0)
            made.append(clone)
        return made

    def threads(count: int) -> list[Any]:
        torch.set_num_threads(count)
        return with_backend(attention.attention_pytorch)

    for number in itertools.count():
        if number % 20 == 0:
            yield (
                "computed in half precision",
                lambda: ([ModelComputeDtype().patch(m, "fp16")[0] for m in models], clips),
            )
        elif number % 20 in (5, 15):
            yield "weights stored as bfloat16", lambda: (stored(torch.bfloat16), clips)
        elif number % 20 == 10:
            yield "another number of threads", lambda n=1 + number % 3: (threads(n), clips)
        else:
            name = draw.choice(sorted(backends))
            yield name, lambda which=backends[name]: (with_backend(which), clips)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("save", "compare", "judge"))
    parser.add_argument("where", nargs="?", default="200")
    parser.add_argument("--only", default="", help="sets whose name holds this")
    given = parser.parse_args()
    enter_host()
    with comfyui() as pack:
        if given.what == "save":
            save(pack, Path(given.where), given.only)
            return 0
        if given.what == "judge":
            return min(1, judge(pack, int(given.where)))
        return min(1, compare(pack, Path(given.where), given.only))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    sys.exit(main())
