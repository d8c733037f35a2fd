"""Overlaps of predictions and targets as pycocotools computes them, for groups of one class and image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lit_cv.metrics.base import Array, Evaluation
from lit_cv.metrics.coco_tables import IouType

Overlaps = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """Predictions and targets, sorted by class and image, predictions then by descending scores.

    Attributes:
        found: (M,), rows of the evaluation's predictions, without those beyond the maximum of a group.
        wanted: (N,), rows of its targets.
        rank: (M,), position of each prediction in its group.
        found_ends: (groups + 1,), where the predictions of each group start.
        wanted_ends: (groups + 1,), where its targets start.
        pairs: (groups + 1,), where its pairs start, of each prediction with each target.
    """

    found: NDArray[np.int64]
    wanted: NDArray[np.int64]
    rank: NDArray[np.int64]
    found_ends: NDArray[np.int64]
    wanted_ends: NDArray[np.int64]
    pairs: NDArray[np.int64]

    @property
    def both(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Prediction and target of each pair, as positions in ``found`` and ``wanted``."""
        sizes = np.diff(self.wanted_ends)
        group = np.repeat(np.arange(len(sizes)), np.diff(self.found_ends))
        count = sizes[group]
        found = np.repeat(np.arange(len(group)), count)
        first = np.cumsum(count) - count
        wanted = np.arange(len(found)) + np.repeat(self.wanted_ends[group] - first, count)
        return found, wanted


def grouped(evaluation: Evaluation, most: int) -> Groups:
    """Group predictions and targets by class and image; ``most`` is the maximum number of predictions of a group."""
    found, wanted = evaluation.found, evaluation.wanted
    by_found = np.lexsort((-found["scores"], found["image"], found["labels"]))
    by_wanted = np.lexsort((wanted["image"], wanted["labels"]))
    images = len(evaluation.image_ids)
    found_key = found["labels"][by_found] * images + found["image"][by_found]
    wanted_key = wanted["labels"][by_wanted] * images + wanted["image"][by_wanted]
    rank = np.arange(len(found_key)) - np.searchsorted(found_key, found_key)
    by_found, found_key, rank = by_found[rank < most], found_key[rank < most], rank[rank < most]
    keys = np.unique(found_key)
    found_ends = np.append(np.searchsorted(found_key, keys), len(found_key))
    # targets without a prediction lie between the groups, which are gaps
    kept = np.isin(wanted_key, keys)
    by_wanted = np.concatenate([by_wanted[kept], by_wanted[~kept]])
    wanted_ends = np.append(np.searchsorted(wanted_key[kept], keys), kept.sum())
    pairs = np.concatenate([[0], np.cumsum(np.diff(found_ends) * np.diff(wanted_ends))])
    return Groups(by_found, by_wanted, rank, found_ends, wanted_ends, pairs)


def overlaps(evaluation: Evaluation, groups: Groups, iou_type: IouType, sigmas: Sequence[float]) -> Overlaps:
    """Return the overlap of each pair, (pairs,): IoU, with a crowd the share of the prediction in it, or OKS."""
    if iou_type == "segm":
        return _of_masks(evaluation, groups)
    found, wanted = groups.both
    first = {name: column[groups.found[found]] for name, column in evaluation.found.items()}
    second = {name: column[groups.wanted[wanted]] for name, column in evaluation.wanted.items()}
    if iou_type == "keypoints":
        return _of_keypoints(first["keypoints"], second, np.array(sigmas))
    return _of_boxes(_xywh(first["boxes"]), _xywh(second["boxes"]), second["iscrowd"])


def found_areas(found: dict[str, Array], iou_type: IouType) -> NDArray[np.float64]:
    """Return the area of each prediction: of its box, its mask, or the box around its joints (``COCO.loadRes``)."""
    if iou_type == "segm":
        return np.array(hotcoco.mask.area(_rle(found)), dtype=np.float64)
    if iou_type == "keypoints":
        points = found["keypoints"].reshape(len(found["labels"]), -1, 3)[..., :2]
        sides = np.ptp(points, axis=1)
        areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
        return areas
    boxes = _xywh(found["boxes"])
    return boxes[:, 2] * boxes[:, 3]


def _of_boxes(first: Overlaps, second: Overlaps, crowds: NDArray[np.bool_]) -> Overlaps:
    sides = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    sides = np.maximum(sides - np.maximum(first[:, :2], second[:, :2]), 0.0)
    common, own = sides[:, 0] * sides[:, 1], first[:, 2] * first[:, 3]
    union = np.where(crowds, own, own + second[:, 2] * second[:, 3] - common)
    ious: Overlaps = np.divide(common, union, out=np.zeros(len(common)), where=common > 0)
    return ious


def _of_masks(evaluation: Evaluation, groups: Groups) -> Overlaps:
    found, wanted = _rle(evaluation.found), _rle(evaluation.wanted)
    crowds = evaluation.wanted["iscrowd"]
    parts = [np.zeros(0)]
    for group in np.flatnonzero(np.diff(groups.pairs)).tolist():
        mine = groups.found[groups.found_ends[group] : groups.found_ends[group + 1]].tolist()
        targets = groups.wanted[groups.wanted_ends[group] : groups.wanted_ends[group + 1]].tolist()
        table = hotcoco.mask.iou(
            [found[row] for row in mine], [wanted[row] for row in targets], [bool(crowds[row]) for row in targets]
        )
        parts.append(np.asarray(table).reshape(-1))
    return np.concatenate(parts)


def _of_keypoints(found: Array, wanted: dict[str, Array], sigmas: Overlaps) -> Overlaps:
    """Return the OKS of pairs (``COCOeval.computeOks``); people without a labeled joint have a box around theirs."""
    joints = len(sigmas)
    found = found.reshape(-1, joints, 3)[..., :2]
    target = wanted["keypoints"].reshape(-1, joints, 3)
    box = _xywh(wanted["boxes"])
    low, high = box[:, None, :2] - box[:, None, 2:], box[:, None, :2] + 2 * box[:, None, 2:]
    labeled: NDArray[np.bool_] = np.asarray(target[..., 2] > 0)
    nobody: NDArray[np.bool_] = np.asarray(~labeled.any(axis=1))
    beyond = np.maximum(0.0, low - found) + np.maximum(0.0, found - high)
    distance = np.where(nobody[:, None, None], beyond, found - target[..., :2])
    error = (distance**2).sum(axis=2) / (2 * sigmas) ** 2 / (wanted["area"][:, None] + np.spacing(1)) / 2
    counted = labeled | nobody[:, None]
    similarity: Overlaps = (np.exp(-error) * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    return similarity


def _rle(columns: dict[str, Array]) -> list[Any]:
    sizes = columns["mask_size"].reshape(-1, 2).tolist()
    return [{"size": size, "counts": counts} for size, counts in zip(sizes, columns["masks"].tolist(), strict=True)]


def _xywh(boxes: Array) -> Array:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
