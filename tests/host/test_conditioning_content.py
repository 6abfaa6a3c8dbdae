"""What changes an encoding or stands beside the words counts by its content: hooks, tokenizer options, control images, masks."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import score_prompt

LATENT = {"samples": torch.zeros(1, 4, 16, 16)}
FAST = {"tap": "mid_out", "estimator": "relative", "noise_samples": 1}


@pytest.fixture(scope="module")
def lora(pack: ModuleType) -> dict[str, torch.Tensor]:
    import comfy.utils

    path = next((pack.emoe_core.demo.FOLDER / "loras").glob("*.safetensors"))
    found: dict[str, torch.Tensor] = comfy.utils.load_torch_file(str(path))
    return found


def hooked(clip: Any, lora: dict[str, Any], strength: float, to_conds: bool = True, schedule: bool = False) -> Any:
    """As Create Hook LoRA and Set CLIP Hooks make it."""
    import comfy.hooks
    from comfy_extras.nodes_hooks import SetClipHooks

    group = comfy.hooks.create_hook_lora(lora=lora, strength_model=strength, strength_clip=strength)
    (made,) = SetClipHooks().apply_hooks(clip, schedule, to_conds, group)
    return made


@pytest.fixture
def with_clip(pack: ModuleType, host: Any, demo: Any) -> Callable[[Callable[[Any], Any]], Any]:
    def made(change: Callable[[Any], Any]) -> Any:
        found = pack.emoe_core.experts.sets.ExpertSet()
        for expert in demo.experts[:2]:
            found = found.add(host.experts.load.expert_from_model(expert.model, change(expert.clip), expert.name))
        return found

    return made


def settings_of(host: Any, experts: Any, text: str = "sunflower") -> Any:
    positive = host.prompts.conditioning.encode_for_experts(experts, text)
    return score_prompt(host, experts, positive, LATENT, **FAST).report.settings


@pytest.mark.parametrize("to_conds", [True, False])
def test_a_lora_hook_counts_with_its_strength(host: Any, with_clip: Any, lora: Any, to_conds: bool) -> None:
    strengths = (1.0, 0.5, 0.0, -2.0)
    found = [settings_of(host, with_clip(lambda clip, s=s: hooked(clip, lora, s, to_conds))) for s in strengths]
    plain = settings_of(host, with_clip(lambda clip: clip))
    assert len({one.text_encoders for one in (*found, plain)}) == 5
    again = settings_of(host, with_clip(lambda clip: hooked(clip, lora, 1.0, to_conds)), "red horse")
    assert again == found[0]  # another prompt, other objects, after runs with the first ones


def test_a_lora_hook_counts_with_its_weights(host: Any, with_clip: Any, lora: Any) -> None:
    other = {name: value * 1.5 for name, value in lora.items()}
    one, two = (settings_of(host, with_clip(lambda clip, w=w: hooked(clip, w, 1.0))) for w in (lora, other))
    assert one.text_encoders != two.text_encoders and one.conditioning != two.conditioning


def test_the_schedule_counts(host: Any, with_clip: Any, lora: Any) -> None:
    one, two = (settings_of(host, with_clip(lambda clip, on=on: hooked(clip, lora, 1.0, schedule=on))) for on in (0, 1))
    assert one.text_encoders != two.text_encoders


def test_tokenizer_options_count(host: Any, with_clip: Any) -> None:
    def padded(least: int, length: int) -> Callable[[Any], Any]:
        def change(clip: Any) -> Any:
            made = clip.clone()
            made.set_tokenizer_option("t5xxl_min_padding", least)
            made.set_tokenizer_option("t5xxl_min_length", length)
            return made

        return change

    identities = {
        with_clip(padded(*options)).experts[0].text_encoder_identity() for options in ((0, 0), (0, 20), (3, 0), (0, 0))
    }
    assert len(identities) == 3


def controlled(image: torch.Tensor, strength: float) -> Any:
    import comfy.controlnet

    control = comfy.controlnet.ControlBase()
    return control.set_cond_hint(image, strength, (0.0, 0.8))


def test_what_stands_beside_the_words_counts_by_its_content(host: Any) -> None:
    extras = host.prompts.conditioning.extras
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def beside(**options: Any) -> tuple[str, ...]:
        found: tuple[str, ...] = extras([[torch.zeros(1, 77, 96), {"pooled_output": torch.zeros(1, 96), **options}]])
        return found

    kinds = [
        beside(control=controlled(image, 1.0)),
        beside(control=controlled(image, 0.5)),
        beside(control=controlled(image + 0.1, 1.0)),
        beside(mask=image[:, 0], mask_strength=1.0),
        beside(mask=image[:, 1], mask_strength=1.0),
        beside(concat_latent_image=image),
        beside(reference_latents=[image]),
        beside(reference_latents=[image, image]),
        beside(gligen=("position", torch.nn.Linear(2, 2), [(image[0, 0], 1, 1, 0, 0)])),
        beside(guidance=3.5),
        beside(area=(8, 8, 0, 0)),
    ]
    assert len(set(kinds)) == len(kinds)
    assert beside(control=controlled(image.clone(), 1.0)) == kinds[0]
    assert kinds[-2:] == [("guidance=3.5",), ("area=(8, 8, 0, 0)",)]
    used = controlled(image, 1.0)
    used.cond_hint, used.timestep_range = image * 2, (14.0, 3.0)  # what a run leaves
    assert beside(control=used) == kinds[0]


def test_what_encoders_write_of_a_text_counts_by_its_name(host: Any) -> None:
    own = (torch.zeros(1, 77, 96), {"pooled_output": None, "attention_mask_img": torch.ones(1, 5), "num_tokens": [3]})
    options = {**own[1], host.prompts.conditioning.PER_EXPERT: (own,)}
    assert host.prompts.conditioning.extras([[own[0], options]]) == ("attention_mask_img", "num_tokens")
