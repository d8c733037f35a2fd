"""One small data set as labeling tools export it in COCO's format: same pictures and boxes, other files and names."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

CLASSES = ("Hard Hat", "no-helmet", "Köpfe")
SIZE = (64, 48)  # width and height
Records = dict[str, list[dict[str, Any]]]


def picture(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return picture ``number``, uint8 (48, 64, 3)."""
    return np.random.default_rng(number).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


def boxes(number: int) -> list[tuple[int, int, int, int, int]]:
    """Return the objects of picture ``number``: class from 0, and x, y, width and height; whole numbers."""
    rng = np.random.default_rng((1, number))
    places = [(*rng.integers(1, 30, 2), *rng.integers(6, 18, 2)) for _ in CLASSES]
    found = [(kind, *map(int, place)) for kind, place in enumerate(places)]
    return found if number % 4 else found[:2]


def save(folder: Path, name: str, number: int) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(number)).save(file)


def records(numbers: Sequence[int], name: Callable[[int], str], first: int = 1) -> Records:
    """Return COCO's records; ids of images, objects and categories count from ``first``."""
    images = [
        {"id": first + place, "file_name": name(number), "width": SIZE[0], "height": SIZE[1]}
        for place, number in enumerate(numbers)
    ]
    objects: list[dict[str, Any]] = []
    for place, number in enumerate(numbers):
        for kind, x, y, width, height in boxes(number):
            polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
            objects.append(
                {
                    "id": first + len(objects), "image_id": first + place, "category_id": first + kind,
                    "segmentation": [polygon], "bbox": [x, y, width, height], "area": width * height, "iscrowd": 0,
                }
            )  # fmt: skip
    categories = [{"id": first + place, "name": kind, "supercategory": ""} for place, kind in enumerate(CLASSES)]
    return {"images": images, "annotations": objects, "categories": categories}


def write_json(file: Path, content: Records, **more: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"info": {}, "licenses": [], **more, **content}, ensure_ascii=False), encoding="utf-8")


def roboflow(root: Path, train: Sequence[int], val: Sequence[int], test: Sequence[int] = ()) -> dict[str, Any]:
    """Write an export of Roboflow: one folder for each split, the annotations beside the pictures.

    Its category 0 is the project, the supercategory of all classes, without objects. The tree is that of
    https://docs.roboflow.com/datasets/exporting-data ("COCO JSON").

    Returns:
        The settings that name the files.
    """
    files = {}
    for split, folder, numbers in (("train", "train", train), ("val", "valid", val), ("test", "test", test)):
        if not numbers:
            continue
        content = records(numbers, lambda number: f"frame {number:02d}_png.rf.{number:08x}.png")
        content["categories"] = [
            {"id": 0, "name": "helmets", "supercategory": "none"},
            *({**kind, "supercategory": "helmets"} for kind in content["categories"]),
        ]
        for image, number in zip(content["images"], numbers, strict=True):
            save(root / folder, image["file_name"], number)
        write_json(root / folder / "_annotations.coco.json", content)
        files[split] = f"{folder}/_annotations.coco.json"
    return {"annotations": files}


def cvat(root: Path, numbers: Sequence[int]) -> dict[str, Any]:
    """Write an export of a CVAT task, "COCO 1.0": the subset ``default``, pictures of a task keep their folders.

    https://docs.cvat.ai/docs/dataset_management/formats/format-coco/
    """
    content = records(numbers, lambda number: f"clip {number % 3}/frame_{number:06d}.PNG")
    for image, number in zip(content["images"], numbers, strict=True):
        image |= {"license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0}
        save(root / "images" / "default", image["file_name"], number)
    for row in content["annotations"]:
        row["attributes"] = {"occluded": False}
    write_json(root / "annotations" / "instances_default.json", content)
    return {"annotations": "annotations/instances_default.json"}


def label_studio(root: Path, numbers: Sequence[int], listed: str = "images/{}") -> dict[str, Any]:
    """Write an export of Label Studio: ``result.json``, all ids from 0; boxes have no polygon.

    ``convert_to_coco`` in https://github.com/HumanSignal/label-studio-converter

    Args:
        root: The folder to write.
        numbers: The pictures.
        listed: Form of a file name in the annotations, such as ``images\\\\{}`` on Windows, ``../../upload/1/{}`` and
            the URL of a local file if pictures were not exported by the tool itself.
    """
    content = records(numbers, lambda number: f"{number:04x}-pic {number}.png", first=0)
    for image, number in zip(content["images"], numbers, strict=True):
        save(root / "images", image["file_name"], number)
        name = image["file_name"].replace(" ", "%20") if "://" in listed or "?" in listed else image["file_name"]
        image["file_name"] = listed.format(name)
    for row in content["annotations"]:
        row |= {"segmentation": [], "ignore": 0}
    write_json(root / "result.json", content)
    return {"annotations": "result.json"}


def labelme(root: Path, numbers: Sequence[int]) -> dict[str, Any]:
    """Write LabelMe's annotations as its converter does: ``annotations.json`` beside the folder ``JPEGImages``.

    examples/instance_segmentation/labelme2coco.py in https://github.com/wkentaro/labelme
    """
    content = records(numbers, lambda number: f"JPEGImages/{number}.png", first=0)
    for kind in content["categories"]:
        kind["supercategory"] = None
    for image, number in zip(content["images"], numbers, strict=True):
        image |= {"license": 0, "url": None, "date_captured": None}
        save(root, image["file_name"], number)
    write_json(root / "annotations.json", content, type="instances")
    return {"annotations": "annotations.json"}


def one_file(root: Path, numbers: Sequence[int]) -> dict[str, Any]:
    """Write one file for everything, and the pictures in a folder that only a setting can name."""
    content = records(numbers, lambda number: f"{number % 4}_{number}.png")
    for image, number in zip(content["images"], numbers, strict=True):
        save(root / "raw pictures", image["file_name"], number)
    write_json(root / "labels" / "all.json", content)
    return {"annotations": "labels/all.json", "images": "raw pictures"}


def sixteen_bits(file: Path, largest: int) -> None:
    """Write a gray picture of 16 bits whose values go from 0 to ``largest``."""
    values = np.linspace(0, largest, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE[::-1])
    cv2.imwrite(str(file), values)
