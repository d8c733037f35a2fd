"""Pictures of region pooling, anchors, losses and branches of two-stage detectors."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray

from benchmarks.lecture.pictures.pose import FIGURE, LIMBS
from benchmarks.lecture.pictures.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PALE,
    RED,
    Point,
    arrow,
    box,
    canvas,
    frame,
    grid,
    scene,
    slab,
    write,
)

REGION = (1.35, 1.3, 4.45, 4.4)  # x1, y1, x2, y2 in cells of the map
CELLS, CELL, LOW = 6, 2.2, 6.2  # of the map: cells, their side and the lower end
SCALES = {1: (1.0,), 3: (0.5, 1.0, 2.0), 9: (0.5, 1.0, 2.0), 15: (0.35, 0.6, 1.0, 1.4, 2.0)}


def region_pooling(figure: Figure) -> None:
    """Draw a region on a map: its cells rounded, and its points with and without the shift by half a cell."""
    axes = canvas(figure)
    rounded = np.round(REGION) + np.array((0, 0, 1, 1))  # the last cell is part of the region
    for place, (title, bins, color, text) in enumerate((
        ("pool", rounded, RED, "whole cells,\ntheir maximum"),
        ("align", np.array(REGION) + 0.5, ORANGE, "interpolated points,\nhalf a cell beside"),
        ("align, half pixel", np.array(REGION), GREEN, "interpolated points\nof the region itself"),
    )):  # fmt: skip
        left = 1.4 + 15 * place
        grid(axes, (left, LOW), CELL, [[0] * CELLS] * CELLS, lambda _: "#dfe7ef", digits="")
        write(axes, (left + 6.6, 22.6), title, weight="bold")
        write(axes, (left + 6.6, 3.2), text, 8.5)
        _bins(axes, left, np.array(REGION), 1, INK, linestyle="--")
        for corner, size in _bins(axes, left, bins, 2, color, linewidth=1.6):
            if title != "pool":
                _dots(axes, corner, size, color)


def four_losses(figure: Figure) -> None:
    """Draw the losses of the proposal network and of the head, and the weights of the box losses."""
    axes = canvas(figure)
    scene(axes, (0.8, 8), 7.5)
    arrow(axes, (8.3, 12), (9.8, 12))
    box(axes, (9.9, 9.6), (5.2, 4.8), "CNN", GRAY)
    arrow(axes, (15.1, 13), (18.4, 18))
    arrow(axes, (15.1, 11), (18.4, 6))
    box(axes, (18.5, 15.8), (8.4, 4.4), "RPN", BLUE)
    box(axes, (18.5, 3.8), (8.4, 4.4), "head", GREEN)
    arrow(axes, (22.7, 15.7), (22.7, 8.3), INK)
    write(axes, (23.2, 12), "proposals", 8.5, ha="left")
    for height, name, color, weight in (
        (20, "RPN box", BLUE, r"$\times\,\lambda_\mathrm{RPN}$"),
        (16, "object?", BLUE, ""),
        (8, "class", GREEN, ""),
        (4, "box", GREEN, r"$\times\,\lambda_\mathrm{head}$"),
    ):
        arrow(axes, (26.9, height), (29, height), color)
        write(axes, (29.3, height), name, 9.5, color=color, ha="left")
        write(axes, (35.2, height), weight, 10, color=RED, ha="left")
        arrow(axes, (40.5 if weight else 34.6, height), (42.6, 12.6 + (height - 12) / 12), color)
    write(axes, (44, 12.4), r"$L$", 14, weight="bold")


def anchors(figure: Figure) -> None:
    """Draw the base boxes of one cell: one, three, nine and fifteen."""
    axes = canvas(figure)
    for place, (count, scales) in enumerate(SCALES.items()):
        middle = np.array([6.0 + 11.35 * place, 13.0])
        axes.add_patch(Circle(tuple(middle), 0.3, facecolor=INK, zorder=3))
        for scale, color in zip(scales, _colors(len(scales)), strict=True):
            for ratio in (1.0,) if count <= 3 else (0.5, 1.0, 2.0):  # height by width, as in the settings
                sides = 4.6 * scale * np.array([ratio**-0.5, ratio**0.5]) * 0.8
                frame(axes, tuple(middle - sides / 2), tuple(sides), color, linewidth=1.3)
        write(axes, (middle[0], 22.6), str(count), 12, weight="bold")
    for place, text in enumerate(("1 size", "3 sizes", "3 sizes\n× 3 shapes", "5 sizes\n× 3 shapes")):
        write(axes, (6.0 + 11.35 * place, 3.6), text, 9)


def mask_branch(figure: Figure) -> None:
    """Draw the box head of a region, and the branch that is added."""
    axes = canvas(figure)
    _region(axes)
    _branch(axes, 18, "box head", BLUE, "class and box")
    _branch(axes, 7, "mask branch", ORANGE, "", linestyle="--")
    mask = [[0, 0, 1, 1, 0], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    grid(axes, (37.5, 4), 1.2, mask, lambda value: ORANGE if value else PALE, digits="")
    write(axes, (28, 2.6), "with and without: the rest stays as it is", 8.5)


def mask_loss(figure: Figure) -> None:
    """Draw the scores of the classes in one cell of a mask: each for itself, and sharing one."""
    axes = canvas(figure)
    names, logits = ("circle", "square", "triangle"), np.array([2.0, 1.2, -1.0])
    sigmoid = 1 / (1 + np.exp(-logits))
    softmax = np.exp(logits) / (np.exp(logits).sum() + 1)  # the background has the logit 0
    for left, title, values, text in (
        (3, "sigmoid", sigmoid, "each class for itself:\nonly the region's class has a loss"),
        (26, "softmax", softmax, "classes and background\nshare 1 and compete"),
    ):
        write(axes, (left + 9, 22.8), title, weight="bold")
        for row, (name, value) in enumerate(zip(names, values, strict=True)):
            low = 17 - 4 * row
            write(axes, (left + 5.2, low + 1.1), name, 8.5, ha="right")
            frame(axes, (left + 6, low), (10, 2.2), GRAY)
            shown = BLUE if row == 0 or title == "softmax" else GRAY
            axes.add_patch(_bar((left + 6, low), 10 * value, shown))
            write(axes, (left + 18, low + 1.1), f"{value:.2f}", 8.5)
        write(axes, (left + 9, 4), text, 8.5)


def pose_head(figure: Figure) -> None:
    """Draw the branches of a region: boxes, joints, and the masks that are added."""
    axes = canvas(figure)
    _region(axes)
    _branch(axes, 20.5, "box head", BLUE, "class and box")
    _branch(axes, 12.5, "joint branch", GREEN, "")
    _branch(axes, 4.5, "mask branch", ORANGE, "mask", linestyle="--")
    places = {name: np.array([40.5, 11.3]) + 0.55 * np.array(place) for name, place in FIGURE.items()}
    for start, end in LIMBS:
        axes.plot(*zip(places[start], places[end], strict=True), color=GRAY, linewidth=2, solid_capstyle="round")
    for place in places.values():
        axes.add_patch(Circle(tuple(place), 0.45, facecolor=GREEN))


def _region(axes: Axes) -> None:
    """Draw an image, its map and a region of it."""
    scene(axes, (0.8, 8.5), 7.5)
    arrow(axes, (8.3, 12.5), (9.8, 12.5))
    slab(axes, 10, 12.5, 7, 1.6, GRAY)
    arrow(axes, (13.6, 12.5), (15.4, 12.5))
    frame(axes, (15.6, 10.4), (4.2, 4.2), RED, linewidth=2)
    write(axes, (17.7, 12.5), "region", 7.5)


def _branch(axes: Axes, height: float, name: str, color: str, result: str, linestyle: str = "-") -> None:
    arrow(axes, (19.9, 12.5), (23.4, height), color)
    box(axes, (23.5, height - 2), (10, 4), name, color, linestyle=linestyle)
    arrow(axes, (33.5, height), (36.2, height), color)
    write(axes, (36.6, height), result, 9, ha="left")


def _bins(
    axes: Axes, left: float, region: NDArray[np.float64], count: int, color: str, **options: Any
) -> list[tuple[Point, Point]]:
    """Draw the bins of a region, ``count`` along each side; return corner and size of each."""
    wide, high = CELL * (region[2:] - region[:2]) / count
    first, lowest = left + CELL * region[0], LOW + CELL * (CELLS - region[3])
    corners = [(first + column * wide, lowest + row * high) for row in range(count) for column in range(count)]
    for corner in corners:
        frame(axes, corner, (wide, high), color, **options)
    return [(corner, (wide, high)) for corner in corners]


def _dots(axes: Axes, corner: Point, size: Point, color: str) -> None:
    """Draw the 2 × 2 points that are interpolated in a bin."""
    for x in (0.25, 0.75):
        for y in (0.25, 0.75):
            axes.add_patch(Circle((corner[0] + x * size[0], corner[1] + y * size[1]), 0.28, facecolor=color))


def _bar(corner: Point, width: float, color: str) -> Rectangle:
    return Rectangle(corner, width, 2.2, facecolor=color, edgecolor=INK, linewidth=0.5)


def _colors(count: int) -> tuple[str, ...]:
    return {1: (BLUE,), 3: (ORANGE, BLUE, GREEN)}.get(count, (ORANGE, RED, BLUE, GRAY, GREEN))
