"""Time the reading of a region_descriptions.json as large as Visual Genome's: 108,077 images with 50 regions each.

    python benchmarks/region_descriptions.py [--images 108077]

Measures the first start of a DataModule on DenseCap's splits (parsing, vocabulary, packing) and a later start from the
cache, each in a new process: wall time, CPU time, peak memory, and the part of the memory that is due to imports.
Writes benchmarks/results/region_descriptions.json. Exits with 1 when the first start takes more than 2 GiB or a later
start more than 1 s.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from datamodules import VisualGenomeDataModule
from datamodules.visual_genome.files import DENSECAP, FOLDERS, IMAGES, REGIONS

REGIONS_OF_AN_IMAGE, WORDS = 50, 60_000
WIDTH, HEIGHT = 800, 600
TARGET_GIB, TARGET_LATER = 2.0, 1.0


def write_regions(path: Path, images: int) -> int:
    """Write phrases of 1 to 12 words with frequencies by Zipf's law; return the number of phrases."""
    rng = np.random.default_rng(0)
    words = np.array([np.base_repr(31 * k + 7, 36).lower() for k in range(WORDS)])
    with path.open("wb") as file:
        for image in range(1, images + 1):
            lengths = rng.integers(1, 13, REGIONS_OF_AN_IMAGE)
            sampled = words[rng.zipf(1.3, lengths.sum()) % WORDS]
            phrases = [" ".join(part) for part in np.split(sampled, np.cumsum(lengths)[:-1])]
            corners = rng.integers(-3, 500, (REGIONS_OF_AN_IMAGE, 2)).tolist()
            sides = rng.integers(0, 300, (REGIONS_OF_AN_IMAGE, 2)).tolist()
            regions = [
                {"region_id": image * 100 + k, "width": w, "height": h, "image_id": image, "phrase": p, "y": y, "x": x}
                for k, (p, (x, y), (w, h)) in enumerate(zip(phrases, corners, sides, strict=True))
            ]
            # json.dumps, because Visual Genome's files have a space after each colon and comma.
            text = json.dumps({"regions": regions, "id": image})
            file.write((b"[" if image == 1 else b", ") + text.encode())
        file.write(b"]")
    return images * REGIONS_OF_AN_IMAGE


def generate(root: Path, images: int) -> int:
    """Write the data set with empty image files, since packing reads only their names; return the number of regions."""
    (root / FOLDERS[0]).mkdir()
    numbers = list(range(1, images + 1))
    for number in numbers:
        (root / FOLDERS[0] / f"{number}.jpg").touch()
    sizes = [{"image_id": number, "width": WIDTH, "height": HEIGHT} for number in numbers]
    (root / IMAGES).write_bytes(orjson.dumps(sizes))
    held_out = images // 20
    splits = {"train": numbers[: -2 * held_out], "val": numbers[-2 * held_out : -held_out], "test": numbers[-held_out:]}
    (root / DENSECAP).write_bytes(orjson.dumps(splits))
    return write_regions(root / REGIONS, images)


def peak_gib() -> float:
    """Return the peak resident memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def start(root: str, answers: "multiprocessing.Queue[dict[str, Any]]") -> None:
    """Open the data set in this process and put the measurements into a queue."""
    before, begin, used = peak_gib(), time.perf_counter(), time.process_time()
    data = VisualGenomeDataModule(root, test_sets=["densecap_test"])
    data.prepare_data()
    data.setup()
    vocabulary = len(data.vocabulary)
    answers.put(
        {
            "seconds": time.perf_counter() - begin,
            "core_seconds": time.process_time() - used,
            "peak_gib": peak_gib(),
            "peak_gib_of_imports": before,
            "vocabulary": vocabulary,
            "counts": data.counts,
        }
    )


def measured(root: Path) -> dict[str, Any]:
    """Return the measurements of :func:`start` in a new process."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=start, args=(str(root), answers))
    process.start()
    answer: dict[str, Any] = answers.get()
    process.join()
    return answer


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=108_077)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["LITCV_CACHE"] = f"{folder}/cache"
        print("Writing the file takes minutes ...", flush=True)
        regions = generate(root, options.images)
        first, later = measured(root), measured(root)
        megabytes = (root / REGIONS).stat().st_size / 2**20
        cache = sum(file.stat().st_size for file in (root / "cache").rglob("*.npy")) / 2**20
    record = {
        "images": options.images,
        "regions": regions,
        "json_mib": megabytes,
        "cache_mib": cache,
        "first_start": first,
        "later_start": {name: value for name, value in later.items() if name != "counts"},
        "targets": {"peak_gib": TARGET_GIB, "later_seconds": TARGET_LATER},
        "cpus": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
    path = Path(__file__).parent / "results" / "region_descriptions.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"first start {first['seconds']:.0f} s, {first['peak_gib']:.2f} GiB; later {later['seconds']:.2f} s: {path}")
    return 0 if first["peak_gib"] <= TARGET_GIB and later["seconds"] <= TARGET_LATER else 1


if __name__ == "__main__":
    sys.exit(main())
