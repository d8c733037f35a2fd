"""What evaluation keeps and no network learns."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lit_cv.ops.runs import MaskRuns, select_masks

COLUMNS = ("boxes", "labels", "area", "iscrowd", "difficult", "keypoints")  # a row an object


def without_crowds(target: Mapping[str, Any]) -> dict[str, Tensor]:
    """Leave out the objects with ``iscrowd`` 1, groups that COCO outlines as one; without that key there are none."""
    if "iscrowd" not in target or not target["iscrowd"].any():
        return dict(target)
    single = (target["iscrowd"] == 0).nonzero()[:, 0]
    kept = {key: value[single] if key in COLUMNS else value for key, value in target.items()}
    if "mask_runs" in target:
        height, width = target["mask_size"].tolist()
        masks = select_masks(MaskRuns(target["mask_runs"], target["mask_lengths"], (height, width)), single)
        kept |= {"mask_runs": masks.runs, "mask_lengths": masks.lengths}
    return kept
