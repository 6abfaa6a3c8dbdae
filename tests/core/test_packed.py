"""Packed weights: single values are those of the whole, in every format."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from emoe_core.errors import EMoEError
from emoe_core.experts import ggml, packed
from emoe_core.experts.sets import Expert
from emoe_core.experts.signature import Signature, Unread, relatedness, sample_values, signature
from emoe_core.scoring.comparable import check_comparable

#: Values of a block, bytes of it, where its 16-bit scales lie, and the SHA-256 of what these formats' reference (the gguf
#: package, 0.19) makes of the bytes of `raw_blocks` as little-endian float32.
REFERENCE: dict[str, tuple[int, int, tuple[int, ...], str]] = {
    "Q4_0": (32, 18, (0,), "6ff9767909fda94ea9186f163ff177cfeb23c14de5ddfbc7b6058282e6f1afad"),
    "Q4_1": (32, 20, (0, 2), "9e41a112f72bd9e6303307f8d6953e6c4c43e4d8bd989cab9635694d7a698292"),
    "Q5_0": (32, 22, (0,), "0af0b8a87627ee41f09c8ed50c36db112d2f1f9d8b8562373056ffc54e5b61bd"),
    "Q5_1": (32, 24, (0, 2), "b6b6ed2d0c52aed15e69753e68f1c6b4c9a8087803112ac6bdf6059ea25d0216"),
    "Q8_0": (32, 34, (0,), "57af4e8afbac1d2363a82abbbac683b961d12877e701991215d70eec75071599"),
    "Q2_K": (256, 84, (80, 82), "c9627ccfc71a8cb2885267c80fa7407191c650bf5458d1b775f0325278920bcf"),
    "Q3_K": (256, 110, (108,), "82f9c08c976c176660b9122f70176e2f2e73985bc787e80679d459d14fec7200"),
    "Q4_K": (256, 144, (0, 2), "7ef3e87f070fb712baa6dd5d403cbc4c14c0411964e7e64629a965baa55f4c22"),
    "Q5_K": (256, 176, (0, 2), "31f20f5ea607609cd008077539f275d4410177dcbeaf2f0b047d3917bfde6439"),
    "Q6_K": (256, 210, (208,), "9c5b6b21360ccf6a36147bb00cd5e047e5889709d83000cbe140a800c7f89f9f"),
    "IQ4_NL": (32, 18, (0,), "24ff0a49e5a566430a64f1b02d5243d9a6f8938df37e29c69614753667e15484"),
    "IQ4_XS": (256, 136, (0,), "092f5a196fccd4f32ad953a70b5465348ff254368bef0b63ef7a89474b3118f0"),
    "BF16": (1, 2, (0,), "f843940146840a140d55fe87953a034b4d188e9daaf841684328716d6b65c0fa"),
}


def raw_blocks(size: int, halves: tuple[int, ...], count: int = 40) -> torch.Tensor:
    """Blocks of every byte pattern in turn, with scales that are numbers."""
    made = (np.arange(count * size, dtype=np.int64) * 2654435761 >> 7).astype(np.uint8).reshape(count, size)
    scales = np.linspace(-1.5, 2.5, count * len(halves), dtype=np.float16).reshape(count, len(halves))
    for index, at in enumerate(halves):
        made[:, at : at + 2] = np.ascontiguousarray(scales[:, index : index + 1]).view(np.uint8)
    return torch.from_numpy(made)


@pytest.mark.parametrize("kind", list(REFERENCE))
def test_blocks_are_unpacked_as_their_reference_does(kind: str) -> None:
    length, size, halves, expected = REFERENCE[kind]
    raw = raw_blocks(size, halves)
    weight = ggml.blocks(raw, kind, (8, 5 * length))
    assert weight is not None and weight.shape == (8, 5 * length)
    whole = weight.values(torch.arange(40 * length))
    assert hashlib.sha256(whole.numpy().astype("<f4").tobytes()).hexdigest() == expected
    assert np.array_equal(weight.sample(64), sample_values(whole, 64))
    assert np.array_equal(weight.sample(10**6), whole.numpy())


def test_what_is_no_block_of_this_kind_is_not_unpacked() -> None:
    raw = torch.zeros(340, dtype=torch.uint8)
    assert ggml.blocks(raw, "Q8_0", (10, 32)) is not None
    assert ggml.blocks(raw, "Q8_0", (9, 32)) is None
    assert ggml.blocks(raw, "Q8_0", (10, 31)) is None
    assert ggml.blocks(raw, "TQ1_0", (10, 32)) is None


@pytest.mark.parametrize("scale", [torch.tensor(0.25), torch.rand(6, 1) + 0.1, torch.rand(6) + 0.1])
def test_numbers_times_a_scale(scale: torch.Tensor) -> None:
    for stored in (torch.randint(-127, 127, (6, 100), dtype=torch.int8), torch.randn(6, 100).to(torch.float8_e4m3fn)):
        weight = packed.scaled(stored, scale)
        assert weight is not None
        expected = stored.float() * (scale.reshape(-1, 1) if scale.numel() > 1 else scale)
        for count in (7, 64, 256, 600, 10**6):
            assert np.array_equal(weight.sample(count), sample_values(expected, count))
        columns = torch.rand(100)
        assert np.array_equal(weight.by_columns(columns).sample(64), sample_values(expected * columns, 64))


def test_a_scale_of_another_shape_is_not_guessed() -> None:
    assert packed.scaled(torch.zeros(6, 100, dtype=torch.int8), torch.ones(6, 4)) is None
    assert packed.scaled(torch.zeros(6, 100, dtype=torch.int8), torch.ones(100)) is None


def test_turned_rows_are_turned_back() -> None:
    weight = torch.randn(5, 192)
    four = torch.tensor([[1.0, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]])
    matrix = torch.kron(torch.kron(four, four), four) / 8
    assert torch.allclose(matrix @ matrix, torch.eye(64), atol=1e-6)
    turned = (weight.reshape(5, 3, 64) @ matrix.t()).reshape(5, 192)
    plain = packed.scaled(turned, None)
    assert plain is not None
    back = packed.turned_back(plain, 64)
    assert back is not None and np.allclose(back.sample(10**6), weight.reshape(-1), atol=1e-5)
    assert packed.turned_back(plain, 128) is None and packed.turned_back(plain, 32) is None


def test_scales_in_another_order_than_known_are_not_guessed() -> None:
    assert packed.nvfp4(torch.zeros(16, 16, dtype=torch.uint8), torch.ones(1), torch.ones(32), (16, 32)) is None
    assert packed.mxfp8(torch.zeros(32, 32, dtype=torch.uint8), torch.ones(32), (32, 32)) is None
    assert packed.int4_rows(torch.zeros(4, 8, dtype=torch.int8), torch.ones(4, 2), (4, 16)) is None
    assert packed.int4_groups(torch.zeros(4, 8, dtype=torch.int8), torch.ones(4, 3), torch.ones(4), (4, 16)) is None


# --- kinship ----------------------------------------------------------------------------------------------------------


def weights(seed: int, unread: int, of: int = 6) -> Signature:
    generator = torch.Generator().manual_seed(seed)
    plain = [torch.randn(16, 16, generator=generator) for _ in range(of)]
    return signature(
        (f"{i}.weight", Unread((16, 16), b"packed" + w.numpy().tobytes()) if i < unread else w)
        for i, w in enumerate(plain)
    )


def test_kinship_is_unknown_where_most_cannot_be_read() -> None:
    whole, other = weights(0, 0), weights(1, 0)
    assert weights(0, 2).unread == (0, 1) and weights(0, 2).layout == whole.layout
    assert relatedness(whole, weights(0, 3)) == pytest.approx(1) and abs(relatedness(other, weights(0, 3)) or 1) < 0.2
    assert relatedness(whole, weights(0, 4)) is None and relatedness(weights(1, 4), weights(0, 4)) is None
    assert relatedness(weights(0, 6), weights(0, 6)) == 1  # the same bytes
    assert weights(0, 6).digest != weights(1, 6).digest


def expert(name: str, own: Signature, stored: str = "") -> Expert:
    return Expert(name, None, None, own, own.digest, "", "tiny", "EPS", "float32", weights=stored)


def test_unknown_kinship_is_a_warning_and_another_layout_a_refusal() -> None:
    plain, closed, alike = expert("a", weights(0, 0)), expert("b", weights(0, 6)), expert("c", weights(1, 6))
    (warning,) = map(str, check_comparable((plain, closed, alike), "mid_out"))
    assert "'a', 'b', 'c' descend from one base model is unknown" in warning and "preset 'layout'" in warning
    assert check_comparable((plain, closed, alike), "noise_pred") == []
    larger = expert("d", weights(2, 7, of=7))
    with pytest.raises(EMoEError, match="'a' and 'd' cannot be laid side by side, since weights of 'd' are packed"):
        check_comparable((plain, larger), "mid_out")
    with pytest.raises(EMoEError, match="different shape"):
        check_comparable((plain, expert("e", weights(2, 0, of=7))), "mid_out")


def test_a_word_on_rounding() -> None:
    def said(*stored: str) -> list[str]:
        own = weights(0, 0)
        made = tuple(expert(f"e{i}", own, kind) for i, kind in enumerate(stored))
        return list(map(str, check_comparable(made, "noise_pred")))

    (warning,) = said("float8_e4m3fn", "float16")
    assert warning == (
        "The experts are stored in different precision ('e0' float8_e4m3fn, 'e1' float16); part of the score is rounding."
    )
    assert not said("float16", "bfloat16", "float32") and not said("nvfp4", "nvfp4") and not said("nvfp4", "")
