"""Precision and recall tables of the official evaluation (pycocotools' ``COCOeval``), computed by hotcoco."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import hotcoco
import numpy as np

from lit_cv.metrics.base import Array, Evaluation

IouType = Literal["bbox", "segm", "keypoints"]

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035),  # nose, eyes, ears
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),  # shoulders, elbows, wrists
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),  # hips, knees, ankles
)
"""Spread of each of COCO's 17 joints, half the k of cocodataset.org/#keypoints-eval."""


def evaluate(
    evaluation: Evaluation, classes: list[int], iou_type: IouType, sigmas: Sequence[float]
) -> tuple[Array, Array]:
    """Match predictions to targets and accumulate precision and recall.

    Args:
        evaluation: All images.
        classes: Evaluated labels.
        iou_type: Compared shapes: boxes, masks or keypoints.
        sigmas: Spreads of the K joints, for keypoints.

    Returns:
        Precision (10, 101, C, A, M) and recall (10, C, A, M) over IoU or OKS 0.50:0.05:0.95, recall 0:0.01:1, classes,
        sizes (all, small, medium, large; keypoints: all, medium, large) and the maximum number of detections (1, 10,
        100; keypoints: 20); -1 for entries with nothing to evaluate.
    """
    images = [{"id": index} for index in range(len(evaluation.image_ids))]
    categories = [{"id": label, "name": str(label)} for label in classes]
    with _collector_at_rest():
        if iou_type == "keypoints":
            sets = _load_keypoints(evaluation, images, categories, len(sigmas))
        else:
            sets = _load_regions(evaluation, images, categories)
    evaluator = hotcoco.COCOeval(*sets, iou_type)
    if iou_type == "keypoints":
        evaluator.params.kpt_oks_sigmas = list(sigmas)
    evaluator.evaluate()
    evaluator.accumulate()
    tables = evaluator.eval
    assert tables is not None  # filled by accumulate()
    return tables["precision"], tables["recall"]


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Pause Python's garbage collector, which would otherwise take most of the time rescanning one dict per mask."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load_regions(evaluation: Evaluation, images: list[Any], categories: list[Any]) -> tuple[Any, Any]:
    """Load boxes and, if present, masks. The size of a detected mask is its number of pixels."""
    found, wanted = evaluation.found, evaluation.wanted
    targets = hotcoco.COCO.from_arrays(
        images,
        categories,
        wanted["image"],
        wanted["labels"],
        _xywh(wanted["boxes"]),
        area=wanted["area"],
        iscrowd=wanted["iscrowd"],
        segmentation=_segmentation(wanted),
    )
    rows = np.column_stack([found["image"], _xywh(found["boxes"]), found["scores"], found["labels"]])
    masks = _segmentation(found)
    detections = targets.load_res(rows, segmentation=masks)
    if masks:
        detections.update_anns(ids=np.arange(1, len(masks) + 1), area=hotcoco.mask.area(masks))
    return targets, detections


def _load_keypoints(evaluation: Evaluation, images: list[Any], categories: list[Any], joints: int) -> tuple[Any, Any]:
    """Load people as dicts, the only form in which hotcoco accepts keypoints."""
    found, wanted = evaluation.found, evaluation.wanted
    labeled = (wanted["keypoints"].reshape(-1, joints, 3)[..., 2] > 0).sum(axis=1)
    columns = {
        "id": np.arange(1, len(labeled) + 1),
        "image_id": wanted["image"],
        "category_id": wanted["labels"],
        "bbox": _xywh(wanted["boxes"]),
        "area": wanted["area"],
        "iscrowd": wanted["iscrowd"].astype(np.int64),
        "num_keypoints": labeled,
        "keypoints": wanted["keypoints"].reshape(-1, 3 * joints),
    }
    targets = hotcoco.COCO({"images": images, "categories": categories, "annotations": _dicts(columns)})
    columns = {
        "image_id": found["image"],
        "category_id": found["labels"],
        "score": found["scores"],
        "keypoints": found["keypoints"].reshape(-1, 3 * joints),
    }
    return targets, targets.load_res(_dicts(columns))


def _segmentation(columns: dict[str, Array]) -> list[Any] | None:
    if "masks" not in columns:
        return None
    sizes = columns["mask_size"].reshape(-1, 2).tolist()
    return [{"size": size, "counts": counts} for size, counts in zip(sizes, columns["masks"].tolist(), strict=True)]


def _dicts(columns: dict[str, Array]) -> list[dict[str, Any]]:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _xywh(boxes: Array) -> Array:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
