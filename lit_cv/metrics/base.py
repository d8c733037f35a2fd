"""Exact evaluation over ranks: predictions and targets are kept per image, gathered, and each image is counted once.

A detection metric is not a sum over batches: the evaluation needs all detections of all images in one
place. Each rank therefore keeps the small arrays of its own images. ``compute`` gathers them as objects,
drops duplicates (a padding sampler gives some images to two ranks) and sorts by ``image_id``. The result is
bit-identical for every distribution of the images over ranks, including ranks without images.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from lit_cv.metrics.host_metric import HostMetric

Array = NDArray[Any]
T = TypeVar("T")


class ImageRecord(NamedTuple):
    """Predictions and targets of one image.

    Attributes:
        image_id: Unique in the data set.
        found: Predictions: ``boxes`` (M, 4), ``scores`` (M,), ``labels`` (M,), and the metric's ``shapes`` columns.
        wanted: Targets: ``boxes`` (N, 4), ``labels`` (N,), ``area`` (N,), ``iscrowd`` (N,), ``difficult`` (N,), and the
            metric's ``shapes`` columns.
    """

    image_id: int
    found: dict[str, Array]
    wanted: dict[str, Array]


class Evaluation(NamedTuple):
    """All images of an evaluation as columns.

    The column ``image``, int64 (rows,), holds the position in ``image_ids``.

    Attributes:
        image_ids: (images,) ascending.
        found: Predictions: ``image``, ``boxes`` (M, 4) float64, ``scores`` (M,) float64, ``labels`` (M,) int64.
        wanted: Targets: ``image``, ``boxes`` (N, 4) float64, ``labels`` (N,) int64, ``area`` (N,) float64,
            ``iscrowd`` (N,) bool, ``difficult`` (N,) bool.
        Both also hold the metric's additional columns, as returned by ``shape_columns``.
    """

    image_ids: list[int]
    found: dict[str, Array]
    wanted: dict[str, Array]


_COLUMNS = {
    "boxes": np.float64,
    "scores": np.float64,
    "labels": np.int64,
    "area": np.float64,
    "iscrowd": np.bool_,
    "difficult": np.bool_,
    "masks": np.object_,
    "mask_size": np.int64,
    "keypoints": np.float64,
}
_FOUND = ("boxes", "scores", "labels")
_WANTED = ("boxes", "labels", "area", "iscrowd", "difficult")


def gather(records: Sequence[T], key: Callable[[T], int]) -> list[T]:
    """Return the records of all ranks, one per key, sorted by key.

    This is a collective call when torch.distributed is initialized: every rank must make it, with any number of
    records (including zero), and every rank gets the same list. If several records share a key, the one of the
    lowest rank is kept, and within a rank the earliest.

    Args:
        records: Picklable records of this rank.
        key: Maps a record to its identifier, which is unique over all ranks.
    """
    ranks: list[Sequence[T]] = [records]
    if dist.is_available() and dist.is_initialized():
        ranks = [[] for _ in range(dist.get_world_size())]
        dist.all_gather_object(ranks, records)
    unique: dict[int, T] = {}
    for rank in ranks:
        for record in rank:
            unique.setdefault(key(record), record)
    return [unique[k] for k in sorted(unique)]


class ImageMetric(HostMetric):
    """Base class of metrics that need all detections of all images at once.

    A subclass implements ``compute``, starting from ``self.evaluation()``. A metric that needs more than boxes sets
    ``shapes`` and overrides ``shape_columns``. The arrays are stored on the CPU for predictions on any device.
    ``compute`` is a collective call when torch.distributed is initialized (see ``gather``), with any number of images
    on every rank.
    """

    HOST_STATES = ("images",)
    higher_is_better = True
    images: list[ImageRecord]
    shapes: tuple[str, ...] = ()  # additional columns of predictions and targets

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", default=[])

    def update(self, preds: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Keep the predictions and targets of one batch.

        Args:
            preds: Per image ``boxes`` (M, 4) xyxy in pixels, ``scores`` (M,), ``labels`` (M,) int64.
            targets: Per image ``boxes`` (N, 4) xyxy in pixels, ``labels`` (N,) int64, ``image_id`` int64 scalar, unique
                in the data set; optional ``area`` (N,) in square pixels (default: the area of the box),
                ``iscrowd`` (N,) and ``difficult`` (N,) (default: all False).

        Raises:
            ValueError: If the batches or the columns of one image differ in length, or a number is not finite.
        """
        if len(preds) != len(targets):
            raise ValueError(f"{len(preds)} predictions for {len(targets)} targets: one of each per image is needed")
        for pred, target in zip(preds, targets, strict=True):
            image_id = int(target["image_id"])
            found = {name: to_array(pred[name]) for name in _FOUND}
            wanted = _with_defaults({name: to_array(target[name]) for name in _WANTED if name in target})
            found |= self.shape_columns(image_id, pred)
            wanted |= self.shape_columns(image_id, target)
            _check(image_id, found)
            _check(image_id, wanted)
            self.images.append(ImageRecord(image_id, found, wanted))

    def shape_columns(self, image_id: int, objects: Mapping[str, Any]) -> dict[str, Array]:
        """Return the columns ``shapes`` of a prediction or a target, one row per box. The base class has none."""
        return {}

    def evaluation(self) -> Evaluation:
        """Return the images of all ranks as columns, each image once, sorted by ``image_id``."""
        records = gather(self.images, key=lambda record: record.image_id)
        return Evaluation(
            [record.image_id for record in records],
            _columns([record.found for record in records], (*_FOUND, *self.shapes)),
            _columns([record.wanted for record in records], (*_WANTED, *self.shapes)),
        )

    def unsqueezed(self, results: dict[str, float | Tensor]) -> dict[str, float | Tensor]:
        """Restore one-element tensors: they belong to a data set with one class."""
        return {name: value.reshape(-1) if isinstance(value, Tensor) else value for name, value in results.items()}


def check_labels(evaluation: Evaluation, num_classes: int) -> None:
    """Raise ValueError if a label of a prediction or target is not in 1..num_classes."""
    for side, columns in (("prediction", evaluation.found), ("target", evaluation.wanted)):
        wrong = np.flatnonzero((columns["labels"] < 1) | (columns["labels"] > num_classes))
        if wrong.size:
            image_id = evaluation.image_ids[columns["image"][wrong[0]]]
            label = columns["labels"][wrong[0]]
            raise ValueError(f"image {image_id}: a {side} has label {label}, but classes are 1..{num_classes}")


def to_array(tensor: Tensor) -> Array:
    """Return a copy on the CPU. A view would change with its tensor and keep the whole batch alive."""
    tensor = tensor.detach().cpu()
    array: Array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array.copy()


def _with_defaults(wanted: dict[str, Array]) -> dict[str, Array]:
    boxes = wanted["boxes"].astype(np.float64).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    nothing = np.zeros(len(boxes), bool)
    return {"area": sides[:, 0] * sides[:, 1], "iscrowd": nothing, "difficult": nothing} | wanted


def _check(image_id: int, columns: Mapping[str, Array]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"image {image_id}: columns of different lengths: {lengths}")
    for name, column in columns.items():
        if column.dtype != np.object_ and not np.isfinite(column).all():
            raise ValueError(f"image {image_id}: {name} are not finite")


def _columns(rows: Sequence[Mapping[str, Array]], names: Iterable[str]) -> dict[str, Array]:
    """Return one array per name over all images, and ``image``, the position of each row's image."""
    counts = [len(row["labels"]) for row in rows]
    columns: dict[str, Array] = {"image": np.repeat(np.arange(len(rows)), counts)}
    for name in names:
        parts = [row[name] for row in rows] or [np.zeros(0)]
        columns[name] = np.concatenate(parts).astype(_COLUMNS[name])
    columns["boxes"] = columns["boxes"].reshape(-1, 4)
    return columns
