"""Time the reading of a file as large as COCO's instances_train2017.json: 118,287 images, 860,001 objects.

    python benchmarks/coco_json.py [--objects 860001] [--rounds 2]

Measures the first start (parsing, cleaning, packing) and a later start from the cache, for boxes and for boxes with
masks, each in a new process:

* wall time, and CPU time, which other programs affect less;
* peak memory of the process (``gib``) and the part that is due to imports (``imports_gib``);
* with masks, the time to rasterize the masks of an image (``milliseconds_an_image``): the cache stores polygons.

Writes benchmarks/results/coco_json-cpu.json. Exits with 1 when a first start takes more than 30 s of CPU time or 3 GiB,
or a later start more than 1 s of CPU time.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from timing import write

from datamodules.coco.files import CATEGORIES
from lit_cv.bench.cost import device_name

IMAGES, OBJECTS, WIDTH, HEIGHT = 118_287, 860_001, 640, 480
CROWDS, SECOND_POLYGON = 0.012, 0.09  # shares of the objects
CHUNK = 10_000
TARGETS = {"first_core_seconds": 30.0, "first_gib": 3.0, "later_core_seconds": 1.0}


def generate(root: Path, objects: int) -> int:
    """Write the annotations and empty files for the images; return the size of the JSON file in bytes."""
    rng = np.random.default_rng(0)
    images = max(1, objects * IMAGES // OBJECTS)
    (root / "train2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    listed = []
    for number in range(1, images + 1):
        name, host = f"{number:012d}.jpg", "http://images.cocodataset.org/train2017/"
        (root / "train2017" / name).touch()
        listed.append(
            {"license": 3, "file_name": name, "coco_url": host + name, "height": HEIGHT, "width": WIDTH,
             "date_captured": "2013-11-14 11:18:45", "flickr_url": f"http://farm9.staticflickr.com/{name}",
             "id": number}
        )  # fmt: skip
    file = root / "annotations" / "instances_train2017.json"
    kinds = [{"supercategory": "thing", "id": number, "name": name} for number, name in CATEGORIES.items()]
    with file.open("wb") as stream:
        stream.write(
            b'{"info": {"year": 2017}, "licenses": [], "images": ' + orjson.dumps(listed) + b', "annotations": ['
        )
        records = annotations(rng, min(CHUNK, objects))
        for first in range(0, objects, CHUNK):  # the same shapes are repeated in other images
            count = min(CHUNK, objects - first)
            owners = rng.integers(1, images + 1, count).tolist()
            for number, owner in enumerate(owners):
                records[number] |= {"id": first + number + 1, "image_id": owner}
            stream.write(b"," * (first > 0) + orjson.dumps(records[:count])[1:-1])
        stream.write(b'], "categories": ' + orjson.dumps(kinds) + b"}")
    return file.stat().st_size


def annotations(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Return blobs as polygons, and some crowds as runs.

    Polygons have 22 corners on average, which gives a file as large as the official one.
    """
    centers = rng.uniform((20, 20), (WIDTH - 20, HEIGHT - 20), (count, 2))
    radii = np.minimum(rng.lognormal(3.5, 0.9, count), 200)
    kinds = rng.choice(list(CATEGORIES), count).tolist()
    corners = np.clip(rng.lognormal(2.9, 0.65, (count, 2)), 3, 200).astype(int).tolist()
    crowds, doubled = (rng.random(count) < CROWDS).tolist(), (rng.random(count) < SECOND_POLYGON).tolist()
    records = []
    for row in range(count):
        polygons = [blob(rng, centers[row], radii[row], n) for n in corners[row][: 1 + doubled[row]]]
        points = np.concatenate(polygons)
        lower, upper = points.min(axis=0), points.max(axis=0)
        if crowds[row]:
            runs = rng.multinomial(WIDTH * HEIGHT, np.full(400, 1 / 400)).tolist()
            segmentation: Any = {"counts": runs, "size": [HEIGHT, WIDTH]}
        else:
            segmentation = [polygon.ravel().tolist() for polygon in polygons]
        records.append(
            {"segmentation": segmentation, "area": float((upper - lower).prod()) * 0.7, "iscrowd": int(crowds[row]),
             "bbox": [*lower.tolist(), *(upper - lower).round(2).tolist()], "category_id": kinds[row]}
        )  # fmt: skip
    return records


def blob(rng: np.random.Generator, center: np.ndarray, radius: float, corners: int) -> np.ndarray:
    """Return a star-shaped polygon (corners, 2) in pixels, rounded to two decimals."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = radius * rng.uniform(0.7, 1.0, corners)
    points = center + np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None]
    return points.clip(0, (WIDTH, HEIGHT)).round(2)


def start(root: Path, masks: bool) -> dict[str, float]:
    """Open the data set in this process and return the measurements."""
    from datamodules import COCODetectionDataModule, COCOInstanceDataModule

    imports = peak_gib()
    begin, used = time.perf_counter(), time.process_time()
    kind = COCOInstanceDataModule if masks else COCODetectionDataModule
    data = kind(str(root), val_sets=())
    data.prepare_data()
    data.setup()
    spent = {"seconds": time.perf_counter() - begin, "core_seconds": time.process_time() - used}
    spent["load"] = os.getloadavg()[0]  # number of runnable processes, including this one
    result = {**spent, "gib": peak_gib(), "imports_gib": imports, **data.counts}
    if masks:
        packed = data.splits["train"]
        chosen = np.random.default_rng(0).permutation(len(packed))[:200].tolist()
        begin = time.perf_counter()
        for index in chosen:
            rows = packed.rows(index)
            packed.masks(np.arange(rows.start, rows.stop), (HEIGHT, WIDTH))
        result["milliseconds_an_image"] = (time.perf_counter() - begin) / len(chosen) * 1e3
    return result


def peak_gib() -> float:
    """Return the peak resident memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux reports KiB


def in_process(root: Path, masks: bool) -> dict[str, float]:
    """Return the result of :func:`start` in a new process."""
    command = [sys.executable, __file__, "--open", str(root), *(["--masks"] if masks else [])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> int:
    """Generate the data, open them, and write the result; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=OBJECTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--masks", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        print(json.dumps(start(options.open, options.masks)))
        return 0
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "coco"
        print(f"Writing {options.objects:,} objects takes a minute ...", flush=True)
        size = generate(root, options.objects)
        os.environ["LITCV_CACHE"] = f"{folder}/cache"
        for _ in range(options.rounds):
            shutil.rmtree(os.environ["LITCV_CACHE"], ignore_errors=True)
            for kind in ("boxes", "masks"):
                for when in ("first", "later"):
                    runs.setdefault(f"{kind}_{when}", []).append(in_process(root, kind == "masks"))
                    print(f"{kind}, {when} start: {runs[f'{kind}_{when}'][-1]}", flush=True)
    figures = {
        f"{name}_{what}": statistics.median(run[what] for run in found)
        for name, found in runs.items()
        for what in ("seconds", "core_seconds", "gib")
    }
    write(
        "coco_json-cpu",
        {"objects": options.objects, "json_mib": size / 2**20, "median": figures, "targets": TARGETS, "runs": runs,
         "cpus": os.cpu_count(), "hardware": device_name(torch.device("cpu"))},
    )  # fmt: skip
    kept = all(figures[f"{kind}_{what}"] <= limit for kind in ("boxes", "masks") for what, limit in TARGETS.items())
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
