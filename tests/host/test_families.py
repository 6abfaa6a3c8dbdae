"""Model families: what ComfyUI takes a file for, and which models can be compared at which tap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import score_prompt

Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def load(pack: ModuleType, stand_in: Callable[[str], str]) -> Load:
    made: dict[str, Any] = {}

    def one(name: str) -> Any:
        if name not in made:
            made[name] = pack.emoe_core.hosts.comfyui.experts.load.load_expert(stand_in(name), True)
        return made[name]

    return one


@pytest.fixture
def score(pack: ModuleType, load: Load) -> Callable[..., Any]:
    """`score(names, preset, width, options)`: a prompt of this width with these options."""

    def run(
        names: tuple[str, ...], preset: str = "fast", width: int = 768, extra: dict[str, Any] | None = None, **how: Any
    ) -> Any:
        chosen, made = pack.emoe_core.scoring.presets.PRESETS[preset], pack.emoe_core.experts.sets.ExpertSet()
        for name in names:
            made = made.add(load(name))
        generator = torch.Generator().manual_seed(0)
        text, empty = torch.randn(2, 1, 77, width, generator=generator)
        options = {"pooled_output": torch.randn(1, 1280, generator=generator), **(extra or {})}
        plain = {"noise_seed": 5, "noise_samples": 1}
        if chosen.estimator.startswith("centred"):
            plain["empty_prompt"] = [[empty, {"pooled_output": torch.zeros(1, 1280)}]]
        return score_prompt(
            pack.emoe_core.hosts.comfyui,
            made,
            [[text, options]],
            {"samples": torch.zeros(1, 4, 8, 8)},
            **{"tap": chosen.tap, "estimator": chosen.estimator, **plain, **how},
        ).report

    return run


@pytest.mark.parametrize(
    ("name", "config", "model", "prediction", "channels"),
    [
        ("xl", "SDXL", "SDXL", "EPS", 4),
        ("xl_v", "SDXL", "SDXL", "V_PREDICTION", 4),
        ("sd2", "SD20", "BaseModel", "EPS", 4),
        ("sd2_v", "SD20", "BaseModel", "V_PREDICTION", 4),
        ("inpainting", "SD15", "BaseModel", "EPS", 9),
    ],
)
def test_comfyuis_own_loader_takes_stand_ins_for_what_they_stand_for(
    name: str, config: str, model: str, prediction: str, channels: int, pack: ModuleType, stand_in: Callable[[str], str]
) -> None:
    import comfy.model_base
    import comfy.sd
    import comfy.supported_models
    import folder_paths

    path = folder_paths.get_full_path_or_raise("checkpoints", stand_in(name))
    loaded = comfy.sd.load_checkpoint_guess_config(path, output_vae=False, output_clip=False)[0]
    assert isinstance(loaded.model.model_config, getattr(comfy.supported_models, config))
    assert type(loaded.model) is getattr(comfy.model_base, model)
    assert pack.emoe_core.hosts.comfyui.experts.identity.prediction(loaded) == prediction
    assert loaded.model.diffusion_model.in_channels == channels


def test_sdxls_pooled_text_and_image_sizes_reach_the_latent(load: Load, score: Callable[..., Any]) -> None:
    """Each condition changes the score; sizes that are left out are the latent's own."""
    names = ("xl", "xl_v")
    plain = score(names, width=2048).score
    sized = score(names, width=2048, extra={"width": 1024, "height": 512, "crop_w": 0, "crop_h": 0})
    other_text = score(names, width=2048, extra={"pooled_output": torch.ones(1, 1280)}).score
    same = score(names, width=2048, extra={"width": 64, "height": 64}).score
    assert len({plain, sized.score, other_text}) == 3 and same == plain
    assert sized.settings.conditioning == ("crop_h=0", "crop_w=0", "height=512", "width=1024")


def test_eps_and_v_prediction_in_one_set(pack: ModuleType, score: Callable[..., Any]) -> None:
    """Warned about at the middle block, refused where predictions are compared, with the way out."""
    report = score(("xl", "xl_v"), width=2048)
    assert report.score > 0 and "'xl' EPS, 'xl_v' V_PREDICTION" in report.warnings[0]
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="predictions are not comparable.*middle block"):
        score(("xl", "xl_v"), "thorough", width=2048)


def test_inpainting_models_are_a_family_of_their_own(pack: ModuleType, score: Callable[..., Any]) -> None:
    """Among themselves they are scored, painting the whole picture; beside others they are refused when added."""
    for preset in ("fast", "thorough"):
        report = score(("inpainting", "inpainting_2"), preset)
        assert report.score > 0
    masked = {"concat_latent_image": torch.ones(1, 4, 8, 8), "concat_mask": torch.zeros(1, 1, 8, 8)}
    assert score(("inpainting", "inpainting_2"), extra=masked).score != score(("inpainting", "inpainting_2")).score
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="'inpainting' is SD15.*for inpainting.*one model family"):
        score(("other", "inpainting"))


def test_another_family_is_refused_by_name(pack: ModuleType, score: Callable[..., Any]) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="'xl' is KOALA_700M .*but 'other' is SD15"):
        score(("other", "xl"))


def test_number_formats_mix(load: Load, score: Callable[..., Any]) -> None:
    """fp32, fp16, bf16 and fp8 files of one base are one set, with a word on the coarse one, whatever it was loaded as."""
    assert not score(("other", "bf16", "fp32")).warnings
    report = score(("other", "bf16", "fp8", "fp32"))
    assert report.score > 0 and load("fp8").weights == "float8_e4m3fn"
    (warning,) = report.warnings
    assert "different precision" in warning and "'fp8' float8_e4m3fn" in warning


def test_lineage_is_told_from_parts_of_the_files(
    pack: ModuleType, load: Load, score: Callable[..., Any], comfy_base: Path
) -> None:
    """A stranger of the same shape: refused at the middle block, steered to the tap that works, and scored there."""
    from emoe_testing.checkpoints import make_sd15

    host = pack.emoe_core.hosts.comfyui
    make_sd15(comfy_base / "models" / "checkpoints" / "alien.safetensors", 99)
    made = [load("other"), host.experts.load.load_expert("alien.safetensors", True)]
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="do not descend from one base.*preset 'layout'"):
        pack.emoe_core.scoring.comparable.check_comparable(tuple(made), "mid_out")
    assert all(host.experts.partial.decoder_of(expert.model) for expert in made[1:])
    assert pack.emoe_core.scoring.comparable.check_comparable(tuple(made), "noise_pred") == []
