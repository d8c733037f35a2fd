"""Statistics of the overlap of boxes with the anchors of a network."""

from collections.abc import Callable, Mapping

import numpy as np

from datamodules.statistics.boxes import LARGE, SMALL, BoxTable
from datamodules.statistics.charts import Bars, Chart, Fact, Numbers, Statistics, histogram, mean

MATCHED = 0.5
"""IoU from which a box counts as covered by an anchor."""

MOST_BOXES = 4000
"""Boxes of a split that are compared; their share is then known to 1.6 % (two standard deviations)."""


def anchor_statistics(
    tables: Mapping[str, BoxTable], overlaps: Callable[[Numbers, Numbers], Numbers], objects: str
) -> Statistics:
    """Return the statistics of the best IoU of each box with an anchor.

    Args:
        tables: The boxes of each split, of which at most ``MOST_BOXES`` at equal distances are compared.
        overlaps: Returns the best IoU of boxes (M, 4) with the anchors, given the sizes of their pictures (M, 2).
        objects: Word for the boxes.
    """
    best, areas = {}, {}
    for name, table in tables.items():
        chosen = np.arange(0, len(table.boxes), -(-len(table.boxes) // MOST_BOXES) or 1)
        best[name] = overlaps(table.sizes[table.owners[chosen]], table.boxes[chosen])
        areas[name] = table.areas[chosen]
    missed = {name: mean(found < MATCHED) for name, found in best.items()}
    sampled = f" Of {MOST_BOXES} {objects} at most." if any(len(t.boxes) > MOST_BOXES for t in tables.values()) else ""
    edges = np.linspace(0, 1, 21)
    ticks = [f"{edge:.1f}" if place % 4 == 0 else "" for place, edge in enumerate(edges)]
    about = f"Best IoU of each box with an anchor of the network, in the size the network resizes to.{sampled}"
    charts: list[Chart] = [
        histogram("Anchors and boxes", about, best, edges, ticks),
        _by_size(best, areas, objects),
    ]
    name, share = next(iter(missed.items()))
    finding = f"{share:.1%} of the {objects} of {name} have no anchor with an IoU of {MATCHED} or more."
    findings = [finding] if share > 0 else []
    return Statistics([Fact(f"no anchor with an IoU ≥ {MATCHED}", missed, "share")], charts, findings)


def _by_size(best: Mapping[str, Numbers], areas: Mapping[str, Numbers], objects: str) -> Bars:
    """Return how many boxes of each of COCO's sizes have no good anchor."""
    missed = {}
    for name, found in best.items():
        kinds = np.searchsorted([SMALL, LARGE], areas[name], side="right")
        missed[name] = np.bincount(kinds[found < MATCHED], minlength=3).astype(np.float64)
    return Bars(
        "Boxes without a good anchor",
        f"Number of {objects} whose best IoU is below {MATCHED}, and share of all that were compared.",
        ["small", "medium", "large"],
        missed,
        {name: len(found) for name, found in best.items()},
    )
