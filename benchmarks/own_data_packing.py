"""Time the first and a later start with many pictures of one's own, in YOLO's and in VOC's form.

    python benchmarks/own_data_packing.py [--images 100000] [--form yolo voc] [--folder FOLDER]

The pictures are hard links to small JPEGs, each with 7 objects. The first start reads all labels and the headers of all
pictures and packs them; a later start opens what was packed. Files that were edited in place are looked for afterwards,
while the workers of the first loader load their batches: "confirmed" is the time of that. Prints wall seconds and the
process's CPU seconds, which other programs affect less. Exits with 1 when a first start takes more than 40 s or a later
start more than 0.1 s of CPU time on two cores.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datamodules import VOCDetectionDataModule, YOLODetectionDataModule

WIDTH, HEIGHT, OBJECTS, LINKS = 640, 480, 7, 30_000  # file systems limit the links to one file
TARGET_FIRST, TARGET_LATER = 40.0, 0.1
SETTLED = 2.1  # seconds, after which folders count as unchanged


def boxes_of(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return random boxes of whole pixels, xyxy (7, 4)."""
    first = rng.integers(0, (WIDTH - 50, HEIGHT - 50), (OBJECTS, 2))
    return np.concatenate([first, first + rng.integers(5, 50, (OBJECTS, 2))], axis=1)


def yolo_text(boxes: np.ndarray[Any, Any]) -> str:
    """Return the label file of a picture."""
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2 / (WIDTH, HEIGHT), (boxes[:, 2:] - boxes[:, :2]) / (WIDTH, HEIGHT)
    rows = np.concatenate([center, size], axis=1).tolist()
    return "".join(f"{n % 3} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for n, (x, y, w, h) in enumerate(rows))


def voc_text(name: str, boxes: np.ndarray[Any, Any]) -> str:
    """Return the XML file of a picture."""
    objects = "".join(
        f"<object><name>class {n % 3}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
        f"<bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for n, (x1, y1, x2, y2) in enumerate(boxes.tolist())
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"


def generate(root: Path, images: int) -> None:
    """Write the pictures and the labels of both forms."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels", "Annotations"):
        (root / folder).mkdir(parents=True)
    for number in range(images):
        if number % LINKS == 0:
            picture = root / f"{number}.jpg"
            cv2.imwrite(str(picture), rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        name, boxes = f"{number:07d}", boxes_of(rng)
        os.link(picture, root / "images" / f"{name}.jpg")
        (root / "labels" / f"{name}.txt").write_text(yolo_text(boxes))
        (root / "Annotations" / f"{name}.xml").write_text(voc_text(name, boxes))
    (root / "data.yaml").write_text("names: [class 0, class 1, class 2]\ntrain: images\n")


FORMS: dict[str, Callable[[Path], Any]] = {
    "yolo": lambda root: YOLODetectionDataModule(str(root)),
    "voc": lambda root: VOCDetectionDataModule(str(root), images="images", annotations={"train": "Annotations"}),
}


def start(form: str, root: Path) -> list[tuple[float, float]]:
    """Prepare a DataModule and confirm it; return wall and CPU seconds of both."""
    begin, used = time.perf_counter(), time.process_time()
    data = FORMS[form](root)
    data.prepare_data()
    data.setup()
    assert len(data.splits["train"].boxes)
    there, prepared = time.perf_counter(), time.process_time()
    data.remembered.confirm()
    return [(there - begin, prepared - used), (time.perf_counter() - there, time.process_time() - prepared)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--form", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--folder", type=Path, default=None, help="keep the generated pictures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["LITCV_CACHE"] = f"{temporary}/cache"
        root = options.folder or Path(temporary) / "data"
        if not root.exists():
            generate(root, options.images)
            time.sleep(SETTLED)
        slow = False
        for form in options.form:
            for name, target in (("first", TARGET_FIRST), ("later", TARGET_LATER)):
                (wall, cpu), confirmed = start(form, root)
                slow |= cpu > target
                print(
                    f"{form}: {name} start with {options.images} pictures: {wall:.2f} s, {cpu:.2f} s of CPU time; "
                    "confirmed: {:.2f} s, {:.2f} s".format(*confirmed)
                )
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
