"""Statistics of class masks: pixels and pictures of each class, and places."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.statistics.boxes import class_bars, co_occurrence, missing_classes
from datamodules.statistics.charts import GRID, Bars, Chart, Fact, HeatMap, Numbers, Statistics
from datamodules.voc.packed_masks import VOID, PackedMasks

MOST_MASKS = 1000
"""Masks that the map of places is made of."""


def mask_statistics(splits: Mapping[str, PackedMasks], class_names: Sequence[str]) -> Statistics:
    """Return the statistics of the masks of each split; classes are 1..C, 0 is the background."""
    pixels = {name: _pixels(packed) for name, packed in splits.items()}
    known = {name: found[: len(class_names) + 1] for name, found in pixels.items()}
    present = {name: _present(packed, len(class_names)) for name, packed in splits.items()}
    pictures = {name: found.sum(axis=0).astype(np.float64) for name, found in present.items()}
    names = ("background", *class_names)
    bars = class_bars("Pixels of each class", "pixels with a known class", names, known)
    facts = [
        Fact("void pixels", {name: _share(found[VOID], found.sum()) for name, found in pixels.items()}, "share"),
        Fact("background", {name: _share(found[0], found.sum()) for name, found in known.items()}, "share"),
        Fact(
            "classes of a picture, mean", {n: _share(f.sum(), len(present[n])) for n, f in pictures.items()}, "number"
        ),
    ]
    order = np.argsort(-next(iter(pictures.values())), kind="stable")
    charts: list[Chart] = [
        bars,
        Bars(
            "Pictures with each class",
            "Number of pictures, and share of all pictures of the split.",
            [class_names[place] for place in order.tolist()],
            {name: found[order] for name, found in pictures.items()},
            {name: len(found) for name, found in present.items()},
        ),
        HeatMap(
            "Places of the classes",
            "Share of the pictures that have any class but the background there.",
            {name: _places(packed) for name, packed in splits.items()},
        ),
    ]
    if len(class_names) > 1:
        name, found = next(iter(present.items()))
        charts.append(co_occurrence(name, found, class_names))
    return Statistics(facts, charts, missing_classes(class_names, pictures, "pixels"))


def _pixels(packed: PackedMasks) -> Numbers:
    """Return the number of pixels of each value, float64 (256,)."""
    pixels: Numbers = np.bincount(packed.values, weights=packed.lengths, minlength=256).astype(np.float64)
    return pixels


def _present(packed: PackedMasks, classes: int) -> NDArray[np.bool_]:
    """Return which masks have a pixel of which class, bool (N, C)."""
    owners = np.repeat(np.arange(len(packed)), np.diff(packed.offsets))
    found = np.zeros((len(packed), 256), dtype=np.bool_)
    found[owners, packed.values] = True
    return found[:, 1 : classes + 1]


def _places(packed: PackedMasks) -> Numbers:
    """Return the share of masks with a class in each cell, of at most ``MOST_MASKS`` masks at equal distances."""
    chosen = range(0, len(packed), -(-len(packed) // MOST_MASKS) or 1)
    total = np.zeros((GRID, GRID))
    for index in chosen:
        mask = packed.mask(index)
        classes = ((mask > 0) & (mask != VOID)).astype(np.float32)
        total += cv2.resize(classes, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return total / max(1, len(chosen))


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan
