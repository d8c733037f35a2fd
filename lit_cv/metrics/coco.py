"""COCO average precision, computed by hotcoco from arrays, with exactly the results of pycocotools."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from torch import Tensor

from lit_cv.metrics.base import Array, ImageMetric, ImageRecord, check_labels
from lit_cv.metrics.coco_tables import COCO_SIGMAS, IouType, evaluate
from lit_cv.metrics.facts import PRECISION, Fact
from lit_cv.metrics.instance_columns import MASK_COLUMNS, keypoint_column, mask_columns

# The last two axes of the tables that `evaluate` returns: sizes, and the maximum number of detections.
_SIZES = ("all", "small", "medium", "large")
_PEOPLE_SIZES = ("all", "medium", "large")
_MOST, _MOST_PEOPLE = (1, 10, 100), (20,)
_REGION_FACTS = dict.fromkeys(
    ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100"), PRECISION
)


class COCOAveragePrecision(ImageMetric):
    """AP and AR as the COCO server computes them (Lin et al. 2014; cocodataset.org/#detection-eval, #keypoints-eval).

    Mean over the IoU thresholds 0.50:0.05:0.95 of the 101-point interpolated precision, at most 100 detections per
    image. Keypoints use the same thresholds of OKS and at most 20 detections per image. Detections on crowd regions
    or on people without a labeled joint are not penalized. Size classes follow the targets' ``area``
    (small < 32² ≤ medium < 96² ≤ large, in square pixels).

    In addition to the columns of ``ImageMetric.update``, predictions and targets need masks for "segm" (see
    ``instance_columns.mask_columns``), and ``keypoints`` (N, K, 3) for "keypoints": x and y in pixels and, in targets,
    a flag that is 0 for an unlabeled joint. The third number of predictions is ignored. For "segm" and "keypoints",
    targets need ``area`` in square pixels; COCO uses the area of the mask.

    ``compute`` returns floats in [0, 1] under ``map``, ``map_50``, ``map_75``, ``map_small``, ``map_medium``,
    ``map_large``, ``mar_1``, ``mar_10``, ``mar_100`` (keypoints: no ``map_small``, and only ``mar_20``). If
    ``class_names`` is given, it also returns float64 tensors (C,) ``map_per_class`` and ``map_50_per_class`` over
    the labels 1..C. **-1 means that there was nothing to evaluate** (no target of that class or size), as in the
    official evaluation. Exclude it from any mean. It is not NaN, so that JSON and every logger can store it.

    Args:
        iou_type: Compared shapes: boxes ("bbox"), masks ("segm") or "keypoints".
        class_names: Names of the labels 1..C. With None, the labels that occur are evaluated.
        sigmas: For keypoints, the spreads of the K joints, half the k of OKS = exp(-d² / 2 area k²). Defaults to
            those of COCO's 17 joints.

    Attributes:
        FACTS: Unit and direction of each float of ``compute``, by ``iou_type``.
    """

    FACTS: ClassVar[dict[IouType, dict[str, Fact]]] = {
        "bbox": _REGION_FACTS,
        "segm": _REGION_FACTS,
        "keypoints": dict.fromkeys(("map", "map_50", "map_75", "map_medium", "map_large", "mar_20"), PRECISION),
    }

    def __init__(
        self,
        iou_type: IouType = "bbox",
        class_names: Sequence[str] | None = None,
        sigmas: Sequence[float] = COCO_SIGMAS,
    ) -> None:
        super().__init__()
        if iou_type not in get_args(IouType):
            raise ValueError(f"iou_type must be one of {get_args(IouType)}, not {iou_type!r}")
        self.iou_type, self.sigmas = iou_type, tuple(sigmas)
        self.class_names = None if class_names is None else tuple(class_names)
        self.shapes = {"bbox": (), "segm": MASK_COLUMNS, "keypoints": ("keypoints",)}[iou_type]

    def update(self, preds: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Keep the predictions and targets of one batch; see ``ImageMetric.update``.

        Raises:
            ValueError: As in ``ImageMetric.update``, or if masks, keypoints or the ``area`` of a target are missing or
                malformed, or the masks of an image differ in size.
        """
        if self.shapes:
            for target in targets:
                if "area" not in target:
                    raise ValueError(
                        f"image {int(target['image_id'])}: the target has no area: add it in square pixels"
                    )
        super().update(preds, targets)
        if self.iou_type == "segm":
            for record in self.images[len(self.images) - len(targets) :]:
                _check_sizes(record)

    def shape_columns(self, image_id: int, objects: Mapping[str, Any]) -> dict[str, Array]:
        """Return the compressed masks or the keypoints of a prediction or a target."""
        if self.iou_type == "segm":
            return mask_columns(image_id, objects)
        return keypoint_column(image_id, objects, len(self.sigmas)) if self.iou_type == "keypoints" else {}

    def compute(self) -> dict[str, float | Tensor]:
        """Evaluate all images seen since the last reset, on all ranks.

        Raises:
            ValueError: If a label is outside 1..C.
        """
        evaluation = self.evaluation()
        if self.class_names is None:
            classes = np.unique(np.concatenate([evaluation.found["labels"], evaluation.wanted["labels"]])).tolist()
        else:
            check_labels(evaluation, len(self.class_names))
            classes = list(range(1, len(self.class_names) + 1))
        precision, recall = evaluate(evaluation, classes, self.iou_type, self.sigmas)
        sizes, most = (_PEOPLE_SIZES, _MOST_PEOPLE) if self.iou_type == "keypoints" else (_SIZES, _MOST)
        results: dict[str, float | Tensor] = {
            "map": _mean(precision[..., 0, -1]),
            "map_50": _mean(precision[0, ..., 0, -1]),
            "map_75": _mean(precision[5, ..., 0, -1]),
        }
        results |= {f"map_{size}": _mean(precision[..., i, -1]) for i, size in enumerate(sizes) if size != "all"}
        results |= {f"mar_{count}": _mean(recall[..., 0, i]) for i, count in enumerate(most)}
        if self.class_names is not None:
            results["map_per_class"] = _mean_per_class(precision[..., 0, -1])
            results["map_50_per_class"] = _mean_per_class(precision[:1, ..., 0, -1])
        return results


def _check_sizes(record: ImageRecord) -> None:
    sizes = np.concatenate([record.found["mask_size"], record.wanted["mask_size"]])
    other = (sizes != sizes[:1]).any(axis=1).nonzero()[0]
    if other.size:
        (height, width), (other_height, other_width) = sizes[0], sizes[other[0]]
        raise ValueError(
            f"image {record.image_id}: masks of {height}x{width} and of {other_height}x{other_width}: "
            "paste the predictions into the image of the targets"
        )


def _mean(table: Array) -> float:
    """Return the mean over the evaluated entries; -1 if there are none, as in the official ``summarize``."""
    filled = table[table > -1]
    return float(filled.mean()) if filled.size else -1.0


def _mean_per_class(table: Array) -> Tensor:
    """Return ``_mean`` of each class of a table (iou, recall, C)."""
    return torch.tensor([_mean(table[:, :, k]) for k in range(table.shape[2])], dtype=torch.float64)
