"""Masks and keypoints of one image as columns of an evaluation, masks in COCO's compressed form."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_cv.metrics.gather import Array, to_array
from lit_cv.ops.rle import compress_masks, compress_runs
from lit_cv.ops.runs import MaskRuns, encode_masks

MASK_COLUMNS = ("masks", "mask_size")


def mask_columns(image_id: int, objects: Mapping[str, Any]) -> dict[str, Array]:
    """The masks of a prediction or a target, compressed.

    Args:
        image_id: named in errors.
        objects: `mask_runs`, `mask_lengths` and `mask_size` (see `MaskRuns`), or `masks`: dense (N, H, W), bool or 0
            and 1, or a list of COCO's RLE dicts, their `counts` compressed (str, bytes) or not (a list of int).

    Returns:
        `masks` (N,), each the bytes of COCO's compressed `counts`; `mask_size` int64 (N, 2), height and width.

    Raises:
        ValueError: there are no masks, or they are of another form; runs that do not fill the mask.
    """
    if "mask_runs" in objects:
        height, width = (int(side) for side in objects["mask_size"])
        runs = MaskRuns(objects["mask_runs"], objects["mask_lengths"], (height, width))
        _check_runs(image_id, runs)
    elif "masks" not in objects:
        raise ValueError(f"image {image_id}: masks are missing: give mask_runs, mask_lengths and mask_size, or masks")
    elif isinstance(objects["masks"], Tensor):
        dense = objects["masks"]
        if dense.ndim != 3 or dense.is_floating_point():
            raise ValueError(
                f"image {image_id}: masks are {dense.dtype} {tuple(dense.shape)}, not (N, H, W) of bool or 0 and 1"
            )
        runs = encode_masks(dense)
    else:
        return _from_dicts(image_id, objects["masks"])
    return _columns(compress_masks(runs), [runs.size] * len(runs.lengths))


def keypoint_column(image_id: int, objects: Mapping[str, Any], joints: int) -> dict[str, Array]:
    """The `keypoints` (N, K, 3) of a prediction or a target.

    Raises:
        ValueError: they are missing, or of another shape.
    """
    if "keypoints" not in objects:
        raise ValueError(f"image {image_id}: keypoints are missing")
    keypoints = to_array(objects["keypoints"])
    if keypoints.shape[1:] != (joints, 3):
        raise ValueError(f"image {image_id}: keypoints are {keypoints.shape}, but there are {joints} sigmas: (N, K, 3)")
    return {"keypoints": keypoints}


def _from_dicts(image_id: int, masks: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    counts: list[bytes] = []
    for mask in masks:
        text = mask["counts"]
        if isinstance(text, str):
            counts.append(text.encode())
        elif isinstance(text, bytes):
            counts.append(text)
        else:
            height, width = mask["size"]
            runs, lengths = np.array(text, dtype=np.int64), np.array([len(text)])
            _check_runs(image_id, MaskRuns(torch.from_numpy(runs), torch.from_numpy(lengths), (height, width)))
            counts += compress_runs(runs, lengths)
    return _columns(counts, [tuple(mask["size"]) for mask in masks])


def _columns(counts: list[bytes], sizes: list[Any]) -> dict[str, Array]:
    masks = np.empty(len(counts), dtype=object)
    masks[:] = counts
    return {"masks": masks, "mask_size": np.array(sizes, dtype=np.int64).reshape(-1, 2)}


def _check_runs(image_id: int, masks: MaskRuns) -> None:
    owners = torch.arange(len(masks.lengths), device=masks.lengths.device).repeat_interleave(masks.lengths)
    if len(owners) != len(masks.runs):
        raise ValueError(f"image {image_id}: {len(masks.runs)} runs, but mask_lengths sum to {len(owners)}")
    pixels = torch.zeros_like(masks.lengths).index_add_(0, owners, masks.runs)
    height, width = masks.size
    wrong = (pixels != height * width).nonzero()
    if len(wrong):
        found = int(pixels[wrong[0, 0]])
        raise ValueError(f"image {image_id}: runs of {found} pixels in a mask of {height}x{width}: decode it anew")
