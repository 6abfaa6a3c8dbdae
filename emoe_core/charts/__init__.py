"""Small, exact charts on Pillow and numpy alone, for nodes, reports and the command line.

    from emoe_core.charts import Mark, Series, line_chart
    picture = line_chart([Series("score", x, y)], title="Risk by coverage", x_label="coverage", y_label="risk",
                         marks=[Mark(0.8, "chosen")])
    picture.save("risk.png")

There are five charts, `line_chart`, `histogram`, `bars`, `spreads` and `matrix`, and a `table`; `stack` puts several into one
picture. Each chart gives a `PIL.Image.Image` (RGB) of exactly `size` pixels; `as_array` makes it a ComfyUI image. `theme` is
"light" or "dark".
The colours are those of Okabe and Ito ("Color Universal Design", 2008), which colour-blind people can tell apart too.
The same input gives the same pixels: text is set in the font that Pillow brings. Only letters that it lacks come from a
font of the system, or are written as escapes where there is none.
"""

from .canvas import as_array, stack
from .grids import bars, matrix, spreads
from .lines import Mark, Series, histogram, line_chart
from .tables import table

__all__ = ["Mark", "Series", "as_array", "bars", "histogram", "line_chart", "matrix", "spreads", "stack", "table"]
