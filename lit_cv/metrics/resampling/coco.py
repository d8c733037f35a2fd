"""COCO's AP and AR of resampled images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_cv.metrics.base import Array, Evaluation
from lit_cv.metrics.coco_tables import IouType
from lit_cv.metrics.resampling.coco_matching import match_groups
from lit_cv.metrics.resampling.coco_overlaps import Groups, found_areas, grouped, overlaps
from lit_cv.metrics.resampling.ranked import Ranking, Rankings, at_recalls

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # as pycocotools has them
RECALLS = np.linspace(0.0, 1.0, 101)
SIZES = {
    "": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}  # of areas in square pixels, both ends included
MOST, MOST_PEOPLE = 100, 20  # detections of a class and an image


def coco_rankings(
    evaluation: Evaluation, name: str, labels: Sequence[int], iou_type: IouType, sigmas: Sequence[float] = ()
) -> Rankings:
    """Match predictions to targets as pycocotools does (``COCOeval.evaluateImg``), for one number.

    Args:
        evaluation: All images.
        name: Number of ``COCOAveragePrecision.compute``: ``map``, ``map_50``, ``map_75``, ``map_<size>`` or
            ``mar_<most>``.
        labels: Classes of the mean.
        iou_type: Compared shapes.
        sigmas: Spreads of the joints, for keypoints.
    """
    kind, _, rest = name.partition("_")
    thresholds = {"50": THRESHOLDS[:1], "75": THRESHOLDS[5:6]}.get(rest, THRESHOLDS)
    low, high = SIZES[rest if rest in SIZES else ""]
    most = MOST_PEOPLE if iou_type == "keypoints" else MOST
    groups = grouped(evaluation, most)
    ignored = _ignored(evaluation.wanted, iou_type, len(sigmas))[groups.wanted]
    area = evaluation.wanted["area"][groups.wanted]
    ignored |= (area < low) | (area > high)
    areas = found_areas(evaluation.found, iou_type)[groups.found]
    outside = (areas < low) | (areas > high)
    crowds = evaluation.wanted["iscrowd"][groups.wanted]
    ious = overlaps(evaluation, groups, iou_type, sigmas)
    # 1 for a true positive, 0 for a false one, -1 for one that does not count
    states = match_groups(ious, groups.pairs, groups.found_ends, groups.wanted_ends, ignored, crowds, outside,
                          np.minimum(thresholds, 1 - 1e-10))  # fmt: skip
    if kind == "mar":
        states[:, groups.rank >= int(rest)] = -1
    return _rankings(evaluation, groups, states, ignored, labels, recall=kind == "mar")


def _ignored(wanted: dict[str, Array], iou_type: IouType, joints: int) -> NDArray[np.bool_]:
    ignored: NDArray[np.bool_] = wanted["iscrowd"].copy()
    if iou_type == "keypoints":
        labeled = (wanted["keypoints"].reshape(-1, joints, 3)[..., 2] > 0).sum(axis=1)
        ignored |= labeled == 0
    return ignored


def _rankings(
    evaluation: Evaluation, groups: Groups, states: NDArray[np.int8], ignored: NDArray[np.bool_],
    labels: Sequence[int], *, recall: bool,
) -> Rankings:  # fmt: skip
    found, wanted = evaluation.found, evaluation.wanted
    scores, images = found["scores"][groups.found], found["image"][groups.found]
    found_labels, wanted_labels = found["labels"][groups.found], wanted["labels"][groups.wanted]
    count = len(evaluation.image_ids)
    rankings, positives = [], []
    for number, label in enumerate(labels):
        there = (wanted_labels == label) & ~ignored
        positives.append(np.bincount(wanted["image"][groups.wanted][there], minlength=count))
        if not there.any():
            continue
        mine = np.flatnonzero(found_labels == label)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        for state in states[:, mine]:
            kept: Any = mine[state >= 0]
            rankings.append(Ranking.of(images[kept], state[state >= 0] == 1, scores[kept], number))
    table = np.array(positives, dtype=np.int64).reshape(len(labels), count)
    return Rankings(rankings, table, "recall" if recall else at_recalls(RECALLS))
