"""Common figures of analyses, drawn by matplotlib."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from lit_cv.analysis.contract import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
Numbers = NDArray[np.float64]
Curve = tuple[Numbers, Numbers]
DPI = 120


def curves(
    name: str,
    title: str,
    about: str,
    axes: tuple[str, str],
    lines: Mapping[str, Curve],
    *,
    unit: bool = True,
    diagonal: bool = False,
) -> Figure:
    """Return lines over a common axis.

    Args:
        name: See ``Figure``.
        title: See ``Figure``.
        about: See ``Figure``.
        axes: Names of the horizontal and of the vertical axis.
        lines: (x, y) of each line; the first is drawn thick, those beyond seven are gray and without a name.
        unit: Whether both axes show 0 to 1.
        diagonal: Whether to draw x = y.
    """

    def draw(canvas: Canvas) -> None:
        axis = canvas.subplots()
        if diagonal:
            axis.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
        for place, (label, (x, y)) in reversed(list(enumerate(lines.items()))):
            named = place < len(COLORS)
            color, width = (COLORS[place], 2.2 if place == 0 else 1.2) if named else ("#CCCCCC", 0.8)
            axis.plot(x, y, color=color, linewidth=width, label=label if named else None)
        _finish(axis, axes)
        if unit:
            axis.set(xlim=(0, 1), ylim=(0, 1.02))
        handles, labels = axis.get_legend_handles_labels()
        if len(labels) > 1:
            axis.legend(handles[::-1], labels[::-1], frameon=False, fontsize="small")

    return Figure(name, title, about, draw)


def bars(name: str, title: str, about: str, axis_name: str, values: Mapping[str, float]) -> Figure:
    """Return a horizontal bar for each name, the first on top, with its value beside it."""

    def draw(canvas: Canvas) -> None:
        axis = canvas.subplots()
        numbers = [0.0 if np.isnan(value) else value for value in values.values()]
        drawn = axis.barh(range(len(numbers)), numbers, color=COLORS[0])
        axis.bar_label(drawn, [f"{value:.3g}" for value in values.values()], padding=3, fontsize="small")
        axis.set_yticks(range(len(numbers)), list(values))
        axis.invert_yaxis()
        axis.margins(x=0.12)
        _finish(axis, (axis_name, ""))

    return Figure(name, title, about, draw, (6.4, 0.8 + 0.32 * len(values)))


def matrix(
    name: str, title: str, about: str, axes: tuple[str, str], rows: Sequence[str], columns: Sequence[str],
    values: Numbers, form: str = ".0%",
) -> Figure:  # fmt: skip
    """Return a table of colors.

    Args:
        name: See ``Figure``.
        title: See ``Figure``.
        about: See ``Figure``.
        axes: Names of the horizontal and of the vertical axis.
        rows: Names of the R rows.
        columns: Names of the C columns.
        values: (R, C) in [0, 1].
        form: Format of the values in the cells; empty leaves them out.
    """

    def draw(canvas: Canvas) -> None:
        axis = canvas.subplots()
        axis.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if form and value >= 0.005:
                color = "white" if value > 0.55 else "black"
                axis.text(column, row, format(value, form), ha="center", va="center", fontsize=7, color=color)
        axis.set_xticks(range(len(columns)), list(columns), rotation=90, fontsize="small")
        axis.set_yticks(range(len(rows)), list(rows), fontsize="small")
        axis.set(xlabel=axes[0], ylabel=axes[1])

    return Figure(name, title, about, draw, (2.0 + 0.36 * len(columns), 1.6 + 0.3 * len(rows)))


def _finish(axis, axes: tuple[str, str]) -> None:  # type: ignore[no-untyped-def]
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#EEEEEE")
    axis.set_axisbelow(True)
    axis.set(xlabel=axes[0], ylabel=axes[1])
