import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_cv.metrics import VOCAveragePrecision
from tests.helpers.detections import random_predictions, random_targets

ONE_BASED = np.array([1, 1, 0, 0])
A, B, C, FAR = [0.0, 0, 10, 10], [20.0, 20, 40, 40], [50.0, 50, 60, 60], [80.0, 80, 90, 90]


def devkit(
    predictions: list[dict[str, Tensor]], targets: list[dict[str, Tensor]], label: int, threshold: float, points: str
) -> float:
    """Compute AP as in VOCevaldet.m, line by line, in its own 1-based inclusive coordinates."""
    order = sorted(range(len(targets)), key=lambda i: int(targets[i]["image_id"]))
    truth, positives, detections = {}, 0, []
    for i in order:
        mine = targets[i]["labels"] == label
        boxes = targets[i]["boxes"][mine].double().numpy() + ONE_BASED
        difficult = targets[i]["difficult"][mine].tolist()
        truth[i] = {"boxes": boxes, "difficult": difficult, "taken": [False] * len(boxes)}
        positives += difficult.count(False)
        mine = predictions[i]["labels"] == label
        for box, score in zip(
            predictions[i]["boxes"][mine].double().numpy() + ONE_BASED,
            predictions[i]["scores"][mine].tolist(),
            strict=True,
        ):
            detections.append((score, i, box))
    detections.sort(key=lambda d: -d[0])
    true, false = np.zeros(len(detections)), np.zeros(len(detections))
    for d, (_, i, box) in enumerate(detections):
        best, where = -math.inf, -1
        for j, other in enumerate(truth[i]["boxes"]):
            width = min(box[2], other[2]) - max(box[0], other[0]) + 1
            height = min(box[3], other[3]) - max(box[1], other[1]) + 1
            if width > 0 and height > 0:
                union = (
                    (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
                    + (other[2] - other[0] + 1) * (other[3] - other[1] + 1)
                    - width * height
                )
                if width * height / union > best:
                    best, where = width * height / union, j
        if best >= threshold:
            if not truth[i]["difficult"][where]:
                if not truth[i]["taken"][where]:
                    true[d] = 1
                    truth[i]["taken"][where] = True
                else:
                    false[d] = 1
        else:
            false[d] = 1
    if positives == 0:
        return math.nan
    false, true = np.cumsum(false), np.cumsum(true)
    recall = true / positives
    precision = true / np.maximum(false + true, 1e-300)
    if points == "11point":
        best_at = [precision[recall >= k / 10].max(initial=0) for k in range(11)]
        return sum(best_at) / 11
    recall = np.concatenate([[0], recall, [1]])
    precision = np.concatenate([[0], precision, [0]])
    for k in range(len(precision) - 2, -1, -1):
        precision[k] = max(precision[k], precision[k + 1])
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(np.sum((recall[steps] - recall[steps - 1]) * precision[steps]))


@pytest.mark.parametrize("interpolation", ["area", "11point"])
@pytest.mark.parametrize(("seed", "threshold"), [(0, 0.5), (1, 0.5), (2, 0.7)])
def test_equals_the_devkit_on_random_data(
    seed: int, threshold: float, interpolation: Literal["area", "11point"]
) -> None:
    classes = 6
    targets = random_targets(50, classes - 1, seed)  # the last class has no target
    predictions = random_predictions(targets, classes, seed + 20)
    metric = VOCAveragePrecision([str(k) for k in range(classes)], threshold, interpolation)
    for start in reversed(range(0, 50, 9)):
        metric.update(predictions[start : start + 9], targets[start : start + 9])
    result = metric.compute()
    expected = [devkit(predictions, targets, k + 1, threshold, interpolation) for k in range(classes)]
    assert math.isnan(expected[-1])
    assert 0.1 < np.nanmean(expected) < 0.9
    assert result["map_per_class"].tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert result["map"] == pytest.approx(np.nanmean(expected), abs=1e-12)


def image(image_id: int, boxes: list[list[float]], labels: list[int], difficult: list[bool]) -> dict[str, Tensor]:
    return {
        "image_id": torch.tensor(image_id),
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "difficult": torch.tensor(difficult, dtype=torch.bool),
    }


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


@pytest.mark.parametrize(("interpolation", "expected"), [("area", 5 / 8), ("11point", (3 * 1 + 5 * 3 / 4) / 11)])
def test_worked_by_hand(interpolation: Literal["area", "11point"], expected: float) -> None:
    """Five detections, four positives: true, false (second on A), ignored (difficult), true, true; one B is missed.

    Precision 1, 1/2, 2/3, 3/4 at recall 1/4, 1/4, 2/4, 3/4; made monotone from the right 1, 3/4, 3/4, 3/4.
    """
    targets = [image(0, [A, B, C], [1, 1, 1], [False, False, True]), image(1, [A, B], [1, 1], [False, False])]
    predictions = [
        found([A, A, C, B], [0.9, 0.8, 0.7, 0.6], [1, 1, 1, 1]),
        found([A], [0.5], [1]),
    ]
    metric = VOCAveragePrecision(["cat"], interpolation=interpolation)
    metric.update(predictions, targets)
    assert metric.compute()["map"] == pytest.approx(expected, abs=1e-12)


def test_a_detection_on_a_difficult_target_is_ignored_and_a_class_with_only_such_targets_is_nan() -> None:
    metric = VOCAveragePrecision(["cat", "dog"])
    metric.update([found([A, B, B], [0.9, 0.8, 0.7], [1, 1, 2])], [image(0, [A, B, B], [1, 1, 2], [True, False, True])])
    result = metric.compute()
    assert result["map"] == 1.0
    assert result["map_per_class"].tolist() == pytest.approx([1.0, math.nan], nan_ok=True)


def test_the_target_with_the_highest_overlap_is_judged_even_when_it_is_taken() -> None:
    """Both detections overlap A most, though the second also overlaps its neighbor by more than the threshold."""
    near = [0.0, 2, 10, 12]
    metric = VOCAveragePrecision(["cat"])
    metric.update([found([A, [0, 0.5, 10, 10.5]], [0.9, 0.8], [1, 1])], [image(0, [A, near], [1, 1], [False, False])])
    assert metric.compute()["map"] == pytest.approx(0.5)


def test_an_overlap_of_exactly_the_threshold_is_enough() -> None:
    metric = VOCAveragePrecision(["cat"], iou_threshold=0.5)
    metric.update([found([[0, 0, 10, 5]], [0.9], [1])], [image(0, [A], [1], [False])])
    assert metric.compute()["map"] == 1.0


def test_equal_scores_are_taken_in_the_order_of_image_and_prediction() -> None:
    metric = VOCAveragePrecision(["cat"])
    metric.update([found([A], [0.5], [1])], [image(1, [A], [1], [False])])
    metric.update([found([FAR], [0.5], [1])], [image(0, [], [], [])])
    assert metric.compute()["map"] == 0.5


def test_a_recall_of_exactly_three_tenths_reaches_the_third_point() -> None:
    boxes = [[20.0 * k, 0, 20 * k + 10, 10] for k in range(10)]
    metric = VOCAveragePrecision(["cat"], interpolation="11point")
    metric.update([found(boxes[:3], [0.9, 0.8, 0.7], [1] * 3)], [image(0, boxes, [1] * 10, [False] * 10)])
    assert metric.compute()["map"] == pytest.approx(4 / 11)


def test_no_detections_give_zero_and_no_targets_give_nan() -> None:
    metric = VOCAveragePrecision(["cat", "dog"])
    metric.update([found([], [], [])], [image(0, [A], [1], [False])])
    assert metric.compute()["map"] == 0.0
    metric.reset()
    metric.update([found([A], [0.9], [1])], [image(0, [], [], [])])
    assert math.isnan(metric.compute()["map"])
    with pytest.raises(ValueError, match="interpolation"):
        VOCAveragePrecision(["cat"], interpolation="101")  # type: ignore[arg-type]
