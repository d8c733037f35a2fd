"""Groups of objects: by size, aspect ratio, neighbors and flags, with what is found of each."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import hotcoco
import numpy as np

from lit_cv.analysis.contract import Column, Table
from lit_cv.analysis.detection.matches import NOBODY, Detections, Flags, Integers
from lit_cv.analysis.detection.precision import average_precision
from lit_cv.analysis.detection.tide import Errors
from lit_cv.metrics.base import Array

NEIGHBOR = 0.1  # IoU from which another object is a neighbor
SMALL, LARGE = 32**2, 96**2
TALL, WIDE = 0.75, 1.33
FLAGS = ("difficult", "truncated", "occluded")
ABOUT = (
    "Objects of each group: the share that is found (IoU 0.5, right class, any score; then with a score of at least "
    "the threshold with the best F1), objects missed altogether (TIDE's Miss), and AP at IoU 0.5 with precision "
    "normalized to all objects of a class, so that groups of any size compare (Hoiem, Chodpathumwan and Dai 2012, "
    f"equation 2). Sizes are COCO's. Tall and wide: width / height up to {TALL}, above {WIDE} (TIDE). Neighbors: other "
    f"objects of the image whose boxes overlap with an IoU of at least {NEIGHBOR}."
)
COLUMNS = [Column("group"), Column("objects", "count"), Column("found %", "percent"),
           Column("at threshold %", "percent"), Column("missed", "count"), Column("AP %", "percent")]  # fmt: skip


class Group(NamedTuple):
    """The found part of a group of objects.

    Attributes:
        property: What the objects are grouped by.
        name: The group.
        objects: Their number.
        found: Share that is found with any score; NaN without objects.
        confident: Share that is found with at least the threshold.
        missed: Number that is missed altogether.
        ap: Normalized AP at IoU 0.5; NaN without objects.
    """

    property: str
    name: str
    objects: int
    found: float
    confident: float
    missed: int
    ap: float


def members(wanted: Mapping[str, Array]) -> Iterator[tuple[str, str, Flags]]:
    """Yield property, name and members, bool (N,), of each group of targets; crowds are in none."""
    boxes, area, own = wanted["boxes"], wanted["area"], ~wanted["iscrowd"]
    sides = boxes[:, 2:] - boxes[:, :2]
    ratio = sides[:, 0] / np.maximum(sides[:, 1], np.finfo(np.float64).tiny)
    neighbors = count_neighbors(wanted)
    yield "all", "all", own
    yield "size", "small", own & (area < SMALL)
    yield "size", "medium", own & (area >= SMALL) & (area < LARGE)
    yield "size", "large", own & (area >= LARGE)
    yield "aspect", "tall", own & (ratio <= TALL)
    yield "aspect", "square", own & (ratio > TALL) & (ratio <= WIDE)
    yield "aspect", "wide", own & (ratio > WIDE)
    yield "neighbors", "no neighbor", own & (neighbors == 0)
    yield "neighbors", "one neighbor", own & (neighbors == 1)
    yield "neighbors", "several neighbors", own & (neighbors > 1)
    for name in FLAGS:
        if name in wanted and wanted[name].any():
            yield name, name, own & wanted[name].astype(bool)
            yield name, f"not {name}", own & ~wanted[name].astype(bool)


def count_neighbors(wanted: Mapping[str, Array]) -> Integers:
    """Return the number of other objects of the image that overlap each target, int64 (N,); crowds count for none."""
    count = np.zeros(len(wanted["labels"]), np.int64)
    solid = np.flatnonzero(~wanted["iscrowd"])
    images, first = np.unique(wanted["image"][solid], return_index=True)
    boxes = np.concatenate([wanted["boxes"][:, :2], wanted["boxes"][:, 2:] - wanted["boxes"][:, :2]], axis=1)
    for rows in np.split(solid, first[1:]) if len(images) else []:
        overlaps = hotcoco.mask.iou(boxes[rows], boxes[rows], np.zeros(len(rows), bool))
        count[rows] = (overlaps >= NEIGHBOR).sum(axis=1) - (np.diagonal(overlaps) >= NEIGHBOR)
    return count


def groups(found: Detections, errors: Errors, threshold: float) -> list[Group]:
    """Return all groups.

    Args:
        found: The detections.
        errors: Their errors.
        threshold: Score of the confident detections.
    """
    right = errors.matched != NOBODY
    score = np.full(len(errors.missed), -np.inf)
    score[errors.matched[right]] = found.scores[right]
    made = []
    for property_, name, own in members(found.wanted):
        count = int(own.sum())
        any_score, confident = _share(score[own] > -np.inf), _share(score[own] >= threshold)
        missed = int((errors.missed & own).sum())
        made.append(Group(property_, name, count, any_score, confident, missed, _normalized(found, errors, own)))
    return made


def group_table(prefix: str, title: str, found: list[Group]) -> Table:
    """Return the table of groups; a flag that no object has is left out."""
    return Table(f"{prefix}groups", title, ABOUT, COLUMNS, [list(group[1:]) for group in found])


def _normalized(found: Detections, errors: Errors, own: Flags) -> float:
    """Return the mean over the classes in a group of the normalized AP; NaN without objects."""
    labels = found.wanted["labels"]
    right = errors.matched != NOBODY
    other = right.copy()
    other[right] = ~own[errors.matched[right]]
    counted = ~errors.ignored & ~other
    totals, parts = np.bincount(labels[~found.wanted["iscrowd"]]), np.bincount(labels[own])
    values: list[float] = []
    order = np.flatnonzero(counted)
    order = order[np.argsort(found.labels[order], kind="stable")]
    starts = np.searchsorted(found.labels[order], np.arange(len(parts) + 1))
    for label in np.flatnonzero(parts).tolist():
        rows = order[starts[label] : starts[label + 1]]
        values.append(average_precision(right[rows], found.scores[rows], int(parts[label]), float(totals[label])))
    return float(np.mean(values)) if values else float("nan")


def _share(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
