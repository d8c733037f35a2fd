"""Time COCO's AP of one arm on resampled images: 5,000 images, 100 predictions each, 80 classes, 2,000 resamples.

    python benchmarks/image_bootstrap.py [--images 5000] [--resamples 2000] [--classes 80]

Predictions are made up: most of an image's objects are found several times, at all overlaps, among false positives with
lower scores on average, so that true positives reach far down the ranking, as in real evaluations.
"""

import argparse
import resource
import time

import numpy as np

from lit_cv.metrics.base import Evaluation
from lit_cv.metrics.resampling.coco import coco_rankings
from lit_cv.metrics.resampling.resample import bootstrap, multiplicities

FOUND, WANTED = 100, 7  # of an image


def made_up(images: int, classes: int) -> Evaluation:
    """Return an evaluation with as many objects and detections as COCO's validation images."""
    rng = np.random.default_rng(0)
    corner, sides = rng.random((images, WANTED, 2)) * 400, rng.gamma(2.0, 40.0, (images, WANTED, 2)) + 4
    boxes = np.concatenate([corner, corner + sides], axis=2)
    labels = np.minimum(rng.geometric(4 / classes, (images, WANTED)), classes)
    pick = rng.integers(0, WANTED, (images, FOUND))
    near = np.take_along_axis(boxes, pick[..., None], axis=1)
    sides = near[..., 2:] - near[..., :2]
    found = near + rng.normal(0, 0.12, (images, FOUND, 4)) * np.concatenate([sides, sides], axis=2)
    found[..., 2:] = np.maximum(found[..., 2:], found[..., :2] + 1)
    right = rng.random((images, FOUND)) < 0.3
    kinds = np.where(right, np.take_along_axis(labels, pick, axis=1), rng.integers(1, classes + 1, (images, FOUND)))
    scores = rng.beta(1.0, 4.0, (images, FOUND)) + 0.6 * right * rng.random((images, FOUND))
    wanted = {"image": np.repeat(np.arange(images), WANTED), "boxes": boxes.reshape(-1, 4), "labels": labels.ravel()}
    wanted["area"] = np.prod(wanted["boxes"][:, 2:] - wanted["boxes"][:, :2], axis=1)
    nothing = np.zeros(images * WANTED, dtype=bool)
    columns = {"image": np.repeat(np.arange(images), FOUND), "boxes": found.reshape(-1, 4), "scores": scores.ravel()}
    return Evaluation(list(range(images)), columns | {"labels": kinds.ravel()},
                      wanted | {"iscrowd": nothing, "difficult": nothing})  # fmt: skip


def main() -> None:
    """Print the times and the spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--classes", type=int, default=80)
    options = parser.parse_args()
    evaluation = made_up(options.images, options.classes)
    coco_rankings(made_up(4, 80), "map", [1], "bbox").values(np.ones((1, 4), dtype=np.uint8))  # compiles
    start, busy = time.perf_counter(), time.process_time()
    matches = coco_rankings(evaluation, "map", range(1, options.classes + 1), "bbox")
    matched = time.perf_counter()
    weights = multiplicities(options.images, options.resamples, seed=0)
    found = bootstrap(matches, weights, np.arange(options.images))
    end, busy = time.perf_counter(), time.process_time() - busy
    hits = sum(int(ranking.hits.sum()) for ranking in matches.rankings)
    length = sum(len(ranking.image) for ranking in matches.rankings)
    print(f"map {100 * found.whole:.2f} ± {100 * found.values.std():.2f}; {hits:,} true positives of {length:,} ranked")
    print(f"matches {matched - start:.1f} s, {options.resamples:,} resamples {end - matched:.1f} s; {busy:.1f} s "
          "of processor time together")  # fmt: skip
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
