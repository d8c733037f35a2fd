"""Statistics of boxes: classes, sizes, shapes, places, and classes that occur together."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import PackedBoxes
from datamodules.statistics.charts import (
    GRID,
    Bars,
    BySplit,
    Chart,
    Fact,
    HeatMap,
    Matrix,
    Numbers,
    Statistics,
    log_histogram,
    mean,
    median,
    whole_histogram,
)

SMALL, LARGE = 32**2, 96**2
"""Areas in square pixels from which COCO's evaluation calls objects medium and large."""

MOST_CLASSES = 24
"""Classes of the table of those that occur together."""


class BoxTable(NamedTuple):
    """The boxes of a split.

    Attributes:
        sizes: float64 (N, 2), width and height of each picture in pixels.
        owners: int64 (M,), the picture of each box.
        boxes: float64 (M, 4), xyxy in pixels.
        labels: int64 (M,), 1..C.
        areas: float64 (M,), in square pixels, as evaluated.
        untrained: Number of boxes that are not trained on: difficult objects, crowds.
    """

    sizes: Numbers
    owners: NDArray[np.int64]
    boxes: Numbers
    labels: NDArray[np.int64]
    areas: Numbers
    untrained: int

    @property
    def per_image(self) -> Numbers:
        """Number of boxes of each picture."""
        return np.bincount(self.owners, minlength=len(self.sizes)).astype(np.float64)

    @property
    def unit_boxes(self) -> Numbers:
        """The boxes as shares of width and height, from 0 to 1."""
        return self.boxes / np.tile(self.sizes, 2)[self.owners]


def box_table(packed: PackedBoxes) -> BoxTable:
    """Return the boxes of a split of any data set of boxes."""
    every = slice(0, len(packed.boxes))
    objects = packed.objects(np.arange(len(packed.boxes)))
    owners = np.repeat(np.arange(len(packed)), np.diff(packed.offsets))
    return BoxTable(
        packed.sizes.astype(np.float64),
        owners,
        packed.boxes.astype(np.float64),
        np.asarray(packed.labels),
        objects["area"].astype(np.float64),
        len(packed.boxes) - len(packed.trained(every)),
    )


def box_statistics(tables: Mapping[str, BoxTable], class_names: Sequence[str], objects: str = "objects") -> Statistics:
    """Return the statistics of the boxes of each split.

    Args:
        tables: The boxes.
        class_names: Names of labels 1..C; a single one makes no chart.
        objects: Word for the boxes.
    """
    charts: list[Chart] = []
    findings: list[str] = []
    if len(class_names) > 1:
        present = {
            name: np.bincount(table.labels, minlength=len(class_names) + 1)[1:].astype(np.float64)
            for name, table in tables.items()
        }
        charts.append(class_bars(f"{objects.capitalize()} of each class", f"{objects}", class_names, present))
        findings += missing_classes(class_names, present, objects)
    charts += [*_shapes(tables, objects), *_places(tables, objects)]
    if len(class_names) > 1:
        name, table = next(iter(tables.items()))
        pictures = np.zeros((len(table.sizes), len(class_names)), dtype=np.bool_)
        pictures[table.owners, table.labels - 1] = True
        charts.append(co_occurrence(name, pictures, class_names))
    return Statistics(_facts(tables, objects), charts, findings)


def _facts(tables: Mapping[str, BoxTable], objects: str) -> list[Fact]:
    sides = {name: np.sqrt(table.areas) for name, table in tables.items()}
    facts = [
        Fact(objects, {name: len(table.boxes) for name, table in tables.items()}),
        Fact(
            f"{objects} of a picture, mean", {name: mean(table.per_image) for name, table in tables.items()}, "number"
        ),
        Fact(f"pictures without {objects}", {name: int((t.per_image == 0).sum()) for name, t in tables.items()}),
        Fact("median size (√area), pixels", {name: median(found) for name, found in sides.items()}, "number"),
    ]
    untrained = {name: table.untrained for name, table in tables.items()}
    if any(untrained.values()):
        facts.insert(1, Fact("of these difficult or crowds", untrained))
    return facts


def _shapes(tables: Mapping[str, BoxTable], objects: str) -> list[Chart]:
    kinds = {
        name: np.bincount(np.searchsorted([SMALL, LARGE], table.areas, side="right"), minlength=3).astype(np.float64)
        for name, table in tables.items()
    }
    bases = {name: len(table.boxes) for name, table in tables.items()}
    ratios = {name: _ratios(table.boxes) for name, table in tables.items()}
    return [
        Bars(
            "Sizes as COCO counts them",
            f"Area of the {objects}: small is below 32² pixels, large from 96² on; share of all {objects}.",
            ["small", "medium", "large"],
            kinds,
            bases,
        ),
        log_histogram(
            f"Size of the {objects}",
            "Square root of the area, in pixels.",
            {name: np.sqrt(table.areas) for name, table in tables.items()},
            2,
            10,
        ),
        log_histogram(f"Shape of the {objects}", "Width divided by height of the box.", ratios, -4, 4),
        whole_histogram(
            f"{objects.capitalize()} of a picture",
            f"Number of {objects} in each picture.",
            {name: table.per_image for name, table in tables.items()},
        ),
    ]


def _ratios(boxes: Numbers) -> Numbers:
    sides = boxes[:, 2:] - boxes[:, :2]
    ratios: Numbers = sides[:, 0] / sides[:, 1]
    return ratios


def _places(tables: Mapping[str, BoxTable], objects: str) -> list[Chart]:
    units = {name: table.unit_boxes for name, table in tables.items()}
    return [
        HeatMap(
            f"Centers of the {objects}",
            "Place of the centers of the boxes in the picture; the darker, the more of them.",
            {name: point_map((boxes[:, :2] + boxes[:, 2:]) / 2) for name, boxes in units.items()},
        ),
        HeatMap(
            f"Places that {objects} cover",
            "Mean number of boxes over each place of the picture.",
            {name: coverage(boxes) / max(1, len(tables[name].sizes)) for name, boxes in units.items()},
        ),
    ]


def point_map(points: Numbers) -> Numbers:
    """Count points (P, 2), x and y from 0 to 1, in the cells of a map; points outside are left out."""
    inside = points[((points >= 0) & (points <= 1)).all(axis=1)]
    x, y = np.minimum((inside * GRID).astype(np.int64), GRID - 1).T
    return np.bincount(y * GRID + x, minlength=GRID * GRID).astype(np.float64).reshape(GRID, GRID)


def coverage(boxes: Numbers) -> Numbers:
    """Return the number of boxes (M, 4), xyxy from 0 to 1, over the center of each cell of a map."""
    x1, y1, x2, y2 = np.ceil(boxes.clip(0, 1) * GRID - 0.5).astype(np.int64).T
    steps = np.zeros((GRID + 1, GRID + 1))
    for rows, columns, sign in ((y1, x1, 1), (y2, x2, 1), (y1, x2, -1), (y2, x1, -1)):
        np.add.at(steps, (rows, columns), sign)
    return steps.cumsum(axis=0).cumsum(axis=1)[:GRID, :GRID]


def class_bars(title: str, objects: str, class_names: Sequence[str], counts: BySplit) -> Bars:
    """Return the counts of the classes, float64 (C,), from the most frequent class of the first split on."""
    order = np.argsort(-next(iter(counts.values())), kind="stable")
    return Bars(
        title,
        f"Number of {objects}, and share of all {objects} of the split.",
        [class_names[place] for place in order.tolist()],
        {name: found[order] for name, found in counts.items()},
        {name: float(found.sum()) for name, found in counts.items()},
    )


def missing_classes(class_names: Sequence[str], counts: BySplit, objects: str) -> list[str]:
    """Return a sentence for each split that lacks classes, given their counts, float64 (C,)."""
    findings = []
    for name, found in counts.items():
        absent = [class_names[place] for place in np.flatnonzero(found == 0).tolist()]
        if absent:
            more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
            findings.append(f"{name} has no {objects} of {len(absent)} classes: {', '.join(absent[:8])}{more}.")
    return findings


def co_occurrence(split: str, pictures: NDArray[np.bool_], class_names: Sequence[str]) -> Matrix:
    """Return how often classes occur together.

    Args:
        split: Name of the split.
        pictures: bool (N, C), whether each picture has an object of each class.
        class_names: Names of the C classes.
    """
    frequency = pictures.sum(axis=0)
    chosen = np.argsort(-frequency, kind="stable")[:MOST_CLASSES]
    chosen = chosen[frequency[chosen] > 0]
    both = pictures[:, chosen].astype(np.float64).T @ pictures[:, chosen].astype(np.float64)
    left = f" The {len(chosen)} most frequent classes." if len(chosen) < (frequency > 0).sum() else ""
    return Matrix(
        "Classes in the same picture",
        f"Percentage of the {split} pictures with the class of the row that also have the class of the column.{left}",
        [class_names[place] for place in chosen.tolist()],
        both / np.maximum(np.diag(both), 1)[:, None],
    )
