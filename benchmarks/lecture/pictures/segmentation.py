"""Pictures of segmentation."""

from functools import partial

import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch.nn import functional as F

from benchmarks.lecture.pictures.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    arrow,
    box,
    canvas,
    frame,
    grid,
    scene,
    slab,
    write,
)
from lit_cv.ops.upsampling import bed_of_nails, bilinear, bilinear_kernel, max_unpool, nearest


def sliding_window_segmentation(figure: Figure) -> None:
    """Draw three windows with a network each, and one network over the whole image."""
    axes = canvas(figure)
    write(axes, (11.5, 23.3), "window by window", weight="bold")
    scene(axes, (1, 8.5), 9)
    for number, color in enumerate((GREEN, GRAY, ORANGE)):
        height = 19.2 - 6.2 * number
        frame(axes, (2.2 + 0.9 * number, 12.2 - 0.7 * number), (4, 4), color)
        arrow(axes, (6.2 + 0.9 * number, 14.2 - 0.7 * number), (12.3, height), color)
        box(axes, (12.4, height - 1.6), (5.4, 3.2), "CNN", color)
        arrow(axes, (17.8, height), (19.9, height), color)
        axes.add_patch(
            Circle((20.9, height), 0.8, facecolor=BLUE if number < 2 else ORANGE, edgecolor=INK, linewidth=0.7)
        )
    write(axes, (11.5, 2), "each overlap is\ncomputed again", 8.5)
    axes.plot([24, 24], [1, 24], color=GRAY, linewidth=0.7, linestyle=":")
    write(axes, (35, 23.3), "shared", weight="bold")
    scene(axes, (25.5, 8.5), 7.5)
    arrow(axes, (33, 12.2), (34, 12.2))
    box(axes, (34.1, 9.7), (5.6, 5), "CNN", GREEN)
    arrow(axes, (39.7, 12.2), (40.6, 12.2))
    classes = [[0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [0, 1, 0, 2, 2], [0, 0, 0, 2, 2]]
    grid(axes, (40.8, 10), 0.92, classes, lambda value: ("#dfe7ef", BLUE, ORANGE)[int(value)], digits="")
    write(axes, (35, 2), "one pass computes\nthe map of all windows", 8.5)


def full_resolution(figure: Figure) -> None:
    """Draw eight maps at full resolution, and eight that become smaller and larger again."""
    axes = canvas(figure)
    for middle, color, sides, title in (
        (18, ORANGE, (1,) * 8, "full resolution"),
        (6.2, BLUE, (1, 0.68, 0.46, 0.28, 0.28, 0.46, 0.68, 1), "down and up"),
    ):
        for place, side in enumerate(sides):
            slab(axes, 14 + 3 * place, middle - 0.7, 7 * side, 1.1, color)
        write(axes, (6.8, middle + 1), title, weight="bold")
    write(axes, (6.8, 16), "8 layers, each\non all pixels", 8.5)
    write(axes, (6.8, 4.2), "the same 8 layers,\nat 1/1 ... 1/64\nof the pixels", 8.5)
    for height, text in ((18.2, "100 %"), (6.4, "26 %")):
        write(axes, (42.2, height), text, 11, weight="bold")
        write(axes, (42.2, height - 2.4), "of the\nproducts", 8)


def upsampling(figure: Figure) -> None:
    """Draw what five operators make of the same four values, computed by the operators themselves."""
    axes = canvas(figure)
    encoded = torch.tensor([[1.0, 2, 0, 1], [0, 4, 1, 3], [3, 1, 2, 0], [0, 0, 1, 2]])
    _, places = F.max_pool2d(encoded[None, None], 2, return_indices=True)
    x = torch.tensor([[[[1.0, 2], [3, 4]]]])
    results = {
        "nearest": nearest(x, 2),
        "bilinear": bilinear(x, 2),
        "bed of nails": bed_of_nails(x, 2),
        "max unpooling": max_unpool(x, places, 2),
        "transposed 3×3": F.conv_transpose2d(x, bilinear_kernel(3)[None, None], stride=2, padding=1, output_padding=1),
    }
    colors = partial(_shade, highest=4)
    grid(axes, (3.6, 14.2), 2.6, x[0, 0].tolist(), colors)
    write(axes, (6.2, 21.2), "input", weight="bold")
    spots = [(16, 13), (31, 13), (1, 1), (16, 1), (31, 1)]
    for (left, low), (name, result) in zip(spots, results.items(), strict=True):
        grid(axes, (left + 2, low), 2.15, result[0, 0].tolist(), colors, "{:.2g}", 7.5)
        write(axes, (left + 6.3, low + 9.9), name, 9, weight="bold")
    rows, columns = places.flatten() // 4, places.flatten() % 4
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        frame(axes, (18 + 2.15 * column, 1 + 2.15 * (3 - row)), (2.15, 2.15), ORANGE, linewidth=1.3)


def checkerboard(figure: Figure) -> None:
    """Draw how many kernels reach each cell of a transposed convolution with stride 2."""
    axes = canvas(figure)
    for place, kernel in enumerate((2, 3, 4)):
        ones = torch.ones(1, 1, 4, 4)
        counts = F.conv_transpose2d(ones, torch.ones(1, 1, kernel, kernel), stride=2)[0, 0]
        first = (counts.shape[0] - 6) // 2
        inside = counts[first : first + 6, first : first + 6].tolist()
        left = 1.4 + 15 * place
        grid(axes, (left, 6), 2.2, inside, partial(_shade, highest=5), size=8.5)
        write(axes, (left + 6.6, 22.3), f"kernel {kernel}", weight="bold")
        write(axes, (left + 6.6, 20.4), ("no overlap", "uneven", "even")[place], 8.5)
        start = -first % 2  # kernels begin at every second cell of the whole map
        for column, color in ((start, ORANGE), (start + 2, GREEN)):
            corner = (left + 2.2 * column, 6 + 2.2 * (6 - start - kernel))
            frame(axes, corner, (2.2 * kernel, 2.2 * kernel), color, linewidth=1.4)
    write(axes, (23, 3.9), "kernels that are summed in each cell, stride 2", 8.5)
    write(axes, (23, 1.6), "mean: each cell divided by its number", 8.5)


def _shade(value: float, highest: float) -> tuple[float, ...]:
    """Return a light blue, darker for higher values."""
    return colormaps["Blues"](0.03 + 0.6 * value / highest)
