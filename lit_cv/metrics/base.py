"""Exact evaluation over ranks: what every image found and wanted, kept per image, gathered, and counted once.

A detection metric is not a sum over batches: the evaluation needs all detections of all images in one
place. So each rank keeps the small arrays of its own images, and `compute` gathers them as objects,
drops the images that two ranks have both seen (a padding sampler repeats some) and sorts by
`image_id`. The result is the same number, to the last digit, however the images were dealt out, also
when a rank has none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric

Array = NDArray[Any]
T = TypeVar("T")


class ImageRecord(NamedTuple):
    """What one image wanted and what was found in it.

    Attributes:
        image_id: unique in the data set.
        found: `boxes` (M, 4), `scores` (M,), `labels` (M,), and what the metric keeps besides.
        wanted: `boxes` (N, 4), `labels` (N,), `area` (N,), `iscrowd` (N,), `difficult` (N,), and likewise.
    """

    image_id: int
    found: dict[str, Array]
    wanted: dict[str, Array]


class Evaluation(NamedTuple):
    """All images of an evaluation as columns; `image` (rows,) int64 is the position in `image_ids`.

    Attributes:
        image_ids: (images,) ascending.
        found: `image`, `boxes` (M, 4) float64, `scores` (M,) float64, `labels` (M,) int64.
        wanted: `image`, `boxes` (N, 4) float64, `labels` (N,) int64, `area` (N,) float64, `iscrowd` (N,) bool,
            `difficult` (N,) bool.
        Both have the metric's further columns, with the rows that `shape_columns` made.
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
    """The records of all ranks, one per key, sorted by key.

    A collective call when torch.distributed is initialised: every rank must make it, with any number of
    records (also none), and every rank gets the same list. Of two records with one key, the lower rank's
    (then the earlier) stays.

    Args:
        records: this rank's records; anything that pickles.
        key: what identifies a record over all ranks.
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


class ImageMetric(Metric):
    """The base of metrics that need all detections of all images at once.

    A subclass writes `compute`, which starts from `self.evaluation()`; where boxes are not enough it names `shapes` and
    overrides `shape_columns`. The arrays wait on the CPU
    whatever the device of the predictions. `compute` is a collective call when torch.distributed is
    initialised (see `gather`); torchmetrics' own synchronisation is switched off, since it needs the same number of
    images on every rank.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    images: list[ImageRecord]
    shapes: tuple[str, ...] = ()  # further columns of predictions and targets

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        self.add_state("images", default=[])

    def __hash__(self) -> int:
        # torchmetrics hashes the state's items, which these arrays refuse, and Lightning's clean-up asks for it.
        return id(self)

    def update(self, preds: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Keep the predictions and targets of one batch.

        Args:
            preds: per image `boxes` (M, 4) xyxy in pixels, `scores` (M,), `labels` (M,) int64.
            targets: per image `boxes` (N, 4) xyxy in pixels, `labels` (N,) int64, `image_id` int64 scalar, unique
                in the data set; optional `area` (N,) in square pixels (default: the box's), `iscrowd` (N,)
                and `difficult` (N,) (default: none is).

        Raises:
            ValueError: the batches differ in length, the columns of one image do, or a number is not finite.
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
        """The columns `shapes` of a prediction or a target: arrays of as many rows as it has boxes; none here."""
        return {}

    def evaluation(self) -> Evaluation:
        """Every rank's images as columns, each image once, sorted by `image_id`."""
        records = gather(self.images, key=lambda record: record.image_id)
        return Evaluation(
            [record.image_id for record in records],
            _columns([record.found for record in records], (*_FOUND, *self.shapes)),
            _columns([record.wanted for record in records], (*_WANTED, *self.shapes)),
        )

    def _wrap_compute(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        squeezing = super()._wrap_compute(compute)

        @wraps(compute)
        def wrapped() -> dict[str, float | Tensor]:
            # torchmetrics makes a scalar of a tensor with one element: the only class of a data set
            results = squeezing().items()
            return {name: value.reshape(-1) if isinstance(value, Tensor) else value for name, value in results}

        return wrapped

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> nn.Module:
        # The records are numpy arrays: `.to(device)` is not for them.
        return super()._apply(fn, exclude_state=("images", *exclude_state))


def check_labels(evaluation: Evaluation, num_classes: int) -> None:
    """Raise ValueError when a label, found or wanted, is not in 1..num_classes."""
    for side, columns in (("prediction", evaluation.found), ("target", evaluation.wanted)):
        wrong = np.flatnonzero((columns["labels"] < 1) | (columns["labels"] > num_classes))
        if wrong.size:
            image_id = evaluation.image_ids[columns["image"][wrong[0]]]
            label = columns["labels"][wrong[0]]
            raise ValueError(f"image {image_id}: a {side} has label {label}, but classes are 1..{num_classes}")


def to_array(tensor: Tensor) -> Array:
    """A copy on the CPU: a view would change with its tensor, and keep the whole batch alive."""
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
    """One array per name over all images, and `image`, the position of the image that each row belongs to."""
    counts = [len(row["labels"]) for row in rows]
    columns: dict[str, Array] = {"image": np.repeat(np.arange(len(rows)), counts)}
    for name in names:
        parts = [row[name] for row in rows] or [np.zeros(0)]
        columns[name] = np.concatenate(parts).astype(_COLUMNS[name])
    columns["boxes"] = columns["boxes"].reshape(-1, 4)
    return columns
