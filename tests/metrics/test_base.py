import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_cv.metrics import COCOAveragePrecision, VOCAveragePrecision
from lit_cv.metrics.base import gather
from tests.helpers.detections import random_predictions, random_targets
from tests.helpers.two_processes import results_of_two

CLASSES = ("a", "b", "c", "d")
IMAGES = 21
# Images of each of two ranks: an odd split, one rank without any image, and a padding sampler that repeats images.
SHARES: list[tuple[list[int], list[int]]] = [
    (list(range(0, IMAGES, 2)), list(range(1, IMAGES, 2))),
    (list(range(IMAGES)), []),
    ([*range(0, IMAGES, 2), 0], [*range(1, IMAGES, 2), 0, 1]),
]


def evaluate(share: list[int]) -> dict[str, Any]:
    targets = random_targets(IMAGES, len(CLASSES), seed=5)
    predictions = random_predictions(targets, len(CLASSES), seed=6)
    results: dict[str, Any] = {}
    for metric in (COCOAveragePrecision(class_names=CLASSES), VOCAveragePrecision(CLASSES)):
        for index in share:
            metric.update([predictions[index]], [targets[index]])
        for name, value in metric.compute().items():
            results[f"{type(metric).__name__}/{name}"] = value.tolist() if isinstance(value, torch.Tensor) else value
    return results


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_give_the_same_digits_as_one(tmp_path: Path) -> None:
    expected = evaluate(list(range(IMAGES)))
    assert 0.1 < expected["COCOAveragePrecision/map"] < 0.9
    assert 0.1 < expected["VOCAveragePrecision/map"] < 0.9
    assert results_of_two(evaluate, SHARES, tmp_path) == [expected] * 2 * len(SHARES)


def test_without_processes_records_are_sorted_and_the_first_of_a_key_is_kept() -> None:
    assert gather([(3, "x"), (1, "y"), (3, "z")], key=lambda record: record[0]) == [(1, "y"), (3, "x")]
    assert gather([], key=hash) == []


def test_the_metric_keeps_copies_survives_pickling_and_moving_and_resets() -> None:
    targets = random_targets(3, len(CLASSES), seed=1)
    predictions = random_predictions(targets, len(CLASSES), seed=2)
    metric = VOCAveragePrecision(CLASSES)
    metric.update(predictions, targets)
    before = metric.compute()["map"]
    assert 0 < before <= 1
    for columns in (*predictions, *targets):
        columns["boxes"].zero_()
    moved = pickle.loads(pickle.dumps(metric)).to("meta")
    moved.update([], [])  # discards the cached result
    assert moved.compute()["map"] == before
    metric.reset()
    assert metric.images == []


def test_a_metric_with_images_can_be_hashed_as_lightnings_clean_up_does() -> None:
    metric = COCOAveragePrecision()
    box = {"boxes": torch.tensor([[0.0, 0, 9, 9]]), "scores": torch.ones(1), "labels": torch.ones(1, dtype=torch.int64)}
    metric.update([box], [{**box, "image_id": torch.tensor(1)}])
    assert metric in set(torch.nn.ModuleList([metric]).modules())
