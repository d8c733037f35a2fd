"""The prediction of one image as rows of columns: exact, compact, and without any tensor."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_cv.metrics.base import to_array
from lit_cv.metrics.instance_columns import mask_columns
from lit_cv.ops.mask_runs import MaskRuns, decode_masks, encode_masks
from lit_cv.ops.rle import compress_masks, decompress_runs

Record = dict[str, NDArray[Any] | list[bytes]]
"""Columns with one row for each object: numbers as an array, text and the RLE of masks as bytes."""

MASKS = "masks"  # one RLE for each object
PIXELS, CLASSES = "pixels", "pixel_classes"  # of a class mask: one RLE for each class in it
NOT_KEPT = ("mask_lengths", "mask_size", "tokens")  # parts of the masks' runs; tokens are in the phrases


class Unkept(Exception):
    """Predictions of a form that files do not hold; its text says what is wrong with them."""


class ImageRecord(NamedTuple):
    """The prediction of one image.

    Attributes:
        image_id: Its ``image_id`` in the data set.
        size: Width and height in pixels.
        found: The prediction.
    """

    image_id: int
    size: tuple[int, int]
    found: Record


def to_record(found: Mapping[str, Any], size: tuple[int, int]) -> Record:
    """Return a network's prediction for one image as columns.

    Args:
        found: Tensors with one row for each object, lists of text, masks (see ``mask_columns``), or ``mask`` uint8
            (H, W).
        size: Width and height of the image in pixels.

    Raises:
        Unkept: A value has another form, or the columns or masks do not fit.
    """
    record: Record = {}
    if not isinstance(found, Mapping):
        raise Unkept(f"a prediction is a {type(found).__name__}, not a dictionary")
    for name, value in found.items():
        if name in NOT_KEPT:
            continue
        if name in ("mask_runs", MASKS):
            record[MASKS] = _masks(found, size)
        elif name == "mask":
            _check_size(tuple(value.shape), size)
            record |= _class_mask(value.cpu())
        elif isinstance(value, Tensor) and value.ndim:
            record[name] = to_array(value)
        elif isinstance(value, list) and all(isinstance(text, str) for text in value):
            record[name] = [text.encode() for text in value]
        else:
            raise Unkept(f"{name} is no tensor with rows and no list of text")
    lengths = {name: len(column) for name, column in record.items()}
    if len(set(lengths.values())) > 1:
        raise Unkept(f"the columns of a prediction have different lengths, {lengths}")
    return record


def to_prediction(record: Record, size: tuple[int, int], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return the prediction of a record, as the network gave it, except for its device.

    Args:
        record: The columns.
        size: Width and height of the image in pixels.
        kinds: Kind of each column: ``text``, or the dtype of its tensor.
    """
    width, height = size
    found: dict[str, Any] = {}
    for name, column in record.items():
        if name == MASKS:
            runs = _runs(column, (height, width))
            sizes = torch.tensor(runs.size)
            found |= {"mask_runs": runs.runs, "mask_lengths": runs.lengths, "mask_size": sizes}
        elif name == PIXELS:
            dense = decode_masks(_runs(column, (height, width)))
            classes = torch.from_numpy(np.array(record[CLASSES], dtype=np.uint8))
            found["mask"] = (dense * classes[:, None, None]).sum(dim=0, dtype=torch.uint8)
        elif kinds[name] == "text":
            found[name] = [bytes(text).decode() for text in column]
        elif name != CLASSES:
            found[name] = torch.from_numpy(np.array(column, dtype=kinds[name]))
    return found


def _masks(found: Mapping[str, Any], size: tuple[int, int]) -> list[bytes]:
    try:
        columns = mask_columns(0, found)
    except (ValueError, TypeError, KeyError) as error:
        raise Unkept(str(error)) from None
    for own in np.unique(columns["mask_size"], axis=0).tolist():
        _check_size(tuple(own), size)
    texts: list[bytes] = columns["masks"].tolist()
    return texts


def _class_mask(mask: Tensor) -> Record:
    classes = torch.unique(mask)
    masks = encode_masks(mask[None] == classes[:, None, None])
    return {PIXELS: compress_masks(masks), CLASSES: to_array(classes)}


def _runs(texts: Sequence[bytes] | NDArray[Any], size: tuple[int, int]) -> MaskRuns:
    parts = [decompress_runs(text) for text in texts]
    runs = torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *parts]))
    return MaskRuns(runs, torch.tensor([len(part) for part in parts], dtype=torch.int64), size)


def _check_size(found: tuple[int, ...], size: tuple[int, int]) -> None:
    if found != (size[1], size[0]):
        raise Unkept(f"a mask of {found} is in an image of {size[::-1]}")
