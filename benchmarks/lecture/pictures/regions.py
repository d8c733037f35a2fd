"""Pictures of proposals and of the networks on regions."""

from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.lecture.pictures.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PALE,
    RED,
    arrow,
    box,
    canvas,
    frame,
    scene,
    write,
)
from lit_cv.models.detection.sliding_window import slide_windows
from lit_cv.models.rcnn.proposer import random_boxes

CIRCLE, SQUARE = (0.1, 0.14, 0.62, 0.66), (0.58, 0.6, 0.88, 0.9)  # of a scene: x1, y1, x2, y2, y downwards


def proposals_voc(figure: Figure) -> None:
    """Draw boxes of the four sources on one scene; windows and random boxes are those of the networks."""
    axes = canvas(figure)
    generator = torch.Generator().manual_seed(5)
    windows = slide_windows((100, 100), [0.4], [1.0], 0.75) / 100
    chance = random_boxes(torch.rand(2, 2, 6, generator=generator), (100, 100)) / 100
    merged = [CIRCLE, SQUARE, (0.02, 0.02, 0.98, 0.98), (0.1, 0.14, 0.88, 0.9), (0.14, 0.3, 0.45, 0.64)]
    learned = [(0.13, 0.1, 0.66, 0.64), (0.55, 0.57, 0.9, 0.92), (0.3, 0.34, 0.84, 0.92)]
    panels = (
        ("Selective\nSearch", merged, GREEN, "regions that\nare merged"),
        ("sliding\nwindows", windows.tolist(), GRAY, "all places,\nno order"),
        ("random\nboxes", chance.tolist(), RED, "corners by\nchance"),
        ("trained\nRPN", learned, INK, "learned\nscores"),
    )
    for place, (title, boxes, color, words) in enumerate(panels):
        left = 1.2 + 11.3 * place
        scene(axes, (left, 6.5), 9.6)
        for corners in boxes:
            _outline(axes, (left, 6.5), 9.6, corners, color, linewidth=1.2)
        write(axes, (left + 4.8, 21), title, weight="bold")
        write(axes, (left + 4.8, 3.4), words, 8.5)


def proposals_coco(figure: Figure) -> None:
    """Draw how recall counts: the first N boxes, and the overlap with each object."""
    axes = canvas(figure)
    scene(axes, (1.5, 6), 14)
    ranked = [(0.02, 0.05, 0.5, 0.5), (0.12, 0.2, 0.68, 0.72), (0.5, 0.66, 0.95, 0.98), (0.58, 0.61, 0.89, 0.9)]
    for number, corners in enumerate(ranked, start=1):
        _outline(axes, (1.5, 6), 14, corners, (GRAY, GREEN, RED, GREEN)[number - 1])
        write(
            axes, (1.5 + 14 * corners[0] - 0.1, 20 - 14 * corners[1] + 0.9), str(number), 8.5, weight="bold", ha="left"
        )
    write(axes, (8.5, 22.9), "boxes by rank", weight="bold")
    write(axes, (32, 22.9), "objects found at IoU 0.5", weight="bold")
    for row, (text, count, words) in enumerate(
        (("N = 1", 0, "none of two"), ("N = 2", 1, "the circle"), ("N = 4", 2, "both: recall 1"))
    ):
        height = 18.2 - 4.6 * row
        write(axes, (21.6, height), text, weight="bold")
        for place in range(2):
            color = BLUE if place < count else "none"
            frame(axes, (25 + 3 * place, height - 1), (2, 2), INK, fill=True, facecolor=color, linewidth=0.9)
        write(axes, (32.6, height), words, 9, ha="left")
    arrow(axes, (21.6, 16.4), (21.6, 15.4), GRAY)
    arrow(axes, (21.6, 11.8), (21.6, 10.8), GRAY)
    write(axes, (23, 3), "classes do not matter: a box that holds nothing only costs time", 8.5)


def inward_offsets(figure: Figure) -> None:
    """Draw a proposal that cuts its object, with the three boxes that are made of it."""
    axes = canvas(figure)
    proposal, free = (0.22, 0.28, 0.6, 0.78), CIRCLE
    panels = (
        ("unrefined", proposal, "the proposal\nas it is"),
        ("inward", (0.22, 0.28, 0.6, 0.66), "clamped to\nthe proposal"),
        ("free", free, "may leave\nthe proposal"),
    )
    for place, (title, refined, words) in enumerate(panels):
        left = 1.5 + 15 * place
        scene(axes, (left, 7), 13)
        _outline(axes, (left, 7), 13, proposal, INK, linestyle="--", linewidth=1.2)
        _outline(axes, (left, 7), 13, refined, (INK, RED, GREEN)[place], linewidth=2.2)
        write(axes, (left + 6.5, 22.6), title, weight="bold")
        write(axes, (left + 6.5, 4), words, 8.5)


def shared_features(figure: Figure) -> None:
    """Draw the stages of three generations, with the stages that run once for each region stacked."""
    axes = canvas(figure)
    rows = (
        ("R-CNN", (("Selective\nSearch", ORANGE, 1), ("CNN", BLUE, 3), ("class", GREEN, 3))),
        ("Fast R-CNN", (("Selective\nSearch", ORANGE, 1), ("CNN", BLUE, 1), ("RoI pool,\nhead", GREEN, 3))),
        ("Faster R-CNN", (("CNN", BLUE, 1), ("RPN", RED, 1), ("RoI pool,\nhead", GREEN, 3))),
    )
    for row, (title, stages) in enumerate(rows):
        low = 17.4 - 7.4 * row
        write(axes, (0.8, low + 2.2), title, weight="bold", ha="left")
        for place, (text, color, copies) in enumerate(stages):
            left = 13.6 + 11 * place
            for copy in reversed(range(copies)):
                box(axes, (left + 0.6 * copy, low + 0.6 * copy), (8, 4.2), "" if copy else text, color)
            if place:
                arrow(axes, (left - 1.9, low + 2.1), (left - 0.2, low + 2.1))
    write(axes, (29, 0.9), "stacked: once for each region", 8.5)


def stages_after_training(figure: Figure) -> None:
    """Draw what is trained after the network, and which features it sees."""
    axes = canvas(figure)
    scene(axes, (1, 9.5), 7.5)
    _outline(axes, (1, 9.5), 7.5, CIRCLE, INK, linewidth=1.2)
    write(axes, (4.8, 7.3), "a region", 8.5)
    arrow(axes, (8.7, 13.2), (10.6, 13.2))
    box(axes, (10.8, 10.6), (9, 5.2), "fine-tuned\nCNN", BLUE)
    write(axes, (15.3, 22.9), "1. fine-tuning", weight="bold")
    write(axes, (34.5, 22.9), "2. on its features", weight="bold")
    for text, height, color, words in (
        ("softmax", 17.4, GRAY, "trained with\nthe network"),
        ("SVMs", 11, GREEN, "trained on hard\nnegatives"),
        ("box\nregressors", 4.6, ORANGE, "ridge regression\nto the object"),
    ):
        arrow(axes, (19.9, 13.2), (24.2, height + 1.9))
        box(axes, (24.4, height), (8.6, 3.9), text, color)
        write(axes, (39.6, height + 1.9), words, 8.5)
    write(axes, (23, 1.6), "arms: softmax or SVMs, with or without box regressors", 8.5)


def multi_task_training(figure: Figure) -> None:
    """Draw which loss reaches which part of the network, in four ways of training."""
    axes = canvas(figure)
    panels = (
        ("none", False, "", "proposals"),
        ("train", True, "features", "proposals"),
        ("separate", True, "layer", "refined"),
        ("joint", True, "features", "refined"),
    )
    for place, (title, boxes, reached, detections) in enumerate(panels):
        left = 1 + 11.3 * place
        write(axes, (left + 5, 23.2), title, weight="bold")
        box(axes, (left, 7.2), (10, 3.6), "features", BLUE)
        box(axes, (left, 14), (4.6, 3.6), "class", GREEN)
        box(axes, (left + 5.4, 14), (4.6, 3.6), "box", ORANGE if boxes else PALE)
        write(axes, (left + 2.3, 20.4), "loss", 8.5)
        arrow(axes, (left + 2.3, 19.5), (left + 2.3, 17.8), GREEN, linewidth=1.6)
        arrow(axes, (left + 2.3, 13.9), (left + 2.3, 11), GREEN, linewidth=1.6)
        if boxes:
            write(axes, (left + 7.7, 20.4), "loss", 8.5)
            arrow(axes, (left + 7.7, 19.5), (left + 7.7, 17.8), ORANGE, linewidth=1.6)
        if reached == "features":
            arrow(axes, (left + 7.7, 13.9), (left + 7.7, 11), ORANGE, linewidth=1.6)
        write(axes, (left + 5, 4.4), f"detections:\n{detections}", 8.5)
    write(axes, (23, 1.2), "arrows: gradients of the two losses", 8.5)


def _outline(
    axes: Axes,
    corner: tuple[float, float],
    side: float,
    corners: tuple[float, ...] | list[float],
    color: str,
    **options: Any,
) -> None:
    """Outline a box with the corners ``x1, y1, x2, y2``, y downwards, in units of a scene."""
    x1, y1, x2, y2 = corners
    low = (corner[0] + side * x1, corner[1] + side * (1 - y2))
    frame(axes, low, (side * (x2 - x1), side * (y2 - y1)), color, **options)
