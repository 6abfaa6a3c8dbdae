"""Identity under every patch node that ComfyUI itself brings: the same on every host, before and after a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.patch_nodes import patch_nodes, patched

GOLDEN = Path(__file__).parent / "golden_patches.json"
#: Change what they do from release to release, so that a calibration with them is proved and not just accepted.
OTHERWISE_ELSEWHERE = {
    "ContextWindowsManual",  # newer hosts mend the first frame of each window
    "WanContextWindowsManual",
    "ModelSamplingAuraFlow",  # on another family's model: a noise scale that the model itself has not
    "ModelSamplingSD3",
}


@pytest.fixture(scope="module")
def base(pack: ModuleType) -> Any:
    return pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts().experts[0]


@pytest.fixture
def identity(pack: ModuleType) -> Any:
    return lambda model: pack.emoe_core.hosts.comfyui.experts.load.expert_from_model(model, None, "patched").identity


def test_a_patch_has_one_identity_on_every_host(base: Any, identity: Any) -> None:
    """After a new node or parameter, write the file anew with EMOE_UPDATE_GOLDEN=1 and read its diff."""
    nodes = patch_nodes()
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("EMOE_UPDATE_GOLDEN"):
        kept = {name: arguments for name, arguments in nodes.items() if name not in OTHERWISE_ELSEWHERE}
        golden = {
            name: {"arguments": a, "identity": identity(patched(name, base.model, a))} for name, a in kept.items()
        }
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    here = {name: kept for name, kept in golden.items() if name in nodes}
    assert len(here) >= 35
    found = {
        name: identity(patched(name, base.model, {**nodes[name], **kept["arguments"]})) for name, kept in here.items()
    }
    assert {name: one for name, one in found.items() if one != here[name]["identity"]} == {}


def test_a_run_leaves_the_identity_as_it_was(base: Any, identity: Any) -> None:
    """Random merging, averages over steps, masks of the last step: what a sampler's run left is no choice."""
    import comfy.sample

    nodes, ran, other = patch_nodes(), 0, []
    words = [[torch.randn(1, 32, 96, generator=torch.Generator().manual_seed(seed)), {}] for seed in (1, 2)]
    for name, arguments in nodes.items():
        try:
            model = patched(name, base.model, arguments)
        except Exception:  # a node for other families
            continue
        before = identity(model)
        latent = torch.zeros(1, 4, 16, 16)
        noise = comfy.sample.prepare_noise(latent, 0)
        try:
            given = (2, 4.0, "euler", "normal", [words[0]], [words[1]], latent)
            # a compiled network is put in place and taken out as ever; what is compiled, and for half a minute, is left out
            with torch.compiler.set_stance("force_eager"):
                comfy.sample.sample(model, noise, *given, disable_pbar=True, seed=0)
            ran += 1
        except Exception:  # likewise: what counts is what it left
            pass
        if identity(model) != before:
            other.append(name)
    assert other == [] and ran >= 30
