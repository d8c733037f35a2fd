"""Masks (in COCO's compressed form) and keypoints of one image as columns of an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import hotcoco
import numpy as np
import torch
from torch import Tensor

from lit_cv.metrics.base import Array, to_array
from lit_cv.ops.rle import compress_runs

MASK_COLUMNS = ("masks", "mask_size")


def mask_columns(image_id: int, objects: Mapping[str, Any]) -> dict[str, Array]:
    """Return the compressed masks of a prediction or a target.

    Args:
        image_id: Reported in error messages.
        objects: Holds ``mask_runs``, ``mask_lengths`` and ``mask_size`` (see ``ops.mask_runs``), or ``masks``:
            dense (N, H, W), bool or uint8, or a list of COCO's RLE dicts with compressed (str, bytes) or uncompressed
            (list of int) ``counts``.

    Returns:
        ``masks`` (N,), each the bytes of COCO's compressed ``counts``; ``mask_size`` int64 (N, 2), height and width.

    Raises:
        ValueError: If masks are missing or malformed, or the runs of a mask do not fill it.
    """
    if "mask_runs" in objects:
        height, width = (int(side) for side in objects["mask_size"])
        runs, lengths = (objects[name].cpu().numpy() for name in ("mask_runs", "mask_lengths"))
        _check_runs(image_id, runs, lengths, (height, width))
        return _columns(compress_runs(runs, lengths), [(height, width)] * len(lengths))
    if "masks" not in objects:
        raise ValueError(f"image {image_id}: masks are missing: give mask_runs, mask_lengths and mask_size, or masks")
    masks = objects["masks"]
    if isinstance(masks, Tensor):
        if masks.ndim != 3 or masks.dtype not in (torch.bool, torch.uint8):
            raise ValueError(
                f"image {image_id}: masks are {masks.dtype} {tuple(masks.shape)}, not bool or uint8 (N, H, W)"
            )
        masks = [hotcoco.mask.encode(mask) for mask in masks.cpu().numpy()]
    return _from_dicts(image_id, masks)


def keypoint_column(image_id: int, objects: Mapping[str, Any], joints: int) -> dict[str, Array]:
    """Return the ``keypoints`` (N, K, 3) of a prediction or a target.

    Raises:
        ValueError: If they are missing or of another shape.
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
            _check_runs(image_id, runs, lengths, (height, width))
            counts += compress_runs(runs, lengths)
    return _columns(counts, [tuple(mask["size"]) for mask in masks])


def _columns(counts: list[bytes], sizes: list[Any]) -> dict[str, Array]:
    masks = np.empty(len(counts), dtype=object)
    masks[:] = counts
    return {"masks": masks, "mask_size": np.array(sizes, dtype=np.int64).reshape(-1, 2)}


def _check_runs(image_id: int, runs: Array, lengths: Array, size: tuple[int, int]) -> None:
    if len(runs) != lengths.sum():
        raise ValueError(f"image {image_id}: {len(runs)} runs, but mask_lengths sum to {lengths.sum()}")
    if not lengths.all():
        raise ValueError(f"image {image_id}: a mask without runs: give an empty mask as a single run of all pixels")
    pixels = np.add.reduceat(runs, lengths.cumsum() - lengths) if len(runs) else runs
    height, width = size
    wrong = np.flatnonzero(pixels != height * width)
    if wrong.size:
        raise ValueError(f"image {image_id}: runs of {pixels[wrong[0]]} pixels in a mask of {height}x{width}")
