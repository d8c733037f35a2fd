"""Objects of one image, from a target or a prediction: a dictionary of columns with one row per object."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_cv.ops.mask_runs import MaskRuns, encode_masks, select_masks

Objects = Mapping[str, Any]
"""Columns are tensors or lists of text. Masks are runs under ``MASK_KEYS``, or dense under ``masks``."""

MASK_KEYS = ("mask_runs", "mask_lengths", "mask_size")
OTHERS = ("image_id", "proposals")  # keys of a target without one row per object


def masks_of(objects: Objects, device: torch.device | None = None) -> MaskRuns:
    """Return the masks on ``device``; None keeps their current device.

    Args:
        objects: Has the masks as runs under ``MASK_KEYS``, or dense under ``masks``, bool or uint8 (N, H, W).
        device: Device of the result.
    """
    if "mask_runs" not in objects:
        return encode_masks(objects["masks"].to(device))
    height, width = objects["mask_size"].tolist()
    return MaskRuns(objects["mask_runs"].to(device), objects["mask_lengths"].to(device), (height, width))


def rows_of(objects: Objects, rows: Tensor) -> dict[str, Any]:
    """Select the objects at int64 (K,) positions, in that order; entries without rows are unchanged."""
    taken = {name: _rows(column, rows) for name, column in objects.items() if name not in (*MASK_KEYS, *OTHERS)}
    if "mask_runs" in objects:
        masks = select_masks(masks_of(objects), rows)
        taken |= {"mask_runs": masks.runs, "mask_lengths": masks.lengths}
    return {**objects, **taken}


def _rows(column: Any, rows: Tensor) -> Any:
    return [column[row] for row in rows.tolist()] if isinstance(column, list) else column[rows]


def without_crowds(target: Objects) -> dict[str, Any]:
    """Remove the objects with ``iscrowd`` 1 (groups outlined as one), which COCO evaluates but networks do not learn.

    A target without that key has no crowds and is returned as a copy.
    """
    if "iscrowd" not in target or not target["iscrowd"].any():
        return dict(target)
    return rows_of(target, (target["iscrowd"] == 0).nonzero()[:, 0])
