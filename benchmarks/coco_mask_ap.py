"""Time COCO mask AP on 1,000 images against torchmetrics' MeanAveragePrecision.

    python benchmarks/coco_mask_ap.py [--images 1000] [--peer-images 200] [--detections 100] [--rounds 3]

Both times run from tensors to metric values (update and compute). Ours takes masks as runs, the output format of the
project's networks. The time to compress the same masks from dense ones is measured separately. torchmetrics takes dense
masks. They are made batch by batch outside its measured time, which takes most of the benchmark. The ratio is therefore
computed on the first ``--peer-images`` images. Ours is also timed on all images.

Writes benchmarks/results/coco_mask_ap.json. Exits with 1 when the values differ or the ratio misses its target.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import cv2
import hotcoco
import numpy as np
import torch
import torchmetrics
from timing import write
from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision

from lit_cv.bench.cost import device_name
from lit_cv.metrics import COCOAveragePrecision
from lit_cv.metrics.instance_columns import mask_columns
from lit_cv.ops.mask_runs import MaskRuns, decode_masks

HEIGHT, WIDTH, CLASSES, OBJECTS, BATCH = 480, 640, 80, 8, 8
TARGET_RATIO = 1 / 20
NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100")
Batch = tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]


def blob(rng: np.random.Generator, center: np.ndarray, radius: float) -> np.ndarray:
    """Return the runs of a mask with an outline as irregular as that of a segmented object."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    waves = sum(rng.normal(0, 0.12 / k) * np.sin(k * angles + rng.uniform(0, 6)) for k in range(1, 12))
    reach = radius * (1 + waves)
    points = center + np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None]
    columns = np.zeros((WIDTH, HEIGHT), np.uint8)  # transposed: COCO's runs are column-major
    cv2.fillPoly(columns, [np.round(points[:, ::-1]).astype(np.int32)], 1)
    pixels = columns.reshape(-1)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    start = [0, 0] if pixels[0] else [0]
    return np.diff(np.array([*start, *changes.tolist(), pixels.size]))


def masks_of(rng: np.random.Generator, centers: np.ndarray, radii: np.ndarray) -> dict[str, Tensor]:
    """Return predictions or targets of an image with blobs as masks."""
    blobs = [blob(rng, center, radius) for center, radius in zip(centers, radii, strict=True)]
    boxes = np.concatenate([centers - radii[:, None], centers + radii[:, None]], axis=1)
    return {
        "mask_runs": torch.from_numpy(np.concatenate(blobs)),
        "mask_lengths": torch.tensor([len(runs) for runs in blobs]),
        "mask_size": torch.tensor([HEIGHT, WIDTH]),
        "area": torch.tensor([float(runs[1::2].sum()) for runs in blobs]),
        "boxes": torch.from_numpy(boxes.astype(np.float32)),
    }


def generate(images: int, detections: int) -> Batch:
    """Generate predictions and targets.

    Half of the detections lie near a target and have its class. The others have random places and classes.
    """
    rng = np.random.default_rng(0)
    predictions, targets = [], []
    for image_id in range(images):
        centers, radii = rng.uniform((0, 0), (WIDTH, HEIGHT), (OBJECTS, 2)), rng.lognormal(3.7, 0.7, OBJECTS)
        labels = rng.integers(1, CLASSES + 1, OBJECTS)
        pick = rng.integers(0, OBJECTS, detections // 2)
        other = detections - len(pick)
        places = np.concatenate([centers[pick] + rng.normal(0, 3, (len(pick), 2)), rng.uniform(0, 480, (other, 2))])
        sizes = np.concatenate([radii[pick] * rng.lognormal(0, 0.1, len(pick)), rng.lognormal(3.7, 0.7, other)])
        target = masks_of(rng, centers, radii)
        target |= {"image_id": torch.tensor(image_id), "labels": torch.from_numpy(labels)}
        target |= {"iscrowd": torch.from_numpy((rng.random(OBJECTS) < 0.02).astype(np.int64))}
        targets.append(target)
        kinds = np.concatenate([labels[pick], rng.integers(1, CLASSES + 1, other)])
        scores = torch.from_numpy(rng.random(detections).astype(np.float32))
        predictions.append(masks_of(rng, places, sizes) | {"scores": scores, "labels": torch.from_numpy(kinds)})
    return predictions, targets


def runs_of(row: dict[str, Tensor]) -> MaskRuns:
    """Return the masks of a row."""
    height, width = row["mask_size"].tolist()
    return MaskRuns(row["mask_runs"], row["mask_lengths"], (height, width))


def with_dense(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a row with dense masks instead of runs."""
    columns = {name: column for name, column in row.items() if not name.startswith("mask_")}
    return columns | {"masks": decode_masks(runs_of(row)).bool()}


def batches(rows: Batch) -> Iterator[Batch]:
    """Yield predictions and targets batch by batch."""
    for first in range(0, len(rows[0]), BATCH):
        yield rows[0][first : first + BATCH], rows[1][first : first + BATCH]


def ours(rows: Batch) -> tuple[float, dict[str, Any]]:
    """Return the seconds and the values of the metric, updated batch by batch."""
    start = time.perf_counter()
    metric = COCOAveragePrecision("segm", class_names=[str(k) for k in range(CLASSES)])
    for predictions, targets in batches(rows):
        metric.update(predictions, targets)
    result = metric.compute()
    return time.perf_counter() - start, result


def theirs(rows: Batch) -> tuple[float, float, dict[str, Any]]:
    """Return torchmetrics' seconds, our seconds for compressing the dense masks, and torchmetrics' values.

    Its default thresholds are the official ones rounded to float32, which changes its values by 1e-4. The exact
    thresholds are passed instead.
    """
    grid = {"iou_thresholds": np.linspace(0.5, 0.95, 10).tolist(), "rec_thresholds": np.linspace(0, 1, 101).tolist()}
    metric, seconds, compression = MeanAveragePrecision(iou_type="segm", **grid), 0.0, 0.0
    for batch in batches(rows):
        dense = [[with_dense(row) for row in side] for side in batch]
        start = time.perf_counter()
        for side in dense:
            for row in side:
                mask_columns(0, row)
        compression += time.perf_counter() - start
        start = time.perf_counter()
        metric.update(*dense)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    result = metric.compute()
    return seconds + time.perf_counter() - start, compression, result


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--peer-images", type=int, default=200)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = generate(options.images, options.detections)
    few = rows[0][: options.peer_images], rows[1][: options.peer_images]
    ours((rows[0][:1], rows[1][:1]))  # compile before timing
    names = ("ours", "torchmetrics", "our_compression_of_dense_masks", "ours_all_images")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    difference = 0.0
    for _ in range(options.rounds):
        our_seconds, our_digits = ours(few)
        their_seconds, compression, their_digits = theirs(few)
        for name, value in zip(seconds, (our_seconds, their_seconds, compression, ours(rows)[0]), strict=True):
            seconds[name].append(value)
        difference = max(abs(our_digits[name] - float(their_digits[name])) for name in NAMES)
        print(f"ours {our_seconds:.2f} s, torchmetrics {their_seconds:.2f} s", flush=True)
    pairs = list(zip(*seconds.values(), strict=True))
    ratio = statistics.median(mine / theirs for mine, theirs, _, _ in pairs)
    record = {
        "images": options.images,
        "peer_images": options.peer_images,
        "detections_per_image": options.detections,
        "objects_per_image": OBJECTS,
        "mask_size": [HEIGHT, WIDTH],
        "seconds": seconds,
        "ratio": ratio,
        "ratio_from_dense_masks": statistics.median((mine + dense) / theirs for mine, theirs, dense, _ in pairs),
        "target_ratio": TARGET_RATIO,
        "map": our_digits["map"],
        "largest_difference": difference,
        "hardware": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": {"hotcoco": hotcoco.__version__, "torchmetrics": torchmetrics.__version__},
    }
    write("coco_mask_ap", record)
    print(f"ratio {ratio:.4f} (target {TARGET_RATIO}), largest difference {difference:.1e}")
    # torchmetrics returns its values as float32
    return 0 if ratio <= TARGET_RATIO and difference <= 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
