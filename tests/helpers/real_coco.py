"""Annotations of the real subset as targets, and made-up detections around them, also in the format of pycocotools."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as official_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Rows = list[dict[str, Any]]
Masks = NDArray[np.uint8]


def load(file: Path, images: int) -> dict[str, Any]:
    """Return the images with crowds and the first of the others, with their annotations."""
    dataset = json.loads(file.read_text())
    crowded = {row["image_id"] for row in dataset["annotations"] if row["iscrowd"]}
    order = sorted(dataset["images"], key=lambda image: image["id"] not in crowded)[:images]
    kept = {image["id"] for image in order}
    assert crowded & kept
    return {**dataset, "images": order, "annotations": [a for a in dataset["annotations"] if a["image_id"] in kept]}


def grouped(dataset: dict[str, Any]) -> list[tuple[dict[str, Any], Rows]]:
    rows: dict[int, Rows] = {image["id"]: [] for image in dataset["images"]}
    for row in dataset["annotations"]:
        rows[row["image_id"]].append(row)
    return [(image, rows[image["id"]]) for image in dataset["images"]]


def columns(image: dict[str, Any], rows: Rows, category_ids: list[int]) -> dict[str, Any]:
    boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return {
        "image_id": torch.tensor(image["id"]),
        "boxes": boxes.float(),
        "labels": torch.tensor([1 + category_ids.index(row["category_id"]) for row in rows], dtype=torch.int64),
        "area": torch.tensor([row["area"] for row in rows], dtype=torch.float32),
        "iscrowd": torch.tensor([row["iscrowd"] for row in rows], dtype=torch.int64),
    }


def dense(image: dict[str, Any], rows: Rows) -> Masks:
    """Return the annotated masks (N, H, W), decoded by pycocotools."""
    height, width = image["height"], image["width"]
    masks = np.zeros((len(rows), height, width), np.uint8)
    for mask, row in zip(masks, rows, strict=True):
        shape = row["segmentation"]
        parts = official_masks.frPyObjects(shape if isinstance(shape, list) else [shape], height, width)
        mask[:] = official_masks.decode([official_masks.merge(parts)])[..., 0]
    return masks


def moved(masks: Masks, rng: np.random.Generator) -> Masks:
    """Return each mask shifted by a few pixels and grown or shrunk, and random ellipses, some of them in crowds."""
    found = []
    for mask in masks:
        dx, dy = rng.normal(0, 3, 2)
        shifted = cv2.warpAffine(mask, np.array([[1, 0, dx], [0, 1, dy]]), mask.shape[::-1], flags=cv2.INTER_NEAREST)
        kernel = np.ones((int(rng.integers(1, 6)),) * 2, np.uint8)
        found.append((cv2.erode if rng.random() < 0.5 else cv2.dilate)(shifted, kernel))
        inside = np.argwhere(mask)
        if len(inside):
            y, x = inside[rng.integers(len(inside))].tolist()
            axes = rng.integers(2, 40, 2).tolist()
            found.append(cv2.ellipse(np.zeros_like(mask), (x, y), axes, 30, 0, 360, 1, cv2.FILLED))
    return np.stack(found) if found else masks


def evaluated(dataset: dict[str, Any], results: Rows, iou_type: str, sigmas: Any = None) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes([dict(row) for row in results]), iou_type)
        if sigmas is not None:
            evaluator.params.kpt_oks_sigmas = np.array(sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator
