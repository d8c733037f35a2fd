"""Statistics of pictures: their number and their sizes."""

from collections.abc import Mapping

import numpy as np

from datamodules.loading.packed import PackedImages
from datamodules.statistics.charts import Fact, Statistics, log_histogram, median


def image_statistics(splits: Mapping[str, PackedImages]) -> Statistics:
    """Return the statistics of the pictures of each split; several samples may share one."""
    sizes = {}
    for name, packed in splits.items():
        first = np.unique(packed.names, return_index=True)[1]
        sizes[name] = packed.sizes[first].astype(np.float64)
    facts = [
        Fact("pictures", {name: len(found) for name, found in sizes.items()}),
        Fact("median width, pixels", {name: median(found[:, 0]) for name, found in sizes.items()}),
        Fact("median height, pixels", {name: median(found[:, 1]) for name, found in sizes.items()}),
    ]
    sides = {name: np.sqrt(found.prod(axis=1)) for name, found in sizes.items()}
    about = "Square root of width times height, in pixels."
    return Statistics(facts, [log_histogram("Size of the pictures", about, sides, 5, 13)], [])
