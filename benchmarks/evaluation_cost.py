"""Time the share of metrics in a validation epoch of a segmentation network.

Without evaluation: loading, forward pass, losses and predicted masks. With evaluation: also the confusion matrix, the
checkerboard measure and the final computation. Each batch is loaded once and processed in both ways, in alternating
order. The time of an epoch is the sum over its batches. Reports medians over epochs, also of the ratio with / without.
The target is a ratio of at most 1.05. On CPU, CPU time is measured, because other processes may share the cores. With
OMP_NUM_THREADS=1, no thread waits for another.

Example: python benchmarks/evaluation_cost.py --root data --output benchmarks/results/evaluation_cost.json
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torchvision

from datamodules import Shapes, VOCSegmentationDataModule
from lit_cv.bench.cost import device_name
from lit_cv.contract import Batch
from lit_cv.models import FCN
from lit_cv.tasks import SegmentationTask

BATCH = 8
PARTS = ("loading", "without", "with", "computing")


def make_task(data: VOCSegmentationDataModule, upsampling: str, device: str) -> SegmentationTask:
    """Return FCN-32s on SqueezeNet at 320 pixels with its metrics initialized by a Trainer."""
    torch.manual_seed(0)
    classes = len(data.class_names) + 1
    network = FCN(
        classes, backbone="squeezenet1_0", upsampling=upsampling, min_size=320, max_size=533, channels_last=True
    )
    task = SegmentationTask(network)
    trainer = L.Trainer(
        accelerator=device, devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=1,
    )  # fmt: skip
    trainer.validate(task, data, verbose=False)
    return task.to("cuda" if device == "gpu" else device)


def epoch(task: SegmentationTask, data: VOCSegmentationDataModule, batches: int, number: int) -> dict[str, float]:
    """Return the seconds of each part of an epoch of at most ``batches`` batches."""

    def without(batch: Batch) -> object:
        return task.network.evaluate(*batch)

    def complete(batch: Batch) -> object:
        losses, found = task.evaluate(batch)
        task.update_metrics(found, batch[1])
        return losses

    seconds = dict.fromkeys(PARTS, 0.0)
    loader = data.val_dataloader()
    loaded = iter(loader)
    for index in range(min(batches, len(loader))):
        taken, batch = timed(lambda: next(loaded))
        seconds["loading"] += taken
        ways = {"without": without, "with": complete}
        for name in sorted(ways, reverse=(index + number) % 2 == 0):
            seconds[name] += timed(partial(ways[name], batch))[0]
    seconds["computing"], _ = timed(task.compute_metrics)
    return seconds


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Call a function and return its time in seconds and its result."""
    start = now()
    result = work()
    return now() - start, result


def now() -> float:
    """Return the CPU time in seconds, or with a GPU the wall time after its work is done."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


@torch.inference_mode()  # as in the Trainer
def measure(task: SegmentationTask, data: VOCSegmentationDataModule, batches: int, rounds: int) -> dict[str, Any]:
    """Return the medians over the epochs and the ratio of an epoch with evaluation to one without."""
    epochs = [epoch(task, data, batches, number) for number in range(rounds + 1)][1:]  # the first warms up
    ratios = [
        (parts["loading"] + parts["with"] + parts["computing"]) / (parts["loading"] + parts["without"])
        for parts in epochs
    ]
    return {
        "seconds_per_epoch": {name: statistics.median(parts[name] for parts in epochs) for name in PARTS},
        "ratio": round(statistics.median(ratios), 4),
        "ratio_range": [round(min(ratios), 4), round(max(ratios), 4)],
        "batches": batches,
        "rounds": rounds,
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder with VOCdevkit/VOC2012 (default: generated images)")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--upsampling", nargs="+", default=["bilinear", "transposed"])
    parser.add_argument("--batches", type=int, default=6, help="batches of 8 images per epoch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="measured epochs (default %(default)s)")
    parser.add_argument("--output", type=Path, help="also write the result to this JSON file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shapes = Shapes(train=BATCH, val=64, size=430)  # as many pixels as 500x375
        data = VOCSegmentationDataModule(
            args.root or folder, "local" if args.root else "shapes", batch_size=BATCH, shapes=shapes
        )
        data.prepare_data()
        data.setup()
        results = {
            name: measure(make_task(data, name, args.device), data, args.batches, args.rounds)
            for name in args.upsampling
        }
        result = {
            "benchmark": "evaluation_cost",
            "hardware": device_name(torch.device("cuda" if args.device == "gpu" else "cpu")),
            "threads": torch.get_num_threads(),
            "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
            "data": {"counts": data.counts, "fingerprint": data.fingerprint},
            "network": "FCN-32s, squeezenet1_0, 320 pixels, float32, channels_last",
            "batch": BATCH,
            "results": results,
        }
    text = json.dumps(result, indent=2)
    print(text)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
