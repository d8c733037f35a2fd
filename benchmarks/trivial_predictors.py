"""Evaluate predictors that ignore the image, as lower bounds for trained networks, on the validation images.

* VOC segmentation: background everywhere.
* VOC localization: all classes in the order of their frequency, each with its mean box relative to the image. The top-1
  metrics use the most frequent class.
* LSP: the mean pose relative to the crop.

Counts and means are computed on the training images without augmentation, with the project's DataModules and metrics.

    python benchmarks/trivial_predictors.py --root data
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules import LSPPoseDataModule, VOCLocalizationDataModule, VOCSegmentationDataModule
from datamodules.base import DataModule
from lit_cv.contract import Sample
from lit_cv.metrics import PCK, LocalizationAccuracy, PCKh, SegmentationMetrics

RESULTS = Path(__file__).parent / "results"
METRICS = {
    "segmentation": ("miou", "pixel_accuracy"),
    "localization": ("loc_accuracy", "loc_accuracy_top5", "gt_class_error", "class_accuracy", "mean_iou"),
    "pose": ("pck_20", "pckh_50"),
}


def samples(data: DataModule[Any], split: str) -> Iterator[Sample]:
    """Return an iterator over the images and targets of a split, without augmentation."""
    packed = data.splits[split]
    dataset = data.samples(packed, training=False, cached=False)
    return (dataset[0, index] for index in range(len(packed)))


def relative_boxes(data: DataModule[Any]) -> tuple[Tensor, Tensor]:
    """Return boxes of the training set, float32 (N, 4), relative to the image size, and labels, int64 (N,)."""
    found = [(target["boxes"][0] / extent(image), target["labels"][0]) for image, target in samples(data, "train")]
    boxes, labels = zip(*found, strict=True)
    return torch.stack(boxes), torch.stack(labels)


def extent(image: Tensor) -> Tensor:
    """Return (W, H, W, H) of an image (3, H, W), float32 (4,)."""
    return torch.tensor([image.shape[2], image.shape[1]] * 2, dtype=torch.float32)


def background(data: VOCSegmentationDataModule) -> dict[str, float]:
    """Evaluate a mask that is background everywhere."""
    metric = SegmentationMetrics(len(data.class_names) + 1)
    for _, target in samples(data, "val"):
        metric.update([{"mask": torch.zeros_like(target["mask"])}], [target])
    return {name: float(metric.compute()[name]) for name in METRICS["segmentation"]}


def majority_class(data: VOCLocalizationDataModule) -> dict[str, float]:
    """Evaluate the most frequent class with its mean box."""
    boxes, labels = relative_boxes(data)
    classes = len(data.class_names)
    counts = torch.bincount(labels, minlength=classes + 1)[1:]
    sums = torch.zeros(classes, 4).index_add_(0, labels - 1, boxes)
    # A class without training images gets the mean box of all classes.
    means = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], boxes.mean(dim=0))
    order = counts.argsort(descending=True, stable=True)
    metric = LocalizationAccuracy()
    for image, target in samples(data, "val"):
        metric.update([{"boxes": means[order] * extent(image), "labels": order + 1}], [target])
    return metric.compute()


def mean_pose(data: LSPPoseDataModule) -> dict[str, float]:
    """Evaluate the mean pose."""
    joints = torch.cat([target["keypoints"] for _, target in samples(data, "train")]).double()
    labeled = (joints[..., 2:] > 0).double()
    points = (joints[..., :2] * labeled).sum(dim=0) / labeled.sum(dim=0)  # every crop has the same size
    pck, pckh = PCK(), PCKh()
    for _, target in samples(data, "val"):
        wanted = target["keypoints"]
        for metric, size in ((pck, "torso_size"), (pckh, "head_size")):
            metric.update(points[None], wanted[..., :2], wanted[..., 2] > 0, target[size][None])
    shares = pck.compute() | pckh.compute()
    return {name: float(shares[name]) for name in METRICS["pose"]}


def evaluate(root: str, val_fraction: float) -> dict[str, dict[str, Any]]:
    """Evaluate all three predictors on the data sets in a folder."""
    segmentation, localization = VOCSegmentationDataModule(root), VOCLocalizationDataModule(root)
    pose = LSPPoseDataModule(str(Path(root) / "lspet"), val_fraction=val_fraction)
    for data in (segmentation, localization, pose):
        data.prepare_data()
        data.setup()
    runs = {
        "segmentation": (segmentation, "background everywhere", background(segmentation)),
        "localization": (localization, "majority class, its mean box", majority_class(localization)),
        "pose": (pose, "mean pose", mean_pose(pose)),
    }
    return {
        task: {
            "predictor": predictor,
            "images": {split: len(packed) for split, packed in data.splits.items()},
            "fingerprint": data.fingerprint,
            "metrics": {name: metrics[name] for name in METRICS[task]},
        }
        for task, (data, predictor, metrics) in runs.items()
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with VOCdevkit and lspet")
    parser.add_argument("--val-fraction", type=float, default=0.2, help="share of the poses (default %(default)s)")
    arguments = parser.parse_args()
    results = evaluate(arguments.root, arguments.val_fraction)
    for task, row in results.items():
        for name, value in row["metrics"].items():
            print(f"{task:13} {row['predictor']:29} {row['images']['val']:5d} images  {name:18} {value:.4f}")
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "trivial_predictors.json"
    file.write_text(json.dumps(results, indent=2) + "\n")
    print(file)


if __name__ == "__main__":
    main()
