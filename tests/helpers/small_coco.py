"""A COCO data set of two images of 40x30 pixels, whose annotations a test chooses."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SQUARE = [5.0, 5.0, 15.0, 5.0, 15.0, 15.0, 5.0, 15.0]
JOINTS = ["nose", "left_eye", "right_eye"]
Edit = Callable[[dict[str, Any]], None]


def record(number: int, image: int = 1, **fields: Any) -> dict[str, Any]:
    """Return an annotation; fields that are None are left out."""
    whole = {
        "id": number, "image_id": image, "category_id": 3, "bbox": [5, 5, 10, 10], "area": 81.5, "iscrowd": 0,
        "segmentation": [SQUARE], "keypoints": [6, 7, 2, 8, 9, 1, 0, 0, 0],
    }  # fmt: skip
    return {key: value for key, value in (whole | fields).items() if value is not None}


def content(annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "info": {"description": 'a "quoted" {name}, [so]'},
        "images": [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in (1, 2)],
        "annotations": list(annotations),
        "categories": [{"id": 7, "name": "cat", "keypoints": JOINTS}, {"id": 3, "name": "dog", "keypoints": JOINTS}],
    }


def write(root: Path, annotations: Sequence[dict[str, Any]], edit: Edit = lambda _: None) -> Path:
    """Write both sets with these annotations for training and one for validation; return the training file."""
    folder = root / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("train2017", "val2017"):
        (root / name).mkdir(exist_ok=True)
        for number in (1, 2):
            cv2.imwrite(str(root / name / f"{number}.png"), rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        whole = content(annotations if name == "train2017" else [record(1)])
        if name == "train2017":
            edit(whole)
        for kind in ("instances", "person_keypoints"):
            (folder / f"{kind}_{name}.json").write_text(json.dumps(whole))
    return folder / "instances_train2017.json"
