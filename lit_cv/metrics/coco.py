"""COCO average precision: the official evaluation's digits (pycocotools) through hotcoco, fed with arrays."""

from collections.abc import Sequence
from typing import Literal

import hotcoco
import numpy as np
import torch
from torch import Tensor

from lit_cv.metrics.gather import Array, Evaluation, ImageMetric, check_labels

# The evaluation's tables: precision (iou, recall, class, size, max_detections) and recall (iou, class, size,
# max_detections), over IoU 0.50:0.05:0.95, the sizes below and at most 1, 10 and 100 detections.
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)


class COCOAveragePrecision(ImageMetric):
    """Box AP and AR as the COCO server computes them (Lin et al. 2014; cocodataset.org/#detection-eval).

    Mean over the IoU thresholds 0.50:0.05:0.95 of the 101-point interpolated precision, at most 100
    detections per image. Crowd regions absorb detections without penalty; size classes follow the targets' `area`
    (small < 32² ≤ medium < 96² ≤ large, in square pixels).

    `compute` returns floats in [0, 1] under `map`, `map_50`, `map_75`, `map_small`, `map_medium`,
    `map_large`, `mar_1`, `mar_10`, `mar_100`, and, when `class_names` is given, float64 tensors (C,)
    `map_per_class` and `map_50_per_class` over the labels 1..C. **-1 means that there was nothing to evaluate** (no
    target of that class or size), as in the official evaluation; leave it out of any mean. It is not NaN so
    that it survives JSON and every logger.

    Args:
        iou_type: "bbox".
        class_names: the names of the labels 1..C. None: the labels that occur are evaluated.
    """

    def __init__(self, iou_type: Literal["bbox"] = "bbox", class_names: Sequence[str] | None = None) -> None:
        super().__init__()
        if iou_type != "bbox":
            raise ValueError(f"iou_type must be 'bbox', not {iou_type!r}")
        self.class_names = None if class_names is None else tuple(class_names)

    def compute(self) -> dict[str, float | Tensor]:
        """Evaluate all images seen since the last reset, on all ranks.

        Raises:
            ValueError: a label is outside 1..C.
        """
        evaluation = self.evaluation()
        if self.class_names is None:
            classes = np.unique(np.concatenate([evaluation.found["labels"], evaluation.wanted["labels"]])).tolist()
        else:
            check_labels(evaluation, len(self.class_names))
            classes = list(range(1, len(self.class_names) + 1))
        precision, recall = _evaluate(evaluation, classes)
        results: dict[str, float | Tensor] = {
            "map": _mean(precision[..., _ALL, -1]),
            "map_50": _mean(precision[0, ..., _ALL, -1]),
            "map_75": _mean(precision[5, ..., _ALL, -1]),
            "map_small": _mean(precision[..., _SMALL, -1]),
            "map_medium": _mean(precision[..., _MEDIUM, -1]),
            "map_large": _mean(precision[..., _LARGE, -1]),
            "mar_1": _mean(recall[..., _ALL, 0]),
            "mar_10": _mean(recall[..., _ALL, 1]),
            "mar_100": _mean(recall[..., _ALL, 2]),
        }
        if self.class_names is not None:
            results["map_per_class"] = _mean_per_class(precision[..., _ALL, -1])
            results["map_50_per_class"] = _mean_per_class(precision[:1, ..., _ALL, -1])
        return results


def _evaluate(evaluation: Evaluation, classes: list[int]) -> tuple[Array, Array]:
    """The tables of the official `accumulate`: precision (10, 101, C, 4, 3), recall (10, C, 4, 3); -1 where empty."""
    found, wanted = evaluation.found, evaluation.wanted
    targets = hotcoco.COCO.from_arrays(
        [{"id": index} for index in range(len(evaluation.image_ids))],
        [{"id": label, "name": str(label)} for label in classes],
        wanted["image"],
        wanted["labels"],
        _xywh(wanted["boxes"]),
        area=wanted["area"],
        iscrowd=wanted["iscrowd"],
    )
    rows = np.column_stack([found["image"], _xywh(found["boxes"]), found["scores"], found["labels"]])
    evaluator = hotcoco.COCOeval(targets, targets.load_res(rows), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    tables = evaluator.eval
    assert tables is not None  # accumulate() has filled it
    return tables["precision"], tables["recall"]


def _xywh(boxes: Array) -> Array:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _mean(table: Array) -> float:
    """The mean over what could be evaluated; -1 when nothing could, as in the official `summarize`."""
    filled = table[table > -1]
    return float(filled.mean()) if filled.size else -1.0


def _mean_per_class(table: Array) -> Tensor:
    """`_mean` of each class of a table (iou, recall, C)."""
    return torch.tensor([_mean(table[:, :, k]) for k in range(table.shape[2])], dtype=torch.float64)
