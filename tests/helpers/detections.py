"""Random targets and detections: correct, missing, duplicate, of a wrong class, with equal scores, in crowds."""

import numpy as np
import torch
from torch import Tensor

Targets = list[dict[str, Tensor]]


def random_targets(images: int, classes: int, seed: int, most: int = 12) -> Targets:
    rng = np.random.default_rng(seed)
    targets = []
    for image_id in range(images):
        n = int(rng.integers(0, most))
        corner = rng.integers(0, 400, (n, 2))
        boxes = np.concatenate([corner, corner + rng.integers(4, 220, (n, 2))], axis=1)
        targets.append(
            {
                "image_id": torch.tensor(image_id * 7 + 3),
                "boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
                "labels": torch.tensor(rng.integers(1, classes + 1, n)),
                "area": torch.tensor(rng.uniform(0.4, 1, n) * np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)),
                "iscrowd": torch.tensor((rng.random(n) < 0.1).astype(np.int64)),
                "difficult": torch.tensor(rng.random(n) < 0.2),
            }
        )
    return targets


def random_predictions(
    targets: list[dict[str, Tensor]], classes: int, seed: int, extra: int = 8
) -> list[dict[str, Tensor]]:
    rng = np.random.default_rng(seed)
    predictions = []
    for target in targets:
        boxes, labels = target["boxes"].double().numpy(), target["labels"].numpy()
        pick = rng.integers(0, len(boxes), 2 * len(boxes)) if len(boxes) else np.zeros(0, np.int64)
        near = boxes[pick] + rng.normal(0, 8, (len(pick), 4)).round()
        far = rng.integers(0, 300, (int(rng.integers(0, extra)), 4)).astype(float)
        found = np.concatenate([near, far])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        kinds = np.concatenate([labels[pick], rng.integers(1, classes + 1, len(far))])
        kinds = np.where(rng.random(len(kinds)) < 0.1, rng.integers(1, classes + 1, len(kinds)), kinds)
        predictions.append(
            {
                "boxes": torch.tensor(found),
                "scores": torch.tensor(np.sort(rng.random(len(found)).round(2))[::-1].copy()),
                "labels": torch.tensor(kinds),
            }
        )
    return predictions
