"""The disagreement map as a picture: colours with a legend, over the picture that they describe."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..charts.canvas import SMALLEST, Canvas, as_array, label_of, ticks
from ..charts.theme import VIRIDIS
from ..errors import EMoEError
from ..records.report import Maps, Report
from ..scoring.variance import PIXELS_A_LATENT

SIZES = (256, 2048)
_LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709
#: Darkest and lightest grey under the colours: brighter greys would wash them out.
_GREYS = (0.05, 0.6)
#: Share of `strength` with which the colours cover places where experts agree; it rises to 1 with disagreement.
_LEAST = 0.3
_STEPS = 256


@dataclass(frozen=True)
class Look:
    """How the map is drawn.

    Attributes:
        size: pixels of the longer side, without the legend.
        strength: how much the colours cover the picture where experts disagree most, 0 to 1.
        maximum: the value of the brightest colour; 0 for the highest place of the batch.
        legend: whether the scale is drawn below.
        beside: whether the picture is also shown at the left of the map, in its own colours.
    """

    size: int = 512
    strength: float = 0.85
    maximum: float = 0.0
    legend: bool = True
    beside: bool = True


def map_picture(report: Report, maps: Maps, under: Tensor | None, look: Look) -> Tensor:
    """The map of each batch item, [B, H, W, 3], each with its legend below.

    Args:
        under: picture [B or 1, h, w, 3] to lay the map over; it turns grey, so that only the map has colours.

    Raises:
        EMoEError: a single expert, or a picture for another number of items.
    """
    places = maps.disagreement
    top = top_of(report, maps, look)
    height, width = sides_of(report, under)
    grow = look.size / max(height, width)
    height, width = max(1, round(height * grow)), max(1, round(width * grow))
    shares = enlarged(places, height, width, top)
    picture = viridis(shares)
    if under is not None:
        if under.shape[0] not in (1, places.shape[0]):
            raise EMoEError(
                f"Disagreement Map's image is a batch of {under.shape[0]} and the score one of {places.shape[0]}; connect "
                "one picture, or one per item."
            )
        own = _fitted(under[..., :3].float().cpu().clamp(0, 1), height, width)
        cover = look.strength * _cover(shares).unsqueeze(-1)
        picture = _ground(own) * (1 - cover) + picture * cover
        if look.beside:
            picture = torch.cat([own.expand_as(picture), picture], dim=2)
    if not look.legend:
        return picture
    means = places.flatten(1).mean(dim=1)
    strength = None if under is None else look.strength
    legends = [_legend(report, float(mean), top, picture.shape[2], strength) for mean in means]
    return torch.cat([picture, torch.stack(legends)], dim=1)


def mask(report: Report, maps: Maps, under: Tensor | None, look: Look) -> Tensor:
    """The map as a MASK [B, H, W] of the size of the picture below: 0 where experts agree, 1 where they agree least."""
    return enlarged(maps.disagreement, *sides_of(report, under), top_of(report, maps, look))


def top_of(report: Report, maps: Maps, look: Look) -> float:
    """The value of the brightest colour; an `EMoEError` where there is nothing to compare."""
    if len(report.experts) < 2:
        raise EMoEError(
            "Disagreement Map compares experts and this score is of one alone; add experts and score again with another "
            "preset than one_model."
        )
    smallest = torch.finfo(torch.float32).tiny  # what is smaller cannot be divided by
    return max(look.maximum, smallest) if look.maximum > 0 else float(maps.disagreement.max())


def sides_of(report: Report, under: Tensor | None) -> tuple[int, int]:
    """Height and width of the picture that the map describes."""
    if under is not None:
        return int(under.shape[1]), int(under.shape[2])
    height, width = report.settings.latent_shape[-2:]
    return height * PIXELS_A_LATENT, width * PIXELS_A_LATENT


def _cover(shares: Tensor) -> Tensor:
    """How much of `strength` covers a place: little where experts agree, so that the picture below stays visible."""
    return _LEAST + (1 - _LEAST) * shares


def _ground(picture: Tensor) -> Tensor:
    """The picture [..., 3] in the range of greys that may lie under the colours."""
    light = (picture * torch.tensor(_LUMA)).sum(dim=-1, keepdim=True)
    return (_GREYS[0] + (_GREYS[1] - _GREYS[0]) * light).expand_as(picture)


def _fitted(picture: Tensor, height: int, width: int) -> Tensor:
    channels_first = picture.movedim(-1, 1)
    return (
        interpolate(channels_first, size=(height, width), mode="bicubic", align_corners=False)
        .clamp(0, 1)
        .movedim(1, -1)
    )


def _scale(strength: float | None) -> Tensor:
    """The legend's colours [steps, 3], over a grey of middle brightness where the map lies over a picture."""
    shares = torch.linspace(0, 1, _STEPS)
    if strength is None:
        return viridis(shares)
    cover = strength * _cover(shares).unsqueeze(-1)
    return sum(_GREYS) / 2 * (1 - cover) + viridis(shares) * cover


def _legend(report: Report, mean: float, top: float, width: int, strength: float | None) -> Tensor:
    """A strip [h, width, 3] with the colours' scale and the mean of the map marked on it."""
    scale = min(max(width / 512, 0.75), 1.8)
    letter, pad = round(17 * scale), 16 * scale
    strip = round(96 * scale)
    canvas = Canvas((max(width, SMALLEST[0]), max(strip, SMALLEST[1])), "dark", scale)
    settings = report.settings
    canvas.text(pad, 20 * scale, f"disagreement of {len(report.experts)} experts", size=letter)
    canvas.text(canvas.width - pad, 20 * scale, f"mean {mean:.3g}", size=letter, align="right")
    left, right, above, below = pad, canvas.width - pad, 38 * scale, 58 * scale
    share = (right - left) / _STEPS
    for step, (red, green, blue) in enumerate((255 * _scale(strength)).round().int().tolist()):
        canvas.box(left + step * share, above, left + (step + 1) * share + 0.5, below, (red, green, blue))
    if top > 0:
        at = left + min(mean / top, 1.0) * (right - left)
        canvas.line([(at, above - 5 * scale), (at, below + 3 * scale)], canvas.theme.ink, 2.0)
        marks = ticks(0.0, top, 5)
        for value in marks:
            align = "left" if value == 0 else "right" if value > 0.93 * top else "centre"
            place = left + value / top * (right - left)
            text = label_of(value, marks[1] - marks[0] if len(marks) > 1 else value)
            canvas.text(place, 74 * scale, text, canvas.theme.faint, align, round(14 * scale))
    else:
        canvas.text(left, 74 * scale, f"0 everywhere at {settings.tap}", canvas.theme.faint, size=round(14 * scale))
    drawn = torch.from_numpy(as_array(canvas.finished()))[0]
    return drawn[:strip, :width]


def viridis(values: Tensor) -> Tensor:
    """Colours in [0, 1] for values in [0, 1]: adds a last axis of 3."""
    anchors = torch.tensor(VIRIDIS)
    place = values.clamp(0, 1) * (len(VIRIDIS) - 1)
    low = place.floor().long().clamp(max=len(VIRIDIS) - 2)
    share = (place - low).unsqueeze(-1)
    return anchors[low] * (1 - share) + anchors[low + 1] * share


def enlarged(places: Tensor, height: int, width: int, top: float | None = None) -> Tensor:
    """The map [B, h, w] at [B, height, width], as shares of `top` in [0, 1].

    `top` is the highest place of the whole batch unless given, so that the items of a batch can be compared.
    """
    top = float(places.max()) if top is None else top
    scaled = places / top if top > 0 else torch.zeros_like(places)
    return interpolate(scaled[:, None], size=(height, width), mode="bicubic", align_corners=False)[:, 0].clamp(0, 1)


def disagreement_image(places: Tensor, height: int, width: int) -> Tensor:
    """Picture [B, height, width, 3] of the disagreement [B, h, w]: dark where experts agree, yellow where least."""
    return viridis(enlarged(places, height, width))
