"""Time DenseCap's metric on 5,000 images with 20 target regions and 100 predictions each.

    python benchmarks/densecap_metric.py [--images 5000] [--predictions 100]

The time runs from tensors to metric values. Three settings are measured: METEOR 1.5 (requires Java and the extra
``captions``), exact matches only, and METEOR with ``language``, which also compares each prediction with all phrases of
its image, on a tenth of the images. Phrases are random words, so nearly all pairs of a phrase and its references are
distinct. Reports wall time and CPU time, which other programs affect less. Writes
benchmarks/results/densecap_metric.json. Exits with 1 when METEOR without ``language`` takes more than five minutes.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lit_cv.metrics import DenseCaptionAP

TARGETS, BATCH, SIDE = 20, 8, 720
TARGET_SECONDS = 300.0
WORDS = (
    *("a", "the", "man", "woman", "dog", "cat", "car", "tree", "street"),
    *("building", "window", "sign", "table", "chair", "plate", "shirt", "hat", "hair"),
    *("wall", "sky", "grass", "ball", "red", "blue", "green", "white", "black"),
    *("brown", "yellow", "small", "large", "old", "wooden", "metal", "glass", "wearing"),
    *("holding", "sitting", "standing", "on", "in", "of", "with", "next", "to"),
    *("behind", "under", "near", "left", "right", "top", "front", "side"),
)

Regions = list[dict[str, Any]]


def phrases(rng: np.random.Generator, count: int) -> list[str]:
    """Return phrases of two to eight frequent words."""
    lengths = rng.integers(2, 9, count)
    words = rng.choice(WORDS, int(lengths.sum()))
    return [" ".join(part) for part in np.split(words, np.cumsum(lengths)[:-1])]


def generate(images: int, predictions: int) -> tuple[Regions, Regions]:
    """Generate predictions and targets.

    Half of the predictions lie near a target and have its phrase with one word replaced. The others are random.
    """
    rng = np.random.default_rng(0)
    found, wanted = [], []
    for image_id in range(images):
        corners = rng.uniform(0, SIDE - 100, (TARGETS, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(30, 300, (TARGETS, 2))], axis=1)
        texts = phrases(rng, TARGETS)
        near = rng.integers(0, TARGETS, predictions // 2)
        far = rng.uniform(0, SIDE - 100, (predictions - len(near), 2))
        around = boxes[near] + rng.normal(0, 12, (len(near), 4))
        anywhere = np.concatenate([far, far + rng.uniform(30, 300, far.shape)], axis=1)
        changed = [texts[k].split() for k in near]
        for words in changed:
            words[int(rng.integers(len(words)))] = str(rng.choice(WORDS))
        said = [" ".join(words) for words in changed] + phrases(rng, len(far))
        every = torch.from_numpy(np.concatenate([around, anywhere]).astype(np.float32))
        scores = torch.from_numpy(rng.random(predictions))
        found.append({"boxes": every, "scores": scores, "phrases": said})
        wanted.append({"boxes": torch.from_numpy(boxes), "phrases": texts, "image_id": torch.tensor(image_id)})
    return found, wanted


def core_seconds() -> float:
    """Return the CPU time of this process and its finished children in seconds."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def evaluate(found: Regions, wanted: Regions, **options: Any) -> dict[str, Any]:
    """Return the wall time, the CPU time and the values of an evaluation."""
    metric = DenseCaptionAP(**options)
    start, used = time.perf_counter(), core_seconds()
    for first in range(0, len(wanted), BATCH):
        metric.update(found[first : first + BATCH], wanted[first : first + BATCH])
    result = metric.compute()
    seconds, cores = time.perf_counter() - start, core_seconds() - used
    print(f"{options}: {seconds:.1f} s, {cores:.1f} s of CPU time", flush=True)
    return {
        "seconds": seconds,
        "core_seconds": cores,
        **{name: value for name, value in result.items() if not name[-1].isdigit()},
    }


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--predictions", type=int, default=100)
    options = parser.parse_args()
    found, wanted = generate(options.images, options.predictions)
    few = max(1, options.images // 10)
    measured = {
        "meteor": evaluate(found, wanted, meteor="meteor"),
        "exact_match_meteor": evaluate(found, wanted, meteor="exact_match_meteor"),
        f"meteor_with_language_on_{few}_images": evaluate(found[:few], wanted[:few], meteor="meteor", language=True),
    }
    record = {
        "images": options.images,
        "targets_per_image": TARGETS,
        "predictions_per_image": options.predictions,
        "measured": measured,
        "target_seconds": TARGET_SECONDS,
        "cpus": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }
    path = Path(__file__).parent / "results" / "densecap_metric.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(path)
    return 0 if measured["meteor"]["seconds"] <= TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
