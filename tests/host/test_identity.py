"""A model's identity: plain models keep theirs, a patch counts with its parameters, and every process says the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.patches import Layers, holding, identities, strength
from emoe_testing.scoring import score_prompt

ROOT = Path(__file__).resolve().parents[2]
#: As they have always been: calibrations in the field were made for them.
PLAIN = {
    "expert_1": "2f96df541a32b0930343d6e865ea49ccc1db12b0abcb2575208e8ef50137c2d9",
    "expert_2": "c36e1dafa7643c6f718fa4fec5e7d5d8d69ae9f3cb467d69de899da741f271f4",
    "expert_3": "57aa9bf48c06e37f624a6af79fc6c0fad5fde29efae8691852a0328fe1c73058",
    "expert_4": "f6a58a140657fcf0ba91525b43e376c7fd26699097d202b0ef92ac5f5da9859d",
}
IN_A_PROCESS = """
import json, sys
from pathlib import Path
sys.path.extend([sys.argv[1] + "/scripts", sys.argv[1] + "/tests/support"])
from emoe_host.inprocess import import_comfyui, load_pack
import_comfyui(Path(sys.argv[2]), Path(sys.argv[3]))
pack = load_pack(Path(sys.argv[3]))
from emoe_testing.patches import identities
print("IDENTITIES" + json.dumps(identities(pack)))
"""


@pytest.fixture(scope="module")
def here(pack: ModuleType) -> dict[str, str]:
    return identities(pack)


@pytest.fixture
def experts(pack: ModuleType) -> Any:
    return pack.emoe_core.hosts.comfyui.experts.load


@pytest.fixture
def base(pack: ModuleType) -> Any:
    return pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts().experts[0].model


def test_plain_models_keep_the_identity_that_calibrations_name(pack: ModuleType) -> None:
    demo = pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts()
    assert {expert.name: expert.identity for expert in demo.experts} == PLAIN
    assert demo.calibrations


def test_other_parameters_of_a_patch_are_another_model(here: dict[str, str]) -> None:
    by_identity: dict[str, list[str]] = {}
    for word, identity in here.items():
        by_identity.setdefault(identity, []).append(word)
    # The model predicts the noise by itself: the node's choice of it is no change.
    assert [words for words in by_identity.values() if len(words) > 1] == [["plain", "sampling eps"]]
    assert here["plain"] == PLAIN["expert_1"]


def test_one_graph_built_twice_is_one_model(pack: ModuleType, here: dict[str, str]) -> None:
    assert identities(pack) == here


def test_another_process_says_the_same(tmp_path: Path, comfyui: Path, here: dict[str, str]) -> None:
    """Elsewhere on the disk, with sets and hashes in another order."""
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, str(ROOT), str(comfyui), str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.split("IDENTITIES")[1]) == here


def test_the_identity_is_the_same_while_the_patches_are_loaded(experts: Any, base: Any) -> None:
    """Object patches lie in the network then, and a LoRA is merged into weights that another patch holds."""
    import comfy.model_management
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    model = ModelSamplingDiscrete().patch(base, "v_prediction", False)[0]
    model.add_patches({key: (torch.ones_like(base.model.state_dict()[key]),)}, 0.5)
    model.set_model_attn2_patch(holding([base, base.model.diffusion_model, base.get_model_object("model_sampling")]))
    before = experts.expert_from_model(model, None, "").identity
    comfy.model_management.load_models_gpu([model])
    assert model.object_patches_backup and model.backup
    assert experts.expert_from_model(model, None, "").identity == before
    assert experts.expert_from_model(model.clone(), None, "").identity == before
    assert experts.expert_from_model(base, None, "").identity == PLAIN["expert_1"]


def test_a_models_taps_are_not_part_of_it(pack: ModuleType, experts: Any, base: Any) -> None:
    """Scoring puts them on clones of its own."""
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    model = ModelSamplingDiscrete().patch(base, "eps", False)[0]
    model.set_model_attn2_patch(strength(0.5))
    one = experts.expert_from_model(model, None, "one")
    made = pack.emoe_core.experts.sets.ExpertSet().add(one)
    width = base.model.model_config.unet_config["context_dim"]
    prompts = [[[torch.full((1, 77, width), value), {}]] for value in (0.0, 1.0)]
    score_prompt(
        pack.emoe_core.hosts.comfyui,
        made,
        prompts[0],
        {"samples": torch.zeros(1, 4, 16, 16)},
        empty_prompt=prompts[1],
        tap="mid_out",
        estimator="guidance",
        add_noise=True,
        noise_seed=0,
        steps=20,
        scheduler="normal",
        at_step=0,
        noise_samples=1,
    )
    assert experts.expert_from_model(model, None, "one").identity == one.identity


def test_another_model_in_a_patch_counts_by_its_weights_and_patches(experts: Any, pack: ModuleType) -> None:
    a, b, c, _ = (e.model for e in pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts().experts)
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    tuned = c.clone()
    tuned.add_patches({key: (torch.ones_like(c.model.state_dict()[key]),)}, 0.5)
    found = []
    for other in (b, c, tuned, c.clone(), Layers(0)):
        model = a.clone()
        model.set_model_attn2_patch(holding(other))
        found.append(experts.expert_from_model(model, None, "").identity)
    assert found[1] == found[3] and len(set(found)) == 4
