"""Predictions of the arms side by side, cut from the pictures of the last validation."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from lit_cv.ablation.plots.style import few_digits
from lit_cv.ablation.results.study import Arm, Run
from lit_cv.ablation.results.tables import Table
from lit_cv.errors import UserError

IMAGES, ARMS = 4, 8
# `pictures/<step>_<image id>.png`: ground truth and prediction of equal size, each below a caption, with a gap.
PICTURE = re.compile(r"(\d+)_(-?\d+)\.png")
CAPTION, GAP = 22, 8
INCHES = 2.2  # width of a column

Pixels = NDArray[np.uint8]


def draw_gallery(table: Table, seeds: Sequence[int | None], folder: Path) -> list[Path]:
    """Write ``gallery.png``: one row per image, with the ground truth and the arms' predictions as columns.

    The gallery shows the first images that all arms have drawn at the last validation, for the first seed that has such
    images. It shows all arms, or the baseline and the best other arms if there are more than eight.

    Args:
        table: The arms.
        seeds: Seeds in the order in which they are tried.
        folder: Output folder.

    Returns:
        The file, or nothing if the runs have no common pictures.

    Raises:
        UserError: A picture cannot be read.
    """
    arms = shown_arms(table)
    for seed in seeds:
        pictures = [last_pictures(arm.runs[seed]) if seed in arm.runs else {} for arm in arms]
        images = sorted(set.intersection(*map(set, pictures)))[:IMAGES]
        if images:
            parts = [f"seed {seed}"] if seed is not None else []
            parts += [f"{len(arms)} of {len(table.rows)} arms"] if len(arms) < len(table.rows) else []
            labels = [few_digits(arm.label) for arm in arms]
            figure = _figure([[own[image] for own in pictures] for image in images], labels, " · ".join(parts))
            figure.savefig(folder / "gallery.png", dpi=150, bbox_inches="tight", facecolor="white")
            return [folder / "gallery.png"]
    return []


def shown_arms(table: Table) -> list[Arm]:
    """Return the arms in the order of the table; of more than eight, the baseline and the best other arms."""
    ranked = [*table.ranked, *table.rows]  # arms without a score come last
    chosen = list({id(arm): arm for arm in [table.baseline, *(row.arm for row in ranked)]}.values())[:ARMS]
    return [row.arm for row in table.rows if any(row.arm is arm for arm in chosen)]


def last_pictures(run: Run) -> dict[int, Path]:
    """Return the pictures of a run's last validation by image id."""
    matches = [(file, PICTURE.fullmatch(file.name)) for file in (run.folder / "pictures").glob("*.png")]
    found = [(int(match[1]), int(match[2]), file) for file, match in matches if match]
    last = max((step for step, _, _ in found), default=0)
    return {image: file for step, image, file in found if step == last}


def halves(file: Path) -> tuple[Pixels, Pixels]:
    """Return the ground truth and the prediction of a picture, uint8 (H, W, 3) each.

    Raises:
        UserError: The file cannot be read or is not such a picture.
    """
    try:
        with Image.open(file) as opened:
            picture = np.asarray(opened.convert("RGB"))
    except OSError as error:
        raise UserError(f"{file}: is not a readable picture ({error}); delete it and run the report again.") from None
    width, odd = divmod(picture.shape[1] - GAP, 2)
    if odd or width < 1 or picture.shape[0] <= CAPTION:
        raise UserError(f"{file}: does not show a ground truth beside a prediction; delete it and report again.")
    return picture[CAPTION:, :width], picture[CAPTION:, width + GAP :]


def _figure(files: Sequence[Sequence[Path]], labels: Sequence[str], title: str) -> Figure:
    """Draw rows of files, one column per labeled arm."""
    pairs = [[halves(file) for file in row] for row in files]
    rows = [[row[0][0], *(prediction for _, prediction in row)] for row in pairs]
    heights = [row[0].shape[0] / row[0].shape[1] for row in rows]
    lines = max(label.count(", ") + 1 for label in labels)
    size = (INCHES * len(rows[0]), INCHES * sum(heights) + 0.2 * lines + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid: Any = figure.subplots(len(rows), len(rows[0]), squeeze=False, height_ratios=heights)
    for axes, row in zip(grid, rows, strict=True):
        for axis, pixels in zip(axes, row, strict=True):
            _show(axis, pixels)
    for axis, label in zip(grid[0], ["ground truth", *labels], strict=True):
        axis.set_title(label.replace(", ", "\n"), fontsize="small")
    figure.suptitle(title, x=0.01, ha="left", fontsize="small")
    return figure


def _show(axis: Axes, pixels: Pixels) -> None:
    axis.imshow(pixels)
    axis.set_axis_off()
