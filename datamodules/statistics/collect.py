"""All statistics of a DataModule, by the kind of its targets."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from datamodules.base import SPLITS, DataModule
from datamodules.boxes.packed_boxes import PackedBoxes
from datamodules.coco.packed_coco import PackedCOCO
from datamodules.loading.packed import PackedImages
from datamodules.pose.packed_poses import PackedPoses
from datamodules.statistics.anchors import anchor_statistics
from datamodules.statistics.boxes import BoxTable, box_statistics, box_table
from datamodules.statistics.charts import Matrix, Numbers, Statistics, together
from datamodules.statistics.images import image_statistics
from datamodules.statistics.joints import joint_statistics, pose_statistics
from datamodules.statistics.masks import mask_statistics
from datamodules.statistics.phrases import phrase_statistics, region_table
from datamodules.visual_genome.packed_regions import PackedRegions
from datamodules.voc.packed_masks import PackedMasks
from lit_cv.errors import UserError

Overlaps = Callable[[Numbers, Numbers], Numbers]
"""Returns the best IoU of each box (M, 4) with a network's anchors, given the size of its picture (M, 2)."""


def collect(data: DataModule[Any], overlaps: Overlaps | None = None) -> Statistics:
    """Return the statistics of all splits of a data set; no picture is decoded.

    Args:
        data: The data set; fetched.
        overlaps: Compares boxes with the anchors of a network; None without anchors.

    Raises:
        UserError: The data is unusable, or nothing is known about its targets.
    """
    opened = {split: data.open_split(split) for split in SPLITS}
    splits = {split: packed for split, packed in opened.items() if packed is not None and len(packed)}
    first = next(iter(splits.values()), None)
    if not isinstance(first, PackedImages):
        raise UserError(f"{data.root}: {type(data).__name__} has no split with pictures, so there is nothing to count.")
    found = together(image_statistics(splits), _of_targets(data, splits, first, overlaps))
    return found._replace(charts=sorted(found.charts, key=lambda chart: isinstance(chart, Matrix)))  # wide ones last


def _of_targets(
    data: DataModule[Any], splits: Mapping[str, Any], first: PackedImages, overlaps: Overlaps | None
) -> Statistics:
    match first:
        case PackedMasks():
            return mask_statistics(splits, data.class_names)
        case PackedPoses():
            return pose_statistics(splits, data.class_names)
        case PackedRegions():
            regions = {split: region_table(packed) for split, packed in splits.items()}
            return together(_boxes(regions, data, overlaps, "regions"), phrase_statistics(splits))
        case PackedBoxes():
            found = _boxes({split: box_table(packed) for split, packed in splits.items()}, data, overlaps)
            return together(found, _joints(splits)) if isinstance(first, PackedCOCO) else found
    raise UserError(
        f"{type(data).__name__} has targets of the kind {type(first).__name__}, of which no statistics are known: "
        "derive its packed annotations from datamodules.boxes.packed_boxes.PackedBoxes if they are boxes."
    )


def _boxes(
    tables: Mapping[str, BoxTable], data: DataModule[Any], overlaps: Overlaps | None, objects: str = "objects"
) -> Statistics:
    found = box_statistics(tables, data.class_names, objects)
    return found if overlaps is None else together(found, anchor_statistics(tables, overlaps, objects))


def _joints(splits: Mapping[str, PackedCOCO]) -> Statistics:
    names = next(iter(splits.values())).facts.joints
    if not names:
        return Statistics([], [], [])
    return joint_statistics({split: np.asarray(packed.joints[..., 2]) for split, packed in splits.items()}, names)
