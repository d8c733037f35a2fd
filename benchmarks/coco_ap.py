"""Time COCO box AP on 5,000 images, 80 classes and 100 detections per image against pycocotools.

    python benchmarks/coco_ap.py [--images 5000] [--rounds 3]

Our time runs from tensors to metric values (update and compute). pycocotools starts from prepared dicts, so its time
excludes the conversion. Writes benchmarks/results/coco_ap.json. Exits with 1 when the values differ or the ratio misses
its target.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from lit_cv.metrics import COCOAveragePrecision

CLASSES, DETECTIONS, OBJECTS, BATCH = 80, 100, 8, 16
TARGET_RATIO = 1 / 20
NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100")


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return boxes (count, 4) of widely varying sizes in an image of about 500 pixels."""
    corner = rng.uniform(0, 400, (count, 2))
    return np.concatenate([corner, corner + rng.lognormal(4, 0.8, (count, 2)) + 2], axis=1).astype(np.float32)


def generate(images: int) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """Generate predictions and targets.

    Half of the detections lie near a target and have its class. The others have random places and classes.
    """
    rng = np.random.default_rng(0)
    targets, predictions = [], []
    for image_id in range(images):
        boxes, labels = random_boxes(rng, OBJECTS), rng.integers(1, CLASSES + 1, OBJECTS)
        pick = rng.integers(0, OBJECTS, DETECTIONS // 2)
        near = boxes[pick] + rng.normal(0, 5, (len(pick), 4)).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        kinds = np.concatenate([labels[pick], rng.integers(1, CLASSES + 1, DETECTIONS - len(pick))])
        targets.append(
            {
                "image_id": torch.tensor(image_id + 1),
                "boxes": torch.from_numpy(boxes),
                "labels": torch.from_numpy(labels),
                "area": torch.from_numpy(0.7 * np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)),
                "iscrowd": torch.from_numpy((rng.random(OBJECTS) < 0.02).astype(np.int64)),
            }
        )
        predictions.append(
            {
                "boxes": torch.from_numpy(np.concatenate([near, random_boxes(rng, DETECTIONS - len(pick))])),
                "scores": torch.from_numpy(rng.random(DETECTIONS).astype(np.float32)),
                "labels": torch.from_numpy(kinds),
            }
        )
    return predictions, targets


def as_dicts(rows: list[dict[str, Tensor]], ids: list[int]) -> list[dict[str, Any]]:
    """Convert predictions or targets to the annotations that pycocotools expects."""
    dicts = []
    for image_id, row in zip(ids, rows, strict=True):
        boxes = row["boxes"].double()
        boxes[:, 2:] -= boxes[:, :2]
        columns = {name: row[name].tolist() for name in ("scores", "area", "iscrowd") if name in row}
        for k, (box, label) in enumerate(zip(boxes.tolist(), row["labels"].tolist(), strict=True)):
            extra = {("score" if name == "scores" else name): column[k] for name, column in columns.items()}
            dicts.append({"id": len(dicts) + 1, "image_id": image_id, "category_id": label, "bbox": box, **extra})
    return dicts


def theirs(dataset: dict[str, Any], results: list[dict[str, Any]]) -> tuple[float, dict[str, float]]:
    """Return the seconds and the values of pycocotools."""
    results = [dict(row) for row in results]  # loadRes writes into them
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return time.perf_counter() - start, dict(zip(NAMES, evaluator.stats.tolist(), strict=False))


def ours(predictions: list[dict[str, Tensor]], targets: list[dict[str, Tensor]]) -> tuple[float, dict[str, Any]]:
    """Return the seconds and the values of the metric, updated batch by batch."""
    start = time.perf_counter()
    metric = COCOAveragePrecision(class_names=[str(k) for k in range(CLASSES)])
    for first in range(0, len(targets), BATCH):
        metric.update(predictions[first : first + BATCH], targets[first : first + BATCH])
    result = metric.compute()
    return time.perf_counter() - start, result


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    predictions, targets = generate(options.images)
    ids = [int(target["image_id"]) for target in targets]
    dataset = {
        "images": [{"id": image_id} for image_id in ids],
        "categories": [{"id": label} for label in range(1, CLASSES + 1)],
        "annotations": as_dicts(targets, ids),
    }
    results = as_dicts(predictions, ids)
    seconds: dict[str, list[float]] = {"ours": [], "pycocotools": []}
    for _ in range(options.rounds):
        our_seconds, our_digits = ours(predictions, targets)
        their_seconds, their_digits = theirs(dataset, results)
        seconds["ours"].append(our_seconds)
        seconds["pycocotools"].append(their_seconds)
        print(f"ours {our_seconds:.2f} s, pycocotools {their_seconds:.2f} s", flush=True)
    difference = max(abs(our_digits[name] - value) for name, value in their_digits.items())
    ratio = statistics.median(a / b for a, b in zip(seconds["ours"], seconds["pycocotools"], strict=True))
    record = {
        "images": options.images,
        "classes": CLASSES,
        "detections_per_image": DETECTIONS,
        "seconds": seconds,
        "ratio": ratio,
        "target_ratio": TARGET_RATIO,
        "map": our_digits["map"],
        "largest_difference": difference,
        "cpus": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "versions": {"hotcoco": hotcoco.__version__, "torch": torch.__version__, "numpy": np.__version__},
    }
    path = Path(__file__).parent / "results" / "coco_ap.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"ratio {ratio:.4f} (target {TARGET_RATIO}), largest difference {difference:.1e}: {path}")
    return 0 if ratio <= TARGET_RATIO and difference <= 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
