"""Results files of other frameworks in COCO's format (cocodataset.org/#format-results)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import hotcoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.loading.json_stream import read_json
from lit_cv.contract import Ids
from lit_cv.errors import UserError
from lit_cv.ops.rle import decompress_runs
from lit_cv.predictions.coco_json import HALF, Row

SHAPES = {"bbox": "boxes", "segmentation": "masks", "keypoints": "keypoints"}


class COCOResults:
    """The predictions of a COCO results file by the ``image_id`` of a data set.

    Boxes that are missing are those around the masks or joints, as in pycocotools.

    Args:
        path: JSON: a list of results, or an object with such a list under ``annotations``.
        ids: Ids of images and classes.
        sizes: int32 (N, 2), width and height of each image.

    Raises:
        UserError: The file cannot be read, or a result has an unknown id or a wrong value.

    Attributes:
        columns: Names of the columns of a prediction.
    """

    def __init__(self, path: Path, ids: Ids, sizes: NDArray[np.int32]) -> None:
        self.path, self.sizes = path, sizes
        images = {str(number): index for index, number in enumerate(ids.images)}
        labels = {str(number): label for label, number in enumerate(ids.classes, 1)}
        rows = _rows_of(path)
        self.shapes = [key for key in SHAPES if isinstance(rows[0], dict) and key in rows[0]]
        if not self.shapes:
            raise UserError(f"{path}: result 0 has no bbox, segmentation or keypoints; it is no COCO results file.")
        self.columns = ["boxes", "scores", "labels", *(SHAPES[key] for key in self.shapes if key != "bbox")]
        self._joints = len(rows[0].get("keypoints", [])) // 3
        self._rows: dict[int, list[Row]] = {}
        for place, row in enumerate(rows):
            index = self._known(place, row, "image_id", images)
            row["label"] = self._known(place, row, "category_id", labels)
            self._check(place, row, index)
            self._rows.setdefault(index, []).append(row)

    def __len__(self) -> int:
        """Return the number of images with results."""
        return len(self._rows)

    def of_image(self, image_id: int) -> dict[str, Any]:
        """Return the prediction for an image, without objects if the file has none."""
        rows = self._rows.get(image_id, [])
        found: dict[str, Any] = {
            "scores": torch.tensor([row["score"] for row in rows], dtype=torch.float64),
            "labels": torch.tensor([row["label"] for row in rows], dtype=torch.int64),
        }
        if "segmentation" in self.shapes:
            size = self.sizes[image_id].tolist()
            found["masks"] = [_rle(row["segmentation"], *size) for row in rows]
        if "keypoints" in self.shapes:
            joints = np.array([row["keypoints"] for row in rows], dtype=np.float64).reshape(-1, self._joints, 3)
            found["keypoints"] = torch.from_numpy(joints + np.array([HALF, HALF, 0.0]))
        return found | {"boxes": self._boxes(rows, found)}

    def _boxes(self, rows: Sequence[Row], found: dict[str, Any]) -> Tensor:
        if "bbox" in self.shapes:
            corners = [row["bbox"] for row in rows]
        elif "segmentation" in self.shapes:
            corners = [hotcoco.mask.to_bbox(mask) for mask in found["masks"]]
        else:
            points = found["keypoints"][..., :2] - HALF
            return torch.cat([points.amin(dim=1), points.amax(dim=1)], dim=1)
        boxes = torch.from_numpy(np.array(corners, dtype=np.float64).reshape(-1, 4))
        return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)

    def _known(self, place: int, row: Any, key: str, known: dict[str, int]) -> int:
        if not isinstance(row, dict) or key not in row:
            raise UserError(f"{self.path}: result {place} has no {key}; it is no COCO results file.")
        if str(row[key]) not in known:
            examples = ", ".join(list(known)[:3])
            raise UserError(
                f"{self.path}: result {place} has {key} {row[key]!r}, but the data has {examples}, ...; choose the "
                "data set and the split of these results."
            )
        return known[str(row[key])]

    def _check(self, place: int, row: Row, index: int) -> None:
        def refuse(key: str, form: str) -> NoReturn:
            text = repr(row.get(key))
            shown = text if len(text) <= 50 else f"{text[:47]}..."
            raise UserError(f"{self.path}: result {place} has {key} {shown}, not {form}; fix the file.")

        if not _finite([row.get("score")], 1):
            refuse("score", "a finite number")
        for key in SHAPES:
            if (key in row) != (key in self.shapes):
                raise UserError(f"{self.path}: only some results have {key}, result {place} differs; divide the file.")
        if "bbox" in row and not (_finite(row["bbox"], 4) and min(row["bbox"][2:]) >= 0):
            refuse("bbox", "[x, y, width, height]")
        if "keypoints" in row and not (self._joints and _finite(row["keypoints"], 3 * self._joints)):
            refuse("keypoints", f"[x, y, score, ...] of {self._joints} joints")
        width, height = self.sizes[index].tolist()
        if "segmentation" in row and not _is_mask(row["segmentation"], width, height):
            refuse("segmentation", f"polygons or the RLE of a mask of {height}x{width} pixels, which its image has")


def _rows_of(path: Path) -> list[Any]:
    content = read_json(path)
    rows = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise UserError(f"{path}: holds no list of results; give a COCO results file.")
    if not rows:
        raise UserError(f"{path}: holds no result, so there is nothing to evaluate; give another file.")
    return rows


def _finite(values: Any, count: int) -> bool:
    """Tell whether a value is a list of this many finite numbers."""
    if not isinstance(values, list) or len(values) != count:
        return False
    return all(type(value) in (int, float) and math.isfinite(value) for value in values)


def _is_mask(shape: Any, width: int, height: int) -> bool:
    if isinstance(shape, list):
        return bool(shape) and all(
            isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and _finite(part, len(part))
            for part in shape
        )
    try:
        counts, size = shape["counts"], list(shape["size"])
        runs = decompress_runs(counts.encode()) if isinstance(counts, str) else np.array(counts, dtype=np.int64)
    except (KeyError, ValueError, TypeError, AttributeError):
        return False
    return size == [height, width] and bool(runs.sum() == height * width and (runs >= 0).all())


def _rle(shape: Any, width: int, height: int) -> Any:
    if isinstance(shape, list):
        return hotcoco.mask.merge(hotcoco.mask.fr_py_objects(shape, height, width))
    return shape
