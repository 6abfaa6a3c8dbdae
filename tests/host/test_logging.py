"""What the pack writes to the log: at INFO what takes long, at DEBUG why, and nothing about the host's own logging changed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import score_prompt

LAYOUT = {"tap": "noise_pred", "estimator": "variance", "noise_samples": 1}


def conditioning() -> list[list[Any]]:
    return [
        [torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(0)), {"pooled_output": torch.zeros(1, 768)}]
    ]


def test_loading_is_told_with_its_seconds_and_what_is_read_later(
    host: Any, stand_in: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    names = [stand_in("sd15"), stand_in("other")]
    with caplog.at_level(logging.INFO, logger="emoe"):
        experts = host.experts.load.load_experts(names, "encoder only")
        score_prompt(host, experts, conditioning(), {"samples": torch.zeros(1, 4, 8, 8)}, **LAYOUT)
    told = [record.getMessage() for record in caplog.records if record.name == "emoe"]
    assert [line.split(" in ")[0] for line in told] == [
        *(f"EMoE: loaded the expert '{name}' (encoder only)" for name in names),
        *(f"EMoE: read the decoder of '{Path(name).name}', which this score needs" for name in names),
    ]
    assert all(line.endswith(" s") for line in told)


def test_a_call_that_does_not_fit_is_told(
    host: Any, stand_in: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import comfy.model_management
    import comfy.samplers

    experts = host.experts.load.load_experts([stand_in("sd15"), stand_in("other")])
    real = comfy.samplers.CFGGuider.sample

    def small(self: Any, noise: torch.Tensor, *rest: Any, **others: Any) -> Any:
        if len(noise) > 1:
            raise comfy.model_management.OOM_EXCEPTION("out of memory")
        return real(self, noise, *rest, **others)

    monkeypatch.setattr(comfy.samplers.CFGGuider, "sample", small)
    with caplog.at_level(logging.INFO, logger="emoe"):
        how = {**LAYOUT, "noise_samples": 2}
        score_prompt(host, experts, conditioning(), {"samples": torch.zeros(1, 4, 8, 8)}, **how)
    assert caplog.text.count("EMoE: a call of 2 latents did not fit into memory and is made in halves") == 2


def test_the_hosts_own_logging_is_left_alone(pack: ModuleType) -> None:
    own = logging.getLogger("emoe")
    assert own.handlers == [] and own.level == logging.NOTSET and own.propagate
    root = Path(pack.__file__ or "").resolve().parent
    for path in (*(root / "nodes").rglob("*.py"), *(root / "emoe_core").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        allowed = path.relative_to(root).as_posix() in ("emoe_core/io/log.py", "emoe_core/cli/host.py")
        assert allowed or "import logging" not in text, path
