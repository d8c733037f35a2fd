"""The same 24 pictures with the same boxes of 3 classes as six tools export them; the pictures keep their names.

The files are those of `tests.helpers.exports`; YOLO's tree is that of https://docs.ultralytics.com/datasets/detect, and
VOC's that of https://docs.cvat.ai/docs/dataset_management/formats/format-voc/.
"""

from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import yaml

from datamodules.splits import Split, split_names
from tests.helpers.exports import CLASSES, SIZE, boxes, records, save, write_json

NUMBERS = range(24)
PARTS = split_names([f"shot {number:02d}" for number in NUMBERS], Split())


def _name(number: int) -> str:
    return f"shot {number:02d}.png"


def roboflow(root: Path) -> None:
    """Write a folder for each split, with the annotations beside the pictures."""
    for part, folder in (("train", "train"), ("val", "valid")):
        numbers = [number for number in NUMBERS if f"shot {number:02d}" in PARTS[part]]
        for number in numbers:
            save(root / folder, _name(number), number)
        write_json(root / folder / "_annotations.coco.json", records(numbers, _name))


def cvat(root: Path) -> None:
    """Write ``annotations/instances_default.json`` and ``images/default``."""
    _pictures(root / "images" / "default")
    write_json(root / "annotations" / "instances_default.json", records(NUMBERS, _name))


def label_studio(root: Path) -> None:
    """Write ``result.json``, which names the pictures with their folder and has no polygons."""
    _pictures(root / "images")
    content = records(NUMBERS, lambda number: f"images/{_name(number)}", first=0)
    for row in content["annotations"]:
        row["segmentation"] = []
    write_json(root / "result.json", content)


def one_file(root: Path) -> None:
    """Write one file for everything, and the pictures in another folder."""
    _pictures(root / "photos of may")
    write_json(root / "labels" / "all.json", records(NUMBERS, _name))


def yolo(root: Path) -> None:
    """Write ``data.yaml`` and, for each split, ``images`` and ``labels``."""
    for part, folder in (("train", "train"), ("val", "valid")):
        for number in (number for number in NUMBERS if f"shot {number:02d}" in PARTS[part]):
            save(root / folder / "images", _name(number), number)
            rows = [
                f"{kind} {(x + width / 2) / SIZE[0]:.6f} {(y + height / 2) / SIZE[1]:.6f} "
                f"{width / SIZE[0]:.6f} {height / SIZE[1]:.6f}\n"
                for kind, x, y, width, height in boxes(number)
            ]
            labels = root / folder / "labels" / f"shot {number:02d}.txt"
            labels.parent.mkdir(exist_ok=True)
            labels.write_text("".join(rows))
    content = {"train": "train/images", "val": "valid/images", "nc": len(CLASSES), "names": list(CLASSES)}
    (root / "data.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def voc(root: Path) -> None:
    """Write CVAT's "PASCAL VOC": corners from 0, one list of pictures, and ``labelmap.txt`` with the classes' order.

    The label map has a line ``background`` first, and no colors for boxes; ``VocExporter`` in
    https://github.com/cvat-ai/datumaro writes it.
    """
    _pictures(root / "JPEGImages")
    (root / "Annotations").mkdir(parents=True)
    for number in NUMBERS:
        objects = "".join(
            f"<object><name>{escape(CLASSES[kind])}</name><difficult>0</difficult><bndbox><xmin>{x:.1f}</xmin>"
            f"<ymin>{y:.1f}</ymin><xmax>{x + width:.1f}</xmax><ymax>{y + height:.1f}</ymax></bndbox></object>"
            for kind, x, y, width, height in boxes(number)
        )
        size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>"
        text = f"<annotation><filename>{_name(number)}</filename>{size}{objects}</annotation>"
        (root / "Annotations" / f"shot {number:02d}.xml").write_text(text, encoding="utf-8")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "default.txt").write_text("".join(f"shot {number:02d}\n" for number in NUMBERS))
    lines = ["# label:color_rgb:parts:actions", *(f"{name}:::" for name in ("background", *CLASSES))]
    (root / "labelmap.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _pictures(folder: Path) -> None:
    for number in NUMBERS:
        save(folder, _name(number), number)


EXPORTS: dict[str, Callable[[Path], None]] = {
    "roboflow": roboflow,
    "cvat": cvat,
    "label studio": label_studio,
    "one file": one_file,
    "yolo": yolo,
    "voc": voc,
}
