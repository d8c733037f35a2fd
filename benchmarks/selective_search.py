"""Time Selective Search against that of OpenCV contrib and compare their recall of real VOC objects.

Both search each image of a VOC list in turns, on one thread, from the decoded image to the boxes. OpenCV contrib runs
in another environment, because its package cannot be installed beside plain OpenCV:

    python -m venv contrib && contrib/bin/pip install opencv-contrib-python-headless
    python benchmarks/selective_search.py --root DATA --opencv-python contrib/bin/python

Prints and writes for photos of 500 x 375 pixels the median wall time, the median CPU time (which other programs affect
less) and the median of the ratios per image; also the recall of the annotated boxes at an equal number of proposals and
at the limit.
"""

import argparse
import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numba
import numpy as np
import torch
from numpy.typing import NDArray
from timing import write
from torch import Tensor
from tqdm import tqdm

from datamodules import VOCDetectionDataModule
from lit_cv.bench.cost import device_name
from lit_cv.ops.boxes import pairwise_iou
from lit_cv.ops.selective_search.search import STRATEGIES, Mode, selective_search

SERVER = """
import json, sys, time
import cv2
cv2.setNumThreads(1)
print(cv2.__version__, flush=True)
for line in sys.stdin:
    image = cv2.imread(json.loads(line))
    wall, cpu = time.perf_counter(), time.process_time()
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(image)
    search.switchToSelectiveSearchFast()
    boxes = search.process()
    taken = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps([boxes.tolist(), *taken]), flush=True)
"""
THRESHOLDS = (0.5, 0.7)


class Search(NamedTuple):
    """Proposals (N, 4) of an image with wall time and CPU time in seconds."""

    boxes: Tensor
    wall: float
    cpu: float


class OpenCV:
    """Selective Search of OpenCV contrib, *fast* mode with default parameters, in another interpreter."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def search(self, file: Path) -> Search:
        """Search an image file."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(str(file)) + "\n")
        self.process.stdin.flush()
        boxes, wall, cpu = json.loads(self._answer())
        corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        return Search(corners, wall, cpu)


def ours(mode: Mode) -> Callable[[Path], Search]:
    """Return a function that searches an image file with our code."""

    def search(file: Path) -> Search:
        image: NDArray[np.uint8] = np.asarray(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB), np.uint8)
        wall, cpu = time.perf_counter(), time.process_time()
        boxes = selective_search(image, mode, threads=1)
        return Search(torch.from_numpy(boxes), time.perf_counter() - wall, time.process_time() - cpu)

    return search


def recalls(objects: list[Tensor], keep: list[Tensor], boxes: list[Tensor]) -> dict[str, float]:
    """Return the share of the kept objects (N, 4) with a box at an IoU of at least each threshold."""
    overlaps = [pairwise_iou(o, b).amax(dim=1)[k] for o, k, b in zip(objects, keep, boxes, strict=True)]
    return {
        f"recall_{threshold}": (torch.cat(overlaps) >= threshold).double().mean().item() for threshold in THRESHOLDS
    }


def compare(objects: list[Tensor], difficult: list[Tensor], found: dict[str, list[Tensor]]) -> dict[str, object]:
    """Return each search's recall, with and without difficult objects, and its mean number of proposals per image."""
    everything = [torch.ones_like(flags) for flags in difficult]
    easy = [~flags for flags in difficult]
    return {
        name: {
            "proposals": statistics.mean(map(len, boxes)),
            "all": recalls(objects, everything, boxes),
            "without_difficult": recalls(objects, easy, boxes),
        }
        for name, boxes in found.items()
    }


def speed(searches: dict[str, list[Search]], typical: list[int]) -> dict[str, object]:
    """Return medians over the photos of typical size and the median ratio of ours to OpenCV's."""
    chosen = {name: [some[index] for index in typical] for name, some in searches.items()}
    ratios = {
        clock: statistics.median(
            getattr(a, clock) / getattr(b, clock) for a, b in zip(chosen["fast"], chosen["opencv_fast"], strict=True)
        )
        for clock in ("wall", "cpu")
    }
    medians = {
        name: {clock: statistics.median(getattr(search, clock) for search in some) for clock in ("wall", "cpu")}
        for name, some in chosen.items()
    }
    return {"photos": len(typical), "median_seconds": medians, "ratio_fast_to_opencv_fast": ratios}


def search_all(calls: dict[str, Callable[[Path], Search]], files: list[Path]) -> dict[str, list[Search]]:
    """Search each file with all searches in turns, each time in another order."""
    searches: dict[str, list[Search]] = {name: [] for name in calls}
    order = list(calls)
    for call in calls.values():
        call(files[0])  # compile before timing
    for turn, file in enumerate(tqdm(files, unit="image")):
        random.Random(turn).shuffle(order)
        for name in order:
            searches[name].append(calls[name](file))
    return searches


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with VOCdevkit")
    parser.add_argument("--set", default="2012_val", help="image list, <year>_<list> (default %(default)s)")
    parser.add_argument("--opencv-python", required=True, help="interpreter with opencv-contrib-python-headless")
    parser.add_argument("--limit", type=int, default=2000, help="maximum number of proposals per image")
    parser.add_argument("--images", type=int, help="maximum number of images (default: all)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    data = VOCDetectionDataModule(arguments.root, val_sets=[arguments.set])
    packed = data.open_split("val")
    assert packed is not None
    chosen = range(len(packed))[: arguments.images]
    opencv = OpenCV(arguments.opencv_python)
    calls = {**{mode: ours(mode) for mode in STRATEGIES}, "opencv_fast": opencv.search}
    searches = search_all(calls, [data.root / packed.names[index].decode() for index in chosen])

    objects = [torch.from_numpy(packed.boxes[packed.rows(index)].copy()) for index in chosen]
    difficult = [torch.from_numpy(packed.difficult[packed.rows(index)].copy()) for index in chosen]
    boxes = {name: [search.boxes for search in some] for name, some in searches.items()}
    limited = {name: [found[: arguments.limit] for found in some] for name, some in boxes.items()}
    pairs = [(a[: len(b)], b[: len(a)]) for a, b in zip(boxes["fast"], boxes["opencv_fast"], strict=True)]
    equal = {"fast": [a for a, _ in pairs], "opencv_fast": [b for _, b in pairs]}
    result = {
        "setting": {"set": arguments.set, "images": len(chosen), "limit": arguments.limit, "threads": 1},
        "hardware": device_name(torch.device("cpu")),
        "versions": {"opencv_contrib": opencv.version, "numba": numba.__version__, "numpy": np.__version__},
        "objects": {"all": sum(map(len, objects)), "difficult": int(sum(flags.sum() for flags in difficult))},
        "speed_500x375": speed(searches, [i for i in chosen if sorted(packed.sizes[i].tolist()) == [375, 500]]),
        "at_equal_number": compare(objects, difficult, equal),
        "at_limit": compare(objects, difficult, limited),
        "without_limit": compare(objects, difficult, boxes),
    }
    print(json.dumps(result, indent=2))
    write("selective_search-cpu", result)


if __name__ == "__main__":
    main()
