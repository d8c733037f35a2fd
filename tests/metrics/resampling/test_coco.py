"""AP of resampled images against pycocotools, which evaluates each resample with new ids for the copies of an image."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_cv.metrics import COCOAveragePrecision
from lit_cv.metrics.coco_tables import COCO_SIGMAS, IouType
from lit_cv.metrics.resampling.coco import coco_rankings
from lit_cv.metrics.resampling.resample import multiplicities
from tests.helpers.detections import random_predictions, random_targets
from tests.helpers.real_coco import columns, evaluated, grouped, load
from tests.metrics.test_coco import as_dataset
from tests.metrics.test_coco_instances import mask_case, people_case

Rows = list[dict[str, Any]]


def resampled(dataset: dict[str, Any], results: Rows, weights: np.ndarray) -> tuple[dict[str, Any], Rows]:
    """Return the images as often as they are in a resample, one after the other, under new ids."""
    images, annotations, found = [], [], []
    for image, weight in zip(sorted(dataset["images"], key=lambda image: image["id"]), weights.tolist(), strict=True):
        for _ in range(weight):
            number = len(images) + 1
            images.append({**image, "id": number})
            for rows, own in ((annotations, dataset["annotations"]), (found, results)):
                rows += [{**row, "image_id": number} for row in own if row["image_id"] == image["id"]]
    for number, row in enumerate(annotations, 1):
        row["id"] = number
    return {**dataset, "images": images, "annotations": annotations}, found


def official(evaluator: Any, name: str) -> float:
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    kind, _, rest = name.partition("_")
    if kind == "mar":
        table = recall[:, :, 0, evaluator.params.maxDets.index(int(rest))]
    else:
        labels = evaluator.params.areaRngLbl
        area = labels.index(rest) if rest in labels else 0
        table = precision[{"50": [0], "75": [5]}.get(rest, range(10)), :, :, area, -1]
    return table[table > -1].mean() if (table > -1).any() else np.nan


def as_results(targets: Rows, predictions: Rows) -> Rows:
    return [
        {"image_id": int(target["image_id"]), "category_id": int(label), "score": float(score),
         "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for target, found in zip(targets, predictions, strict=True)
        for (x1, y1, x2, y2), score, label in zip(
            found["boxes"].tolist(), found["scores"].tolist(), found["labels"].tolist(), strict=True
        )
    ]  # fmt: skip


def check(iou_type: IouType, case: tuple[Rows, Rows], dataset: dict[str, Any], results: Rows, classes: int,
          names: list[str], resamples: int) -> None:  # fmt: skip
    metric = COCOAveragePrecision(iou_type, [str(k) for k in range(classes)])
    metric.update(*case)
    evaluation, whole = metric.evaluation(), metric.compute()
    weights = multiplicities(len(evaluation.image_ids), resamples, seed=3)
    every = {name: coco_rankings(evaluation, name, range(1, classes + 1), iou_type, COCO_SIGMAS) for name in names}
    for name, matches in every.items():
        assert matches.values(np.ones_like(weights[:1]))[0] == pytest.approx(whole[name], abs=1e-12)
    evaluators = [evaluated(*resampled(copy.deepcopy(dataset), results, row), iou_type) for row in weights]
    for name, matches in every.items():
        expected = [official(evaluator, name) for evaluator in evaluators]
        np.testing.assert_allclose(matches.values(weights), expected, rtol=0, atol=1e-9, err_msg=name)
        assert np.nanstd(expected) > 1e-3, name


NAMES = ["map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100"]


def test_boxes_with_ties_crowds_and_sizes() -> None:
    """With one decimal, true and false positives of an image have equal scores."""
    targets = random_targets(9, 2, seed=1)
    predictions = random_predictions(targets, 2, seed=6)
    for found in predictions:
        found["scores"] = found["scores"].double().round(decimals=1)
    check("bbox", (predictions, targets), as_dataset(targets, 2), as_results(targets, predictions), 2, NAMES, 50)


def real_case(folder: Path, iou_type: IouType, images: int) -> tuple[tuple[Rows, Rows], dict[str, Any], Rows]:
    """Return predictions and targets, the data set and the predictions in COCO's format."""
    kind = "person_keypoints" if iou_type == "keypoints" else "instances"
    dataset = load(folder / f"coco/annotations/{kind}_val2017.json", images)
    if iou_type == "bbox":
        ids = sorted(category["id"] for category in dataset["categories"])
        targets = sorted((columns(*pair, ids) for pair in grouped(dataset)), key=lambda one: int(one["image_id"]))
        found = random_predictions(targets, len(ids), seed=2)
        return (found, targets), as_dataset(targets, len(ids)), as_results(targets, found)
    case, results = (mask_case if iou_type == "segm" else people_case)(dataset)
    return case, dataset, results


@pytest.mark.parametrize("iou_type", ["bbox", "segm", "keypoints"])
def test_real_images(real_data: Path, iou_type: IouType) -> None:
    case, dataset, results = real_case(real_data, iou_type, images=6)
    names = ["map", "map_75", "map_medium", "mar_20"] if iou_type == "keypoints" else ["map", "map_50", "map_large"]
    check(iou_type, case, dataset, results, len(dataset["categories"]), names, 5)


@pytest.mark.long
@pytest.mark.parametrize("iou_type", ["bbox", "segm", "keypoints"])
def test_all_real_images(real_data: Path, iou_type: IouType) -> None:
    case, dataset, results = real_case(real_data, iou_type, images=10_000)
    names = ["map", "map_50", "map_75", "map_medium", "map_large", "mar_20"] if iou_type == "keypoints" else NAMES
    check(iou_type, case, dataset, results, len(dataset["categories"]), names, 50)
