"""One style for all pictures: a light card that is readable on light and dark pages, and a few shapes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

FOLDER = Path(__file__).parents[3] / "docs" / "images" / "lecture"
INK, PAPER, PALE, GRAY = "#2b2b2b", "#fbfaf7", "#e7e5df", "#8d9096"
BLUE, ORANGE, GREEN, RED = "#3b6fb6", "#d9822b", "#3f8f63", "#c0433a"
WIDTH, HEIGHT = 4.6, 2.5  # inches
FONT = 9.5

Point = tuple[float, float]


def save(name: str, draw: Callable[[Figure], None], folder: Path = FOLDER) -> Path:
    """Draw a picture and write it as SVG, the same bytes each time; return the file."""
    settings = {"svg.hashsalt": name, "font.size": FONT, "font.family": "DejaVu Sans", "text.color": INK,
                "axes.edgecolor": GRAY, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}  # fmt: skip
    with mpl.rc_context(settings):
        figure = Figure(figsize=(WIDTH, HEIGHT), facecolor=PAPER)
        draw(figure)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-method.svg"
        figure.savefig(path, metadata={"Date": None}, facecolor=PAPER)
    return path


def canvas(figure: Figure, width: float = 46, height: float = 25) -> Axes:
    """Return axes without a frame over the whole figure, (0, 0) at the lower left."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    return axes


def write(axes: Axes, at: Point, text: str, size: float = FONT, **options: Any) -> None:
    """Write a text centered on a point."""
    axes.text(*at, text, **{"ha": "center", "va": "center", "fontsize": size, **options})


def box(axes: Axes, corner: Point, size: Point, text: str = "", color: str = PALE, **options: Any) -> None:
    """Draw a rounded box with a text; ``corner`` is the lower left one."""
    style = {"facecolor": color, "edgecolor": INK, "linewidth": 0.8, **options}
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.6", **style))
    light = color in (BLUE, GREEN, RED, GRAY, ORANGE)
    write(axes, (corner[0] + size[0] / 2, corner[1] + size[1] / 2), text, color="white" if light else INK)


def frame(axes: Axes, corner: Point, size: Point, color: str = INK, **options: Any) -> None:
    """Draw an empty rectangle."""
    axes.add_patch(Rectangle(corner, *size, **{"fill": False, "edgecolor": color, "linewidth": 1.6, **options}))


def arrow(axes: Axes, start: Point, end: Point, color: str = INK, **options: Any) -> None:
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "mutation_scale": 9, "color": color, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, **{**style, **options}))


def scene(axes: Axes, corner: Point, side: float) -> None:
    """Draw a small image: a circle in front of a square."""
    x, y = corner
    axes.add_patch(Rectangle(corner, side, side, facecolor="#dfe7ef", edgecolor=INK, linewidth=0.8))
    axes.add_patch(Rectangle((x + 0.58 * side, y + 0.1 * side), 0.3 * side, 0.3 * side, color=ORANGE))
    axes.add_patch(Circle((x + 0.36 * side, y + 0.6 * side), 0.26 * side, color=BLUE))


def slab(axes: Axes, left: float, middle: float, height: float, depth: float, color: str) -> None:
    """Draw a feature map as a slab: height by resolution, depth by channels."""
    low, high, skew = middle - height / 2, middle + height / 2, 0.22 * height
    axes.add_patch(Rectangle((left, low), depth, height, facecolor=color, edgecolor=INK, linewidth=0.7))
    top = [(left, high), (left + depth, high), (left + depth + skew, high + skew), (left + skew, high + skew)]
    side = [(left + depth, low), (left + depth + skew, low + skew), (left + depth + skew, high + skew),
            (left + depth, high)]  # fmt: skip
    for corners, opacity in ((top, 0.55), (side, 0.75)):
        axes.add_patch(Polygon(corners, facecolor=color, edgecolor=INK, linewidth=0.7, alpha=opacity))


def grid(axes: Axes, corner: Point, cell: float, values: Sequence[Sequence[float]], colors: Callable[[float], Any],
         digits: str = "{:g}", size: float = FONT) -> None:  # fmt: skip
    """Draw a table of numbers as colored cells; ``corner`` is the lower left one."""
    for row, numbers in enumerate(values):
        for column, number in enumerate(numbers):
            place = (corner[0] + column * cell, corner[1] + (len(values) - 1 - row) * cell)
            axes.add_patch(Rectangle(place, cell, cell, facecolor=colors(number), edgecolor=PAPER, linewidth=0.7))
            if digits:
                write(axes, (place[0] + cell / 2, place[1] + cell / 2), digits.format(number), size)
