"""The objects of one image, of a target or a prediction: a dictionary of columns with a row an object."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_cv.ops.mask_runs import MaskRuns, select_masks

Objects = Mapping[str, Any]
"""Tensors, lists of text, and masks as runs under ``MASK_KEYS``."""

MASK_KEYS = ("mask_runs", "mask_lengths", "mask_size")
OTHERS = ("image_id", "proposals")  # keys of a target that have no row an object


def masks_of(objects: Objects, device: torch.device | None = None) -> MaskRuns:
    """Return the masks, on a device; None: where they are."""
    height, width = objects["mask_size"].tolist()
    return MaskRuns(objects["mask_runs"].to(device), objects["mask_lengths"].to(device), (height, width))


def rows_of(objects: Objects, rows: Tensor) -> dict[str, Any]:
    """Take the objects at int64 (K,) positions, in their order; what has no rows stays as it is."""
    taken = {name: _rows(column, rows) for name, column in objects.items() if name not in (*MASK_KEYS, *OTHERS)}
    if "mask_runs" in objects:
        masks = select_masks(masks_of(objects), rows)
        taken |= {"mask_runs": masks.runs, "mask_lengths": masks.lengths}
    return {**objects, **taken}


def _rows(column: Any, rows: Tensor) -> Any:
    return [column[row] for row in rows.tolist()] if isinstance(column, list) else column[rows]


def without_crowds(target: Objects) -> dict[str, Any]:
    """Leave out the objects with ``iscrowd`` 1, groups outlined as one, which COCO evaluates and no network learns.

    Without that key there are none.
    """
    if "iscrowd" not in target or not target["iscrowd"].any():
        return dict(target)
    return rows_of(target, (target["iscrowd"] == 0).nonzero()[:, 0])
