"""Average precision of arrays of detections that are already known to be right or wrong."""

from collections.abc import Mapping

import numpy as np

from lit_cv.analysis.detection.matches import Flags, Floats, Integers

RECALLS = np.arange(101) / 100


def interpolated(recall: Floats, precision: Floats) -> Floats:
    """Return the highest precision at recall >= 0, 0.01, ..., 1, float64 (101,), as pycocotools does.

    Args:
        recall: (M,) after each detection in descending order of scores.
        precision: (M,) likewise.
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, RECALLS, side="left")
    return np.concatenate([envelope, [0.0]])[place]


def average_precision(right: Flags, scores: Floats, objects: int, scale: float | None = None) -> float:
    """Return the AP of one class.

    Args:
        right: bool (M,), whether each detection is a true positive.
        scores: float64 (M,); ties keep their order.
        objects: Number of targets.
        scale: Number of targets that the precision is computed for; by default their own. Precision is then that of
            Hoiem, Chodpathumwan and Dai 2012, "Diagnosing Error in Object Detectors", equation 2:
            R N / (R N + F) with recall R, ``scale`` N and false positives F.
    """
    if objects == 0:
        return 0.0
    true = np.cumsum(right[np.argsort(-scores, kind="stable")])
    recall = true / objects
    wrong = np.arange(1, len(true) + 1) - true
    hits = true if scale is None else recall * scale
    return float(interpolated(recall, hits / np.maximum(hits + wrong, np.finfo(np.float64).tiny)).mean())


def mean_average_precision(labels: Integers, right: Flags, scores: Floats, objects: Mapping[int, int]) -> float:
    """Return the mean AP over the classes that have detections or targets; NaN without any.

    A class with detections and without targets counts as 0, as in TIDE's reference implementation. COCO leaves it out.

    Args:
        labels: int64 (M,).
        right: See ``average_precision``.
        scores: See ``average_precision``.
        objects: Number of targets of each class.
    """
    order = np.argsort(labels, kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    own = dict(zip(present.tolist(), np.split(order, first[1:]), strict=True)) if len(order) else {}
    nobody = np.zeros(0, np.int64)
    values = [
        average_precision(right[own.get(label, nobody)], scores[own.get(label, nobody)], objects.get(label, 0))
        for label in sorted({*own, *(label for label, count in objects.items() if count)})
    ]
    return float(np.mean(values)) if values else float("nan")
