"""Predictions in COCO's results format (cocodataset.org/#format-results)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lit_cv.contract import Ids
from lit_cv.ops.mask_runs import encode_masks
from lit_cv.ops.objects import masks_of
from lit_cv.ops.rle import compress_masks
from lit_cv.predictions.files import Predictions

HALF = 0.5  # pixel: COCO's joints count from the center of the first pixel, predictions from the corner of the image
VISIBLE = 2.0  # flag of a joint
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


def coco_document(predictions: Predictions) -> dict[str, Any]:
    """Return predictions as one object in COCO's format of annotations, for labeling tools and viewers.

    Annotations have ``score``, and ``caption`` for phrases. Ids of images are their ``image_id``, those of categories
    the labels. Of class masks, each class but the background is an annotation. Poses are of one category, ``person``.
    """
    sizes = zip(predictions.image_ids.tolist(), predictions.names, predictions.sizes.tolist(), strict=True)
    annotations = [row for index in range(len(predictions)) for row in _annotations(predictions, index)]
    return {
        "images": [{"id": n, "file_name": name, "width": size[0], "height": size[1]} for n, name, size in sizes],
        "categories": _categories(predictions),
        "annotations": [{"id": number, **row} for number, row in enumerate(annotations, 1)],
    }


def _categories(predictions: Predictions) -> list[Row]:
    if predictions.columns.keys() == {"keypoints"}:
        return [{"id": 1, "name": "person", "keypoints": predictions.class_names}]
    names = ["region"] if "phrases" in predictions.columns else predictions.class_names
    return [{"id": label, "name": name} for label, name in enumerate(names, 1)]


def _annotations(predictions: Predictions, index: int) -> Iterator[Row]:
    found = predictions[index]
    if "mask" in found:
        found = _regions(found["mask"])
    keys = {"bbox": "boxes", "segm": "mask_runs", "keypoints": "keypoints"}
    parts = [_shapes(found, kind) for kind, key in keys.items() if key in found]
    parts += [[{"score": score} for score in found["scores"].double().tolist()]] if "scores" in found else []
    parts += [[{"caption": phrase} for phrase in found["phrases"]]] if "phrases" in found else []
    labels = found["labels"].tolist() if "labels" in found and "phrases" not in found else [1] * len(parts[0])
    for label, *part in zip(labels, *parts, strict=True):
        row: Row = {"image_id": int(predictions.image_ids[index]), "category_id": label, "iscrowd": 0}
        yield row | {key: value for fields in part for key, value in fields.items()}


def _regions(mask: Tensor) -> dict[str, Any]:
    """Return the classes of a class mask but the background as objects with masks."""
    labels = torch.unique(mask[mask > 0])
    masks = encode_masks(mask[None] == labels[:, None, None])
    sizes = torch.tensor(masks.size)
    return {"labels": labels, "mask_runs": masks.runs, "mask_lengths": masks.lengths, "mask_size": sizes}


def _shapes(found: dict[str, Any], kind: str) -> list[Row]:
    if kind == "bbox":
        boxes = found["boxes"].double()
        corners = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
        return [{"bbox": corner} for corner in corners.tolist()]
    if kind == "segm":
        masks = masks_of(found)
        texts = compress_masks(masks)
        return [{"segmentation": {"size": list(masks.size), "counts": text.decode()}} for text in texts]
    joints = found["keypoints"].double()
    if joints.shape[2] == 2:  # a pose, which counts from the center of the first pixel and has no scores
        joints = torch.cat([joints, torch.full_like(joints[..., :1], VISIBLE)], dim=2)
    else:
        joints = joints - torch.tensor([HALF, HALF, 0.0], dtype=torch.float64)
    return [{"keypoints": person} for person in joints.flatten(1).tolist()]
