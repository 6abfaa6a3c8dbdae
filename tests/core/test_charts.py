"""Charts: the sizes asked for, nothing cut off at an edge, the same pixels every time, and lines where they belong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from emoe_core.charts import Mark, Series, as_array, bars, histogram, line_chart, matrix, stack, table
from emoe_core.charts import text as lettering
from emoe_core.charts.canvas import label_of, ticks
from emoe_core.charts.theme import THEMES, readable_on
from emoe_core.errors import EMoEError

LONG = "a very long name of an expert that nobody has room for, and then a little more of it " * 2
STRANGE = "Ölfass 猫 游乐场 κόσμος\nline \x00 two \U0001f600"


def pictures(theme: str, size: tuple[int, int] = (480, 320)) -> dict[str, Image.Image]:
    """Every chart with the most awkward input."""
    x = [0.0, 1e-9, 0.5, 1.0]
    wild = Series(LONG, x, [math.nan, 1e12, -3e11, 0.0], low=[0.0] * 4, high=[math.inf, 2e12, 1.0, 1.0])
    lines = [wild, *(Series(STRANGE, x, [i, i, 2 * i, 3e11 * i], dashed=i % 2 == 0, steps=i > 3) for i in range(9))]
    marks = [Mark(0.0, LONG), Mark(1.0, STRANGE, 1e12), Mark(math.nan, "nowhere"), Mark(0.5, "")]
    words: dict[str, str] = {"title": LONG, "x_label": LONG}
    return {
        "line": line_chart(lines, y_label=STRANGE, marks=marks, size=size, theme=theme, **words),
        "table": table([LONG, STRANGE], [[STRANGE, LONG], ["", "x"]], title=LONG, highlight=[True, False], theme=theme),
        "histogram": histogram(
            {LONG: [1, 2, 3], STRANGE: [1e9], "none": []}, marks=marks[:2], size=size, theme=theme, **words
        ),
        "bars": bars([LONG, STRANGE, ""], [1e9, math.nan, -1e7], theme=theme, width=size[0], **words),
        "matrix": matrix([[1e9, math.nan], [-1, 0]], [LONG, STRANGE], [STRANGE, LONG], title=LONG, theme=theme),
    }


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [(160, 120), (480, 320), (1000, 300)])
def test_sizes_are_exact_and_no_edge_is_touched(theme: str, size: tuple[int, int]) -> None:
    for name, picture in pictures(theme, size).items():
        assert picture.mode == "RGB"
        if name in ("line", "histogram"):
            assert picture.size == size
        pixels = np.asarray(picture)
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (edge == THEMES[theme].paper).all(), f"{name}: something is cut off at the edge"
        assert (pixels != THEMES[theme].paper).any()


def test_the_same_input_gives_the_same_pixels() -> None:
    first, second = pictures("light"), pictures("light")
    for name, picture in first.items():
        assert picture.tobytes() == second[name].tobytes()


def test_a_line_lies_where_its_numbers_say() -> None:
    """A level line at 3/4 of the axis, and a mark at 1/4: found again in the pixels, by their colours."""
    drawn = np.asarray(
        line_chart([Series("", [0, 1], [0.75, 0.75])], x_range=(0, 1), y_range=(0, 1), size=(400, 400))
    ).astype(int)
    level = np.asarray(
        line_chart(
            [Series("", [0, 1], [v, v]) for v in (0.0, 0.0, 1.0)], x_range=(0, 1), y_range=(0, 1), size=(400, 400)
        )
    ).astype(int)

    def rows(image: np.ndarray, colour: int) -> float:
        hit = np.abs(image - THEMES["light"].series[colour]).sum(axis=2) < 30
        return float(np.nonzero(hit.sum(axis=1) > 100)[0].mean())

    bottom, top = rows(level, 1), rows(level, 2)
    assert top < bottom and rows(drawn, 0) == pytest.approx(bottom + 0.75 * (top - bottom), abs=1.0)


def test_bars_are_as_long_as_their_values() -> None:
    image = np.asarray(bars(["a", "b", "c"], [1.0, 0.5, math.nan], width=600)).astype(int)
    lengths = (np.abs(image - image[tuple(np.argwhere(np.ptp(image, axis=2) > 90)[0])]).sum(axis=2) < 30).sum(axis=1)
    found = [length for i, length in enumerate(lengths) if length > 5 and (i == 0 or lengths[i - 1] != length)]
    assert found[0] / found[-1] == pytest.approx(2.0, rel=0.03)


def test_a_cell_shows_its_colour_and_a_missing_one_none() -> None:
    image = as_array(matrix([[0.0, 1.0, math.nan]], ["r"], ["a", "b", "c"], text=lambda _: "", cell=(60, 60)))[0]
    for colour in ((68, 1, 84), (253, 231, 36), THEMES["light"].grid):
        close = np.abs(image * 255 - colour).sum(axis=2) < 6
        assert close.sum() == pytest.approx(58 * 58, rel=0.05)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 1, 5, [0, 0.25, 0.5, 0.75, 1]),
        (0.13, 0.87, 4, [0.2, 0.4, 0.6, 0.8]),
        (-3, 12, 4, [0, 5, 10]),
        (5, 5, 4, [5]),
        (0, 3e-7, 4, [0, 1e-7, 2e-7, 3e-7]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, expected: list[float]) -> None:
    assert ticks(low, high, most) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("seed", range(30))
def test_ticks_are_few_inside_and_even(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = float(rng.normal() * 10.0 ** rng.integers(-6, 6))
    high = low + float(10.0 ** rng.uniform(-6, 6))
    found = ticks(low, high, 7)
    assert len(found) <= 7 and all(low - 1e-6 * (high - low) <= t <= high + 1e-6 * (high - low) for t in found)
    assert len(found) >= 2 or high - low < 1e-9 * abs(low)
    assert np.diff(found) == pytest.approx(np.full(len(found) - 1, found[1] - found[0]), rel=1e-5)


def test_numbers_have_the_digits_of_their_step() -> None:
    assert [label_of(*v) for v in ((0.25, 0.25), (1000, 500), (0.0, 0.1), (2e7, 1e7))] == [
        "0.25",
        "1000",
        "0.0",
        "2e+07",
    ]
    assert [label_of(v, 0.005, percent=True) for v in (0.1, 0.005)] == ["10.0 %", "0.5 %"]


@pytest.fixture
def no_system_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "SYSTEM_FONTS", ())


@pytest.mark.usefixtures("no_system_font")
def test_letters_that_no_font_has_are_escaped() -> None:
    assert "".join(piece for piece, _ in lettering.runs("a 猫 – ≤ b\x07", 13)) == "a \\u732b - <= b\\x07"
    assert histogram([1, 2], title="猫", size=(300, 200)).size == (300, 200)


def test_text_is_cut_to_its_room() -> None:
    cut = lettering.fitted(LONG, 13, 120)
    assert cut.endswith("…") and LONG.startswith(cut[:-1]) and 90 < lettering.width_of(cut, 13) <= 120
    assert lettering.fitted("short", 13, 120) == "short" and lettering.fitted("short", 13, 1) == ""


def test_series_are_told_apart_and_readable() -> None:
    """Contrast of every line against its paper at least 3 (WCAG 2, graphics) but for light's two faint extra colours."""

    def light(colour: tuple[int, int, int]) -> float:
        linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for theme in THEMES.values():
        assert len(set(theme.series)) == len(theme.series) >= 6
        contrasts = [
            (max(light(c), light(theme.paper)) + 0.05) / (min(light(c), light(theme.paper)) + 0.05)
            for c in theme.series[:3]
        ]
        assert min(contrasts) >= 3
    assert readable_on((253, 231, 36)) == (0, 0, 0) and readable_on((68, 1, 84)) == (255, 255, 255)


def test_arrays_and_grids() -> None:
    a, b = (histogram([1, 2, 3], size=(200, 150), theme=theme) for theme in ("light", "dark"))
    batch = as_array(a, b)
    assert batch.shape == (2, 150, 200, 3) and batch.dtype == np.float32 and batch.min() >= 0 and batch.max() == 1
    assert stack([a, a, a], columns=2).size == (400, 300)


def test_bad_input_is_named() -> None:
    for wrong, said in (
        (lambda: line_chart([Series("a", [1], [math.nan])]), "no finite number"),
        (lambda: line_chart([Series("a", [1, 2], [1])]), "'a' has x and y of different lengths"),
        (lambda: line_chart([Series("a", [1], [1])], size=(10, 10)), "too small"),
        (lambda: line_chart([Series("a", [1], [1])], theme="pink"), "no chart theme 'pink'"),
        (lambda: histogram([]), "no finite number"),
        (lambda: bars([], []), "at least one"),
        (lambda: matrix([[1.0]], ["a", "b"], ["c"]), "a name for every row"),
        (lambda: stack([]), "no chart"),
    ):
        with pytest.raises(EMoEError, match=said):
            wrong()


def test_a_table_is_as_wide_as_its_texts_and_marks_a_row() -> None:
    head, rows = ("experts", "gain"), [["one + another", "+0.01"], ["one", ""]]
    plain, marked = table(head, rows), table(head, rows, title="What each adds", highlight=[True, False])
    wide = table(head, [["one + another " * 3, "+0.01"], ["one", ""]])
    assert plain.width < wide.width and plain.height < table(head, rows * 4).height
    assert plain.tobytes() == table(head, rows).tobytes()
    colours = {one for _, one in marked.getcolors(1 << 20) or ()}
    assert colours - {one for _, one in table(head, rows, title="What each adds").getcolors(1 << 20) or ()}
    for wrong in ([], [["one"]]):
        with pytest.raises(EMoEError, match="a text for every column"):
            table(head, wrong)
