import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from lit_cv.metrics import COCOAveragePrecision
from tests.helpers.detections import random_predictions, random_targets

NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100")


def official(dataset: dict[str, Any], predictions: dict[int, dict[str, Tensor]]) -> tuple[dict[str, float], np.ndarray]:
    """Return the results of pycocotools and its precision table for per-class values."""
    results = [
        {"image_id": image_id, "category_id": int(label), "score": float(score), "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for image_id, found in predictions.items()
        for (x1, y1, x2, y2), score, label in zip(
            found["boxes"].tolist(), found["scores"].tolist(), found["labels"].tolist(), strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(NAMES, evaluator.stats, strict=False)), evaluator.eval["precision"]


def as_dataset(targets: list[dict[str, Tensor]], classes: int) -> dict[str, Any]:
    annotations = []
    for target in targets:
        columns = (target[name].tolist() for name in ("boxes", "labels", "area", "iscrowd"))
        for (x1, y1, x2, y2), label, area, crowd in zip(*columns, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": int(target["image_id"]),
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": area,
                    "iscrowd": crowd,
                }
            )
    return {
        "images": [{"id": int(target["image_id"])} for target in targets],
        "categories": [{"id": label} for label in range(1, classes + 1)],
        "annotations": annotations,
    }


def check_equal(ours: dict[str, Any], theirs: dict[str, float], precision: np.ndarray) -> None:
    assert {name: ours[name] for name in NAMES} == pytest.approx(theirs, abs=1e-9)
    for name, table in (("map_per_class", precision[..., 0, -1]), ("map_50_per_class", precision[:1, ..., 0, -1])):
        expected = [table[:, :, k][table[:, :, k] > -1] for k in range(table.shape[2])]
        assert ours[name].tolist() == pytest.approx([e.mean() if e.size else -1.0 for e in expected], abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_pycocotools_on_generated_data(seed: int) -> None:
    targets = random_targets(60, 5, seed)
    predictions = random_predictions(targets, 5, seed + 10)
    metric = COCOAveragePrecision(class_names=[str(k) for k in range(5)])
    for start in range(0, 60, 7):
        metric.update(predictions[start : start + 7], targets[start : start + 7])
    found = {int(target["image_id"]): pred for target, pred in zip(targets, predictions, strict=True)}
    theirs, precision = official(as_dataset(targets, 5), found)
    assert 0.1 < theirs["map"] < 0.9
    check_equal(metric.compute(), theirs, precision)


def test_equals_pycocotools_on_real_annotations(real_data: Path) -> None:
    dataset = json.loads((real_data / "coco/annotations/instances_val2017.json").read_text())
    category_ids = sorted(category["id"] for category in dataset["categories"])
    rows: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in dataset["images"]}
    for row in dataset["annotations"]:
        rows[row["image_id"]].append(row)
    assert any(row["iscrowd"] for row in dataset["annotations"])
    targets = []
    for image_id, mine in rows.items():
        boxes = torch.tensor([row["bbox"] for row in mine], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = [1 + category_ids.index(row["category_id"]) for row in mine]
        targets.append(
            {
                "image_id": torch.tensor(image_id),
                "boxes": boxes,
                "labels": torch.tensor(labels, dtype=torch.int64),
                "area": torch.tensor([row["area"] for row in mine], dtype=torch.float64),
                "iscrowd": torch.tensor([row["iscrowd"] for row in mine], dtype=torch.int64),
            }
        )
    predictions = random_predictions(targets, 80, seed=0, extra=90)
    metric = COCOAveragePrecision(class_names=[category["name"] for category in dataset["categories"]])
    metric.update(predictions, targets)
    found = {
        image_id: {**pred, "labels": torch.tensor(category_ids)[pred["labels"] - 1]}
        for image_id, pred in zip(rows, predictions, strict=True)
    }
    assert max(len(pred["labels"]) for pred in predictions) > 100
    theirs, precision = official(dataset, found)
    check_equal(metric.compute(), theirs, precision)


def one_image(**found: Any) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    predictions = {
        "boxes": torch.tensor(found.get("boxes", []), dtype=torch.float32).reshape(-1, 4),
        "scores": torch.tensor(found.get("scores", []), dtype=torch.float32),
        "labels": torch.tensor(found.get("labels", []), dtype=torch.int64),
    }
    targets = {
        "image_id": torch.tensor(4),
        "boxes": torch.tensor([[0.0, 0, 40, 40]]),
        "labels": torch.tensor([2]),
    }
    return [predictions], [targets]


def test_one_perfect_box_is_one_and_absent_classes_and_sizes_are_minus_one() -> None:
    metric = COCOAveragePrecision(class_names=("cat", "dog"))
    metric.update(*one_image(boxes=[[0, 0, 40, 40]], scores=[0.5], labels=[2]))
    result = metric.compute()
    assert [result[name] for name in ("map", "map_medium", "mar_1")] == pytest.approx([1.0] * 3)
    assert result["map_small"] == result["map_large"] == -1.0
    assert result["map_per_class"].tolist() == pytest.approx([-1.0, 1.0])
    assert result["map_50_per_class"].tolist() == pytest.approx([-1.0, 1.0])


def test_no_prediction_is_zero_no_target_is_minus_one_and_reset_clears_the_state() -> None:
    metric = COCOAveragePrecision()
    preds, targets = one_image()
    metric.update(preds, targets)
    assert metric.compute()["map"] == 0.0
    metric.reset()
    targets[0] |= {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    metric.update(one_image(boxes=[[0, 0, 9, 9]], scores=[1.0], labels=[2])[0], targets)
    assert set(metric.compute().values()) == {-1.0}
    metric.reset()
    metric.update([], [])
    assert set(metric.compute().values()) == {-1.0}


def test_invalid_input_is_reported() -> None:
    metric = COCOAveragePrecision(class_names=("cat", "dog"))
    with pytest.raises(ValueError, match="1 predictions for 0 targets"):
        metric.update(one_image()[0], [])
    with pytest.raises(ValueError, match="image 4: columns of different lengths"):
        metric.update(*one_image(boxes=[[0, 0, 9, 9]]))
    with pytest.raises(ValueError, match="image 4: boxes are not finite"):
        metric.update(*one_image(boxes=[[0, 0, float("nan"), 9]], scores=[1.0], labels=[2]))
    metric.update(*one_image(boxes=[[0, 0, 9, 9]], scores=[1.0], labels=[3]))
    with pytest.raises(ValueError, match=r"image 4: a prediction has label 3, but classes are 1\.\.2"):
        metric.compute()
    with pytest.raises(ValueError, match="iou_type"):
        COCOAveragePrecision(iou_type="boxes")  # type: ignore[arg-type]
