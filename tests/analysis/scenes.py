"""Random detections beside targets: moved, with wrong classes, doubled, missed, in crowds, and on the background."""

from typing import Any

import numpy as np
import torch

from lit_cv.metrics import COCOAveragePrecision
from lit_cv.metrics.base import Evaluation

Image = tuple[dict[str, Any], dict[str, Any]]


def image(number: int, targets: list[Any], found: list[Any], crowds: tuple[int, ...] = ()) -> Image:
    """Return prediction and target: rows of x1, y1, x2, y2, label, and score."""
    wanted, given = np.array(targets, float).reshape(-1, 5), np.array(found, float).reshape(-1, 6)
    flags = torch.zeros(len(wanted), dtype=torch.int64)
    flags[list(crowds)] = 1
    target = {"boxes": torch.from_numpy(wanted[:, :4]), "labels": torch.from_numpy(wanted[:, 4]).long()}
    prediction = {"boxes": torch.from_numpy(given[:, :4]), "labels": torch.from_numpy(given[:, 4]).long()}
    return (
        prediction | {"scores": torch.from_numpy(given[:, 5])},
        target | {"image_id": torch.tensor(number), "iscrowd": flags},
    )


def evaluation(images: list[Image]) -> Evaluation:
    metric = COCOAveragePrecision()
    for found, target in images:
        metric.update([found], [target])
    return metric.evaluation()


def perturbed(target: dict[str, Any], chance: np.random.Generator, labels: np.ndarray) -> dict[str, Any]:
    """Return detections that follow the targets of an image, with errors of all kinds; no scores are equal."""
    boxes = target["boxes"].numpy().astype(float).reshape(-1, 4).repeat(3, axis=0)
    own = target["labels"].numpy().repeat(3)
    sides = np.concatenate([boxes[:, 2:] - boxes[:, :2]] * 2, axis=1)
    boxes = boxes + chance.normal(0, 1, boxes.shape) * sides * chance.choice([0.02, 0.15, 0.4], (len(boxes), 1))
    boxes = np.concatenate([boxes, chance.uniform(0, 60, (3, 4)) + np.array([0, 0, 60, 60])])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    own = np.concatenate([own, chance.choice(labels, 3)])
    own = np.where(chance.random(len(own)) < 0.25, chance.choice(labels, len(own)), own)
    kept = chance.random(len(own)) < 0.6
    found = {"boxes": boxes[kept], "labels": own[kept], "scores": chance.random(int(kept.sum()))}
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in found.items()}
