"""Pictures of whole systems and of what tells objects apart."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from benchmarks.lecture.pictures.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    RED,
    Point,
    arrow,
    box,
    canvas,
    frame,
    scene,
    write,
)

PAIR = ((0.34, 0.6, 0.25), (0.69, 0.36, 0.175))  # x, y and radius of two circles that touch, in sides of the image


def components(figure: Figure) -> None:
    """Draw two circles that touch, as one component of a class and as two masks."""
    axes = canvas(figure)
    _pair(axes, (1, 8), 9.5, ("#9db7d9", "#b9cbe3"))
    write(axes, (5.8, 6.4), "one class", 8.5)
    for height, name, color in ((16.6, "FCN", GREEN), (5.2, "Mask R-CNN", ORANGE)):
        arrow(axes, (10.6, 12.7), (13.2, height + 1.6), color)
        box(axes, (13.3, height - 0.6), (9, 4), name, color)
        arrow(axes, (22.3, height + 1.4), (24.4, height + 1.4), color)
    _pair(axes, (24.6, 13.6), 9.5, (BLUE, BLUE))
    _pair(axes, (24.6, 2), 9.5, (BLUE, ORANGE))
    frame(axes, (25.3, 14.9), (8.1, 7.0), RED, linestyle="--")
    for x, y, radius in PAIR:
        corner = (24.6 + 9.5 * (x - radius), 2 + 9.5 * (y - radius))
        frame(axes, corner, (19 * radius, 19 * radius), INK, linewidth=1.1)
    write(axes, (40.2, 19.4), "connected pixels\nof one class:", 8.5)
    write(axes, (40.2, 15.8), "one object", weight="bold", color=RED)
    write(axes, (40.2, 8.6), "a mask in\neach box:", 8.5)
    write(axes, (40.2, 5), "two objects", weight="bold", color=GREEN)


def dense_captioning(figure: Figure) -> None:
    """Draw the five losses of DenseCap, and where the gradient of the phrases stops."""
    axes = canvas(figure)
    for top, title, color in ((16.4, "joint", GREEN), (9, "detached", ORANGE), (1.6, "image", RED)):
        write(axes, (3.6, top + 2.6), title, weight="bold", color=color)
        box(axes, (7.6, top + 0.8), (6.6, 3.8), "CNN", GRAY)
        arrow(axes, (14.2, top + 2.7), (16.2, top + 2.7))
        box(axes, (16.3, top + 0.8), (8, 3.8), "regions" if title != "image" else "image", BLUE)
        arrow(axes, (24.3, top + 2.7), (26.8, top + 2.7))
        box(axes, (26.9, top + 0.8), (6.6, 3.8), "LSTM", GREEN)
        write(axes, (39.6, top + 2.7), "a phrase for\neach region" if title != "image" else "one phrase\nfor all", 8.5)
        arrow(axes, (30, top), (25.6 if title == "detached" else 11, top), color, linewidth=1.6)
    axes.plot([25.6, 25.6], [8, 13.6], color=RED, linewidth=2)
    write(axes, (23, 23.6), "colored arrows: gradient of the phrases", 8.5)


def base_networks(figure: Figure) -> None:
    """Draw the grid of base networks, their weights and the two necks under one detector."""
    axes = canvas(figure)
    names = ("SqueezeNet", "Lite0", "Lite1", "Lite2")
    for place, name in enumerate(names):
        height = 18.4 - 5.4 * place
        box(axes, (1.2, height), (10.4, 3.8), name, GRAY)
        arrow(axes, (11.6, height + 1.9), (17.3, 13.6 if place < 2 else 10.6), GRAY)
    for height, name, color in ((12, "ImageNet", GREEN), (8, "random", RED)):
        box(axes, (17.4, height), (8.6, 3.4), name, color)
    for height, name in ((15.6, "one map"), (5, "pyramid")):
        arrow(axes, (26, 11.7), (28.6, height + 1.9))
        box(axes, (28.7, height), (8, 3.8), name, BLUE)
        arrow(axes, (36.7, height + 1.9), (39, 11.7))
    box(axes, (39.1, 9.8), (6, 3.8), "heads", ORANGE)
    write(axes, (31, 2.2), "4 × 2 × 2 arms, all else equal", 8.5)


def speed_accuracy(figure: Figure) -> None:
    """Draw the two ways to boxes: from cells of the maps at once, or from regions that are cut out."""
    axes = canvas(figure)
    scene(axes, (1, 8.4), 8)
    for height, color in ((17.2, GREEN), (4.2, ORANGE)):
        arrow(axes, (9, 12.4), (11.2, height + 1.9), color)
        box(axes, (11.3, height), (6, 3.8), "CNN", GRAY)
        arrow(axes, (17.3, height + 1.9), (19.4, height + 1.9), color)
    box(axes, (19.5, 17.2), (13, 3.8), "a box in each cell", GREEN)
    arrow(axes, (32.5, 19.1), (35.4, 19.1), GREEN)
    write(axes, (40.4, 20.4), "one pass", weight="bold", color=GREEN)
    write(axes, (40.4, 17.4), "YOLO, SSD,\nRetinaNet, FCOS", 8.5)
    box(axes, (19.5, 4.2), (8, 3.8), "proposals", BLUE)
    arrow(axes, (27.5, 6.1), (29, 6.1), ORANGE)
    box(axes, (29.1, 4.2), (6, 3.8), "regions", ORANGE)
    write(axes, (40.8, 7.4), "two passes", weight="bold", color=ORANGE)
    write(axes, (40.8, 4.4), "Faster R-CNN,\nR-FCN", 8.5)
    times = np.array([1.0, 1.6, 2.6, 4.2, 6.0])
    axes.plot(21 + 2.2 * times, 10.2 + 4.6 * (1 - np.exp(-times / 2)), "o-", color=INK, markersize=3, linewidth=1)
    write(axes, (39.4, 12.6), "AP over time", 8.5)


def _pair(axes: Axes, corner: Point, side: float, colors: tuple[str, str]) -> None:
    """Draw an image of two circles that touch."""
    axes.add_patch(Rectangle(corner, side, side, facecolor="#eef1f4", edgecolor=INK, linewidth=0.8))
    for (x, y, radius), color in zip(PAIR, colors, strict=True):
        axes.add_patch(Circle((corner[0] + x * side, corner[1] + y * side), radius * side, color=color, linewidth=0))
