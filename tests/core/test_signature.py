"""Identity and lineage from weights."""

from __future__ import annotations

import pytest
import torch

from emoe_core.errors import EMoEError
from emoe_core.experts.signature import RELATED, relatedness, signature
from emoe_core.io.files import file_sha256


def net(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"in.weight": (32, 4, 3, 3), "mid.weight": (64, 64), "out.weight": (4, 32, 3, 3)}
    made = {name: torch.randn(shape, generator=generator) / 10 for name, shape in shapes.items()}
    return {**made, "norm.weight": torch.ones(64), "norm.bias": torch.zeros(64)}


def tuned(base: dict[str, torch.Tensor], amount: float, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: w + amount * w.std().nan_to_num() * torch.randn(w.shape, generator=generator) for name, w in base.items()
    }


def test_same_weights_same_digest_in_any_order_and_precision_that_holds_them() -> None:
    weights = {name: w.half() for name, w in net(0).items()}
    a = signature(weights.items())
    b = signature(reversed([(name, w.float()) for name, w in weights.items()]))
    assert a.digest == b.digest and relatedness(a, b) == 1


def test_eight_bit_floats_can_be_read() -> None:
    weights = {name: w.to(torch.float8_e4m3fn) for name, w in net(0).items()}
    assert signature(weights.items()).digest == signature((name, w.float()) for name, w in weights.items()).digest


@pytest.mark.parametrize("name", ["in.weight", "norm.bias"])
def test_one_changed_tensor_changes_the_digest(name: str) -> None:
    changed = net(0)
    changed[name] = changed[name] + 1e-3
    assert signature(net(0).items()).digest != signature(changed.items()).digest


def test_a_renamed_or_reshaped_tensor_changes_the_layout() -> None:
    plain, other = net(0), net(0)
    other["mid.weight"] = other["mid.weight"].reshape(128, 32)
    assert signature(plain.items()).layout != signature(other.items()).layout
    assert relatedness(signature(plain.items()), signature(other.items())) == 0


@pytest.mark.parametrize("amount", [0.01, 0.3, 1.0])
def test_fine_tunes_are_related_even_after_long_training(amount: float) -> None:
    base = net(0)
    a, b = (signature(tuned(base, amount, seed).items()) for seed in (1, 2))
    assert relatedness(a, b) > RELATED


def test_other_seeds_are_not_related_though_their_norms_are_equal() -> None:
    for seed in range(1, 20):
        assert abs(relatedness(signature(net(0).items()), signature(net(seed).items()))) < RELATED


def test_nan_weights_are_related_to_nothing() -> None:
    broken = {name: w * torch.nan for name, w in net(0).items()}
    assert relatedness(signature(net(0).items()), signature(broken.items())) == 0


def test_file_hash_follows_the_content(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    assert file_sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file.write_bytes(b"abcd")
    assert file_sha256(file) == "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"
    with pytest.raises(EMoEError, match="cannot be read"):
        file_sha256(tmp_path / "missing")
