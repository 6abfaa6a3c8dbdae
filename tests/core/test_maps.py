"""The disagreement map: the score place by place, its colours by the legend, and what lies under it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from emoe_core.charts.theme import VIRIDIS
from emoe_core.errors import EMoEError
from emoe_core.records.report import ItemScore, Maps, Report
from emoe_core.records.settings import Settings
from emoe_core.scoring.estimators import ESTIMATORS, Measured
from emoe_core.scoring.variance import disagreement
from emoe_core.show.disagreement_map import Look, disagreement_image, enlarged, map_picture, mask


def latents(experts: int = 3, seed: int = 0, shape: tuple[int, ...] = (2, 2, 4, 5, 6)) -> list[torch.Tensor]:
    """[K, B, C, h, w] an expert."""
    drawn = torch.randn(experts, *shape, generator=torch.Generator().manual_seed(seed))
    return list(drawn * torch.linspace(0.5, 2, shape[1]).reshape(1, 1, -1, *[1] * (len(shape) - 2)))


def report(experts: int = 3, shape: tuple[int, ...] = (4, 5, 6)) -> Report:
    names = tuple(f"e{i}" for i in range(experts))
    settings = Settings(names, names, "noise_pred", "relative", 14.6, 0, 2, shape, "empty", "float32")
    item = ItemScore(0.5, None, 0.1, None, 1.0, None)
    return Report(settings, (item,), names, ("",) * experts, ((0.0,) * experts,) * experts)


def measured(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(parts).flatten(3)


def test_the_mean_of_the_map_is_the_score() -> None:
    prompt, empty = latents(), latents(seed=1)
    plain = ESTIMATORS["relative"].compute(Measured(measured(prompt))).mean(0)
    assert disagreement(prompt).mean(dim=(1, 2)).tolist() == pytest.approx(plain.tolist(), rel=1e-5)
    centred = ESTIMATORS["centred_relative"].compute(Measured(measured(prompt), measured(empty))).mean(0)
    assert disagreement(prompt, empty).mean(dim=(1, 2)).tolist() == pytest.approx(centred.tolist(), rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 2, 4, 5, 6), (2, 2, 4, 3, 5, 6), (2, 2, 4, 7)], ids=["image", "video", "tokens"])
def test_the_map_of_the_layout_is_the_layouts_score_place_by_place(shape: tuple[int, ...]) -> None:
    """A channel's mean is over all its frames and places, as in the score."""
    prompt, empty = latents(shape=shape), latents(seed=1, shape=shape)
    prompt = [part + 5 + i for i, part in enumerate(prompt)]
    channel = torch.arange(4).repeat_interleave(prompt[0][0, 0, 0].numel())
    score = ESTIMATORS["centred_layout"].compute(Measured(measured(prompt), measured(empty), channel)).mean(0)
    found = disagreement(prompt, empty, layout=True)
    assert found.mean(dim=(1, 2)).tolist() == pytest.approx(score.tolist(), rel=1e-5)
    assert bool((disagreement(prompt, empty).mean(dim=(1, 2)) < 0.9 * score).all())
    assert not disagreement([prompt[0]] * 3, [empty[0]] * 3, layout=True).any()
    assert not disagreement(prompt[:1], empty[:1], layout=True).any()


def test_a_place_is_its_own_variance() -> None:
    """By hand with numpy, at one place of one item."""
    parts = latents()
    values = torch.stack(parts).double().numpy()  # [M, K, B, C, h, w]
    by_hand = np.mean(
        [values[:, k, 1, :, 2, 3].var(axis=0, ddof=1).mean() / np.square(values[:, k, 1]).mean() for k in range(2)]
    )
    assert float(disagreement(parts)[1, 2, 3]) == pytest.approx(by_hand, rel=1e-5)


def test_frames_are_averaged_and_tokens_keep_a_row() -> None:
    video = latents(shape=(2, 1, 4, 3, 5, 6))
    found = disagreement(video)
    assert found.shape == (1, 5, 6)
    score = ESTIMATORS["relative"].compute(Measured(measured(video))).mean()
    assert float(found.mean()) == pytest.approx(float(score), rel=1e-5)
    assert disagreement(latents(shape=(2, 1, 4, 7))).shape == (1, 1, 7)


def test_one_expert_has_no_disagreement_and_gets_no_map() -> None:
    assert not disagreement(latents(1)).any()
    with pytest.raises(EMoEError, match="compares experts and this score is of one alone"):
        map_picture(report(1), Maps(disagreement(latents(1))), None, Look())


def test_size_is_of_the_longer_side_and_the_legend_is_below() -> None:
    maps = Maps(disagreement(latents()))
    plain = map_picture(report(), maps, None, Look(size=300, legend=False))
    assert plain.shape == (2, 250, 300, 3)
    legend = map_picture(report(), maps, None, Look(size=300))
    assert legend.shape[0] == 2 and legend.shape[1] > 290 and legend.shape[2] == 300
    assert torch.equal(legend[:, :250], plain)
    assert float(legend.min()) >= 0 and float(legend.max()) <= 1
    wide = torch.rand(1, 40, 400, 3)
    look = Look(size=800, legend=False, beside=False)
    assert map_picture(report(), maps, wide, look).shape == (2, 80, 800, 3)


def bar_of(picture: torch.Tensor, height: int) -> torch.Tensor:
    """The legend's row of colours: the row below the picture that has the most of them."""
    rows = picture[height:]
    return max(rows, key=lambda row: len({tuple((pixel * 255).int().tolist()) for pixel in row}))


def test_the_legend_holds_the_maps_colours_from_zero_to_the_maximum() -> None:
    places = torch.linspace(0, 2, 36).reshape(1, 6, 6)
    picture = map_picture(report(shape=(4, 6, 6)), Maps(places), None, Look(size=512))[0]
    bar = bar_of(picture, 512)
    for share in (0.1, 0.35, 0.8):  # away from the ends and from the mean's mark in the middle
        x = round(16 + share * 480)
        index = share * (len(VIRIDIS) - 1)
        low = int(index)
        expected = [a + (b - a) * (index - low) for a, b in zip(VIRIDIS[low], VIRIDIS[low + 1], strict=True)]
        assert bar[x].tolist() == pytest.approx(expected, abs=0.03)
    mean = bar[round(16 + 0.5 * 480)]  # marked in the ink's colour
    assert float(mean.min()) > 0.8


def test_over_a_picture_the_legend_looks_as_the_map_does_there() -> None:
    """Over a grey of middle brightness, colour for colour."""
    places = torch.linspace(0, 2, 36).reshape(1, 6, 6)
    shape, maps = report(shape=(4, 6, 6)), Maps(places)
    grey = torch.full((1, 48, 48, 3), 0.5)
    picture = map_picture(shape, maps, grey, Look(size=512, beside=False))[0]
    bar = bar_of(picture, 512)
    shares = enlarged(places, 512, 512)[0]
    for share in (0.1, 0.35, 0.8):
        place = (shares - share).abs().argmin()
        there = picture[:512].reshape(-1, 3)[place]
        assert bar[round(16 + share * 480)].tolist() == pytest.approx(there.tolist(), abs=0.03)


def test_a_maximum_makes_colours_comparable() -> None:
    maps = Maps(torch.full((1, 6, 6), 0.5))
    shape = report(shape=(4, 6, 6))
    full = map_picture(shape, maps, None, Look(legend=False))
    half = map_picture(shape, maps, None, Look(maximum=1.0, legend=False))
    beyond = map_picture(shape, maps, None, Look(maximum=0.1, legend=False))
    assert full[0, 0, 0].tolist() == pytest.approx(VIRIDIS[-1])
    assert half[0, 0, 0].tolist() == pytest.approx(VIRIDIS[5])
    assert torch.equal(beyond, full)
    assert mask(shape, maps, None, Look(maximum=1.0)).unique().tolist() == [0.5]


def test_the_smallest_maximum_is_no_division_by_nothing() -> None:
    maps = Maps(torch.tensor([[[0.0, 0.5]]]))
    picture = map_picture(report(shape=(4, 1, 2)), maps, None, Look(maximum=5e-324, legend=False))
    assert picture.isfinite().all() and picture[0, 0, -1].tolist() == pytest.approx(VIRIDIS[-1])


def test_what_lies_under_it_shows_through_in_grey_most_where_experts_agree() -> None:
    maps, shape = Maps(torch.linspace(0, 1, 60).reshape(2, 5, 6)), report()
    under = torch.rand(1, 40, 48, 3, generator=torch.Generator().manual_seed(3))
    look: dict[str, Any] = {"size": 256, "legend": False, "beside": False}
    bare = map_picture(shape, maps, under, Look(strength=0.0, **look))
    assert torch.equal(bare[..., 0], bare[..., 1]) and torch.equal(bare[..., 1], bare[..., 2])
    assert torch.equal(bare[0], bare[1]) and float(bare.std()) > 0.03
    plain = map_picture(shape, maps, None, Look(**look))[:, : bare.shape[1]]
    full = map_picture(shape, maps, under, Look(strength=1.0, **look))
    half = map_picture(shape, maps, under, Look(strength=0.5, **look))
    assert torch.allclose(half, (bare + full) / 2, atol=1e-6)
    shares = enlarged(maps.disagreement, *bare.shape[1:3])
    most, least = shares == shares.max(), shares < 0.1
    assert torch.allclose(full[most], plain[most], atol=1e-5)
    covered = (full - bare)[least].abs().sum() / (plain - bare)[least].abs().sum()
    assert 0.25 < float(covered) < 0.45
    dark, light = (
        map_picture(shape, maps, torch.full((1, 8, 8, 3), v), Look(strength=0.0, **look)) for v in (0.0, 1.0)
    )
    assert float(dark.max()) < float(light.min())


def test_the_picture_itself_stands_beside_the_map_in_its_own_colours() -> None:
    maps, shape = Maps(disagreement(latents())), report()
    under = torch.tensor([0.9, 0.2, 0.1]).expand(1, 40, 48, 3)
    both = map_picture(shape, maps, under, Look(size=300, legend=False))
    assert both.shape == (2, 250, 600, 3)
    assert torch.allclose(both[:, :, :300], torch.tensor([0.9, 0.2, 0.1]), atol=1e-5)
    assert torch.equal(both[:, :, 300:], map_picture(shape, maps, under, Look(size=300, legend=False, beside=False)))
    assert map_picture(shape, maps, under, Look(size=300)).shape[2] == 600
    assert map_picture(shape, maps, None, Look(size=300, legend=False)).shape == (2, 250, 300, 3)


def test_a_mask_has_the_size_of_what_is_under_it() -> None:
    maps, shape = Maps(disagreement(latents())), report()
    assert mask(shape, maps, None, Look()).shape == (2, 40, 48)
    found = mask(shape, maps, torch.rand(2, 33, 77, 3), Look())
    assert found.shape == (2, 33, 77) and float(found.min()) >= 0 and float(found.max()) <= 1


def test_pictures_for_another_number_of_items_are_refused() -> None:
    with pytest.raises(EMoEError, match=r"image is a batch of 3 and the score one of 2"):
        map_picture(report(), Maps(disagreement(latents())), torch.rand(3, 8, 8, 3), Look())


def test_equal_experts_give_a_dark_map_and_a_legend_that_says_so() -> None:
    same = [latents()[0]] * 3
    picture = map_picture(report(), Maps(disagreement(same)), None, Look(size=256))
    assert torch.allclose(picture[0, :200], torch.tensor(VIRIDIS[0]))
    assert torch.isfinite(picture).all()


def test_the_plain_image_is_the_map_in_colours() -> None:
    places = torch.zeros(1, 2, 2)
    places[0, 0, 0] = 3.0
    image = disagreement_image(places, 16, 16)
    assert image.shape == (1, 16, 16, 3)
    assert image[0, 0, 0].tolist() == pytest.approx(VIRIDIS[-1], abs=0.02)
    assert image[0, -1, -1].tolist() == pytest.approx(VIRIDIS[0], abs=0.02)
