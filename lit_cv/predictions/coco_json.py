"""Predictions in COCO's results format (cocodataset.org/#format-results)."""

from collections.abc import Iterator
from typing import Any

import torch

from lit_cv.contract import Ids
from lit_cv.ops.objects import masks_of
from lit_cv.ops.rle import compress_masks
from lit_cv.predictions.files import Predictions

HALF = 0.5  # pixel: COCO's joints count from the center of the first pixel, predictions from the corner of the image
KINDS = {"bbox": "boxes", "segm": "masks", "keypoints": "keypoints"}  # to the column that each needs
Row = dict[str, Any]


def result_rows(predictions: Predictions, ids: Ids, kind: str) -> Iterator[Row]:
    """Yield the rows of a results file, all scores, in the order of images and predictions.

    Rows of masks have no ``bbox``, from which the official evaluation would take the size of an object.

    Args:
        predictions: Boxes with labels and scores.
        ids: Ids of images and classes.
        kind: ``bbox``, ``segm`` or ``keypoints``.
    """
    for index, image in enumerate(predictions.image_ids.tolist()):
        found = predictions[index]
        shapes = _shapes(found, kind)
        columns = zip(found["labels"].tolist(), shapes, found["scores"].double().tolist(), strict=True)
        for label, shape, score in columns:
            yield {"image_id": ids.images[image], "category_id": ids.classes[label - 1], **shape, "score": score}


def _shapes(found: dict[str, Any], kind: str) -> list[Row]:
    if kind == "bbox":
        boxes = found["boxes"].double()
        corners = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
        return [{"bbox": corner} for corner in corners.tolist()]
    if kind == "segm":
        masks = masks_of(found)
        texts = compress_masks(masks)
        return [{"segmentation": {"size": list(masks.size), "counts": text.decode()}} for text in texts]
    joints = found["keypoints"].double() - torch.tensor([HALF, HALF, 0.0], dtype=torch.float64)
    return [{"keypoints": person} for person in joints.flatten(1).tolist()]
