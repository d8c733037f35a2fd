"""Time the parsing of a .mat file as large as MPII's: 25,000 images with 1.6 people each, 18,000 images labeled.

    python benchmarks/mpii_mat.py [--images 25000] [--rounds 3]

People have 16 joints. Three times are measured: parsing the .mat file, the first start of a DataModule (parsing,
reading the headers of all images, packing), and a later start from the cache. Reports wall time, and CPU time, which
other programs affect less. Writes benchmarks/results/mpii_mat.json. Exits with 1 when the first start takes more than
20 s or a later start more than 1 s.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy

from datamodules import MPIIPoseDataModule
from datamodules.pose.generated import MAT, write_mpii_mat
from datamodules.pose.mpii_files import read_mat
from datamodules.shapes.figures import Person

PEOPLE, LABELED, IMAGES_OF_A_VIDEO = 1.6, 0.72, 6
WIDTH, HEIGHT = 1280, 720
TARGET_FIRST, TARGET_LATER = 20.0, 1.0


def random_person(rng: np.random.Generator, labeled: bool) -> Person:
    """Return a person with random joints; joint flags are 0 if the person is not labeled."""
    joints = rng.uniform((40, 40), (WIDTH - 40, HEIGHT - 40), (16, 2)).round()
    flags = rng.choice([1, 2], 16, p=[0.2, 0.8]) * labeled
    return Person(joints, flags, (*(joints[9] - 30), *(joints[9] + 30)))


def generate(root: Path, images: int) -> None:
    """Write the .mat file, and one image that is linked under all names."""
    rng = np.random.default_rng(0)
    (root / MAT.parent).mkdir(parents=True)
    (root / "images").mkdir()
    names = [f"{number:09d}.jpg" for number in range(images)]
    cv2.imwrite(str(root / "one.jpg"), rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    for name in names:
        os.link(root / "one.jpg", root / "images" / name)
    counts = 1 + rng.poisson(PEOPLE - 1, images)
    labeled = rng.random(images) < LABELED
    people = [[random_person(rng, flag) for _ in range(n)] for n, flag in zip(counts, labeled, strict=True)]
    write_mpii_mat(root / MAT, names, people, [number // IMAGES_OF_A_VIDEO + 1 for number in range(images)])


def start(root: Path) -> MPIIPoseDataModule:
    """Return a prepared DataModule."""
    data = MPIIPoseDataModule(str(root))
    data.prepare_data()
    data.setup()
    return data


def timed(function: Callable[..., Any], *args: Any) -> tuple[float, float, Any]:
    """Call a function and return wall time and CPU time in seconds, and its result."""
    begin, used = time.perf_counter(), time.process_time()
    result = function(*args)
    return time.perf_counter() - begin, time.process_time() - used, result


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"parse": [], "first_start": [], "later_start": []}
    core_seconds: dict[str, list[float]] = {name: [] for name in seconds}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "mpii"
        print(f"Writing {options.images:,} images takes minutes ...", flush=True)
        generate(root, options.images)
        os.environ["LITCV_CACHE"] = f"{folder}/cache"
        for _ in range(options.rounds):
            shutil.rmtree(os.environ["LITCV_CACHE"], ignore_errors=True)
            calls = {"parse": (read_mat, root / MAT), "first_start": (start, root), "later_start": (start, root)}
            for name, (function, argument) in calls.items():
                spent, used, result = timed(function, argument)
                seconds[name].append(spent)
                core_seconds[name].append(used)
            print(", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items()), flush=True)
        counts, megabytes = result.counts, (root / MAT).stat().st_size / 2**20
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    record = {
        "images": options.images,
        "people": counts["train/people"] + counts["val/people"],
        "mat_mib": megabytes,
        "seconds": seconds,
        "core_seconds": core_seconds,
        "median_seconds": medians,
        "target_seconds": {"first_start": TARGET_FIRST, "later_start": TARGET_LATER},
        "cpus": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
    }
    path = Path(__file__).parent / "results" / "mpii_mat.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"median first start {medians['first_start']:.1f} s, later {medians['later_start']:.3f} s: {path}")
    return 0 if medians["first_start"] <= TARGET_FIRST and medians["later_start"] <= TARGET_LATER else 1


if __name__ == "__main__":
    sys.exit(main())
