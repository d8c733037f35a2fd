"""The same pictures and boxes in COCO's, YOLO's and VOC's form are the same samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import datamodules
from tests.helpers import exports

NUMBERS = range(24)


def name(number: int) -> str:
    return f"frame {number:02d}.png"


def save(folder: Path, number: int) -> None:
    """Write a picture; every third one has an orientation of EXIF, as labels refer to the upright picture."""
    folder.mkdir(parents=True, exist_ok=True)
    turned = number % 3 == 0
    pixels = exports.picture(number)
    tags = Image.Exif()
    tags[0x0112] = 6 if turned else 1
    Image.fromarray(np.rot90(pixels) if turned else pixels).save(folder / name(number), exif=tags)


def coco(root: Path, convert: Any) -> dict[str, Any]:
    content = exports.records(NUMBERS, name)
    for number in NUMBERS:
        save(root / "images", number)
    exports.write_json(root / "all.json", content)
    return {"annotations": "all.json", "images": "images"}


def yolo(root: Path, convert: Any) -> dict[str, Any]:
    width, height = exports.SIZE
    for number in NUMBERS:
        save(root / "images", number)
        rows = [
            f"{kind} {convert((x + w / 2) / width)} {convert((y + h / 2) / height)} {convert(w / width)} "
            f"{convert(h / height)}\n"
            for kind, x, y, w, h in exports.boxes(number)
        ]
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{name(number)[:-4]}.txt").write_text("".join(rows))
    (root / "data.yaml").write_text(f"train: images\nnames: {list(exports.CLASSES)}\n", encoding="utf-8")
    return {}


def voc(root: Path, convert: Any) -> dict[str, Any]:
    width, height = exports.SIZE
    for number in NUMBERS:
        save(root, number)
        objects = "".join(
            f"<object><name>{exports.CLASSES[kind]}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
            f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
            for kind, x, y, w, h in exports.boxes(number)
        )
        size = f"<size><width>{width}</width><height>{height}</height></size>"
        file = root / f"{name(number)[:-4]}.xml"
        file.write_text(f"<annotation>{size}{objects}</annotation>", encoding="utf-8")
    return {"annotations": ".", "classes": list(exports.CLASSES)}


def samples(root: Path, kind: str, settings: dict[str, Any]) -> list[Any]:
    data = getattr(datamodules, f"{kind}DetectionDataModule")(str(root), augmentation="none", **settings)
    data.prepare_data()
    data.setup()
    assert data.class_names == exports.CLASSES
    assert [len(data.splits[split]) for split in ("train", "val")] == [19, 5]
    return [
        data.samples(packed, training=False)[index] for packed in data.splits.values() for index in range(len(packed))
    ]


@pytest.mark.parametrize("convert", ["{:.6f}".format, "{:.4f}".format, "{:.6g}".format, repr])
def test_equal_boxes_are_equal_samples(tmp_path: Path, convert: Any) -> None:
    expected = samples(tmp_path / "coco", "COCO", coco(tmp_path / "coco", convert))
    for kind, write in (("YOLO", yolo), ("VOC", voc)):
        found = samples(tmp_path / kind, kind, write(tmp_path / kind, convert))
        for (image, target), (other, known) in zip(found, expected, strict=True):
            assert torch.equal(image, other)
            for key in ("boxes", "labels", "area", "iscrowd", "image_id"):
                assert torch.equal(target[key], known[key]), (kind, key)
