"""Time and size of the predictions that an evaluation leaves: 5,000 images with 100 boxes each, as on COCO's val2017.

Measured are the seconds to keep the predictions of all batches and to write the folder, the fingerprint of the weights
of a network with as many parameters as Faster R-CNN R50-FPN included; then the seconds to read all of them, and the
bytes on disk. With --masks, each box has a mask of about 4,000 pixels in an image of 640x480. The time is compared with
that of an evaluation at --rate images a second; the targets are 2 %, and 25 MB for boxes.

Example: OMP_NUM_THREADS=1 python benchmarks/prediction_files.py --output benchmarks/results/prediction_files.json
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from lightning.pytorch.trainer.states import RunningStage, TrainerFn

from lit_cv.ops.mask_runs import encode_masks
from lit_cv.predictions.files import Predictions
from lit_cv.training.kept_predictions import KeptPredictions

BATCH, BOXES, CLASSES = 8, 100, 80
PARAMETERS = 41_000_000


class Task:
    """The parts of a task that are recorded."""

    class_names = tuple(map(str, range(CLASSES)))

    def __init__(self) -> None:
        self.network = torch.nn.Linear(PARAMETERS // 1000, 1000, bias=False)


def predictions_of(masks: bool) -> list[dict[str, Any]]:
    """Return random predictions for the images of a batch."""
    chance, found = torch.Generator().manual_seed(1), []
    for _ in range(BATCH):
        corners = torch.rand(BOXES, 4, generator=chance) * torch.tensor([500.0, 400.0, 140.0, 80.0])
        boxes = torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:]], dim=1)
        scores = torch.rand(BOXES, generator=chance).sort(descending=True).values
        one = {"boxes": boxes, "scores": scores, "labels": torch.randint(1, CLASSES + 1, (BOXES,), generator=chance)}
        if masks:
            runs = encode_masks(_ellipses(boxes))
            one |= {"mask_runs": runs.runs, "mask_lengths": runs.lengths, "mask_size": torch.tensor(runs.size)}
        found.append(one)
    return found


def _ellipses(boxes: torch.Tensor) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(480), torch.arange(640), indexing="ij")
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=2) / 2
    across = (x - center[:, 0, None, None]) / half[:, 0, None, None]
    down = (y - center[:, 1, None, None]) / half[:, 1, None, None]
    return across**2 + down**2 < 1


def measure(images: int, masks: bool, rate: float) -> dict[str, float]:
    """Return the seconds and bytes of an evaluation of a number of images."""
    found, pixels = predictions_of(masks), [torch.empty(3, 480, 640, dtype=torch.uint8)] * BATCH
    state = SimpleNamespace(stage=RunningStage.VALIDATING, fn=TrainerFn.FITTING)
    alone = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    trainer: Any = SimpleNamespace(
        sanity_checking=False, is_global_zero=True, global_step=0, state=state, strategy=alone
    )
    with tempfile.TemporaryDirectory() as folder:
        kept, task = KeptPredictions(Path(folder)), cast(Any, Task())
        kept.on_validation_epoch_start(trainer, task)
        keeping = 0.0
        for first in range(0, images, BATCH):
            batch = pixels, [{"image_id": torch.tensor(first + place)} for place in range(BATCH)]
            start = time.process_time()
            kept.on_validation_batch_end(trainer, task, found, batch, first)
            keeping += time.process_time() - start
        start = time.process_time()
        kept.on_validation_end(trainer, task)
        writing = time.process_time() - start
        start = time.process_time()
        for _ in Predictions.open(Path(folder) / "val"):
            pass
        reading = time.process_time() - start
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.*") if file.is_file())
    share = (keeping + writing) / (images / rate)
    return {"keep_s": keeping, "write_s": writing, "read_s": reading, "megabytes": size / 1e6, "share_of_epoch": share}


def main() -> None:
    """Print and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=20.0, help="images that the network evaluates each second")
    parser.add_argument("--masks", action="store_true", help="each box has a mask")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    numbers = measure(options.images, options.masks, options.rate)
    for name, value in numbers.items():
        print(f"{name}: {value:.4g}")
    if options.output:
        options.output.write_text(
            json.dumps({"images": options.images, "rate": options.rate, **numbers}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
