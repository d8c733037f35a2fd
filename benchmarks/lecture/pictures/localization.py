"""Pictures of classification and localization."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

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

LANES = ("backbone", "class head", "box head")


def loss_weight(figure: Figure) -> None:
    """Draw two heads whose losses are added, and the weight between them."""
    axes = canvas(figure)
    scene(axes, (1, 9), 8)
    arrow(axes, (9, 13), (11, 13))
    box(axes, (11.1, 10), (6.4, 6), "CNN", GRAY)
    for height, head, loss, color in (
        (18, "class", r"$L_\mathrm{class}$", BLUE),
        (8, "box", r"$L_\mathrm{box}$", ORANGE),
    ):
        arrow(axes, (17.5, 13), (20, height), color)
        box(axes, (20.1, height - 1.7), (5.6, 3.4), head, color)
        arrow(axes, (25.7, height), (28, height), color)
        write(axes, (30.6, height), loss, 12, color=color)
    box(axes, (34.4, 6.3), (4, 3.4), "× w", RED)
    arrow(axes, (32.9, 8), (34.3, 8), ORANGE)
    arrow(axes, (33.4, 18), (41, 14), BLUE)
    arrow(axes, (38.4, 8), (41, 12), ORANGE)
    write(axes, (43.3, 13), r"$L$", 14, weight="bold")
    write(axes, (23, 2.6), "a smaller w lowers L without a better network:\ncompare the arms by another measure", 8.5)


def box_per_class(figure: Figure) -> None:
    """Draw one box for all classes between two shapes, and a box for each class."""
    axes = canvas(figure)
    for left, title in ((2, "one box for all"), (25, "a box per class")):
        scene(axes, (left, 6), 13)
        write(axes, (left + 9.5, 22.8), title, weight="bold")
    frame(axes, (4.2, 6.9), (9.4, 12), RED, linestyle="--", linewidth=2)
    write(axes, (18.8, 14), "circle or\nsquare?", 8.5)
    write(axes, (18.8, 9), "between\nboth", 8.5, color=RED)
    frame(axes, (26, 10.2), (7.4, 7.4), GREEN, linewidth=2.2)
    frame(axes, (32.2, 7), (4.6, 4.6), ORANGE, linestyle="--", linewidth=2)
    write(axes, (42, 16.6), "circle", 9, color=GREEN)
    write(axes, (42, 14.7), "its own box", 8, color=GREEN)
    write(axes, (42, 10.6), "square", 9, color=ORANGE)
    write(axes, (42, 8.7), "predicted", 8, color=ORANGE)
    write(axes, (23, 2.8), "the target is the largest shape, the circle", 8.5)


def freezing(figure: Figure) -> None:
    """Draw which part trains when, in three schedules of equal length."""
    axes = canvas(figure)
    schedules = (
        ("frozen", {"backbone": 1.0}),
        ("joint", {}),
        ("freeze, heads, joint", {"backbone": 0.375, "box head": 0.125}),
    )
    for number, (title, frozen_until) in enumerate(schedules):
        top = 22.6 - 7.1 * number
        write(axes, (10, top), title, weight="bold", ha="left")
        for lane, name in enumerate(LANES):
            low = top - 2.5 - 1.55 * lane
            write(axes, (9.3, low + 0.6), name, 8, ha="right")
            until = 34.5 * frozen_until.get(name, 0.0)
            axes.add_patch(
                Rectangle((10, low), until, 1.2, facecolor=PALE, edgecolor=GRAY, hatch="////", linewidth=0.5)
            )
            color = GREEN if lane == 0 else (BLUE, ORANGE)[lane - 1]
            axes.add_patch(
                Rectangle((10 + until, low), 34.5 - until, 1.2, facecolor=color, edgecolor=INK, linewidth=0.5)
            )
    arrow(axes, (10, 1.6), (44.5, 1.6), GRAY)
    write(axes, (27, 0.8), "steps (hatched: fixed)", 8, va="center", backgroundcolor="#fbfaf7")
