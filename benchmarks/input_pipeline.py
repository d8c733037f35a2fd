"""Time the input pipeline, from JPEG to augmented batch with boxes, and measure the memory of its workers.

Speed: compared with torchvision v2 on one core, with the same files and the same augmentation (IoU-constrained crop,
mirroring, and changes of brightness, contrast, saturation and hue, each with probability 0.5). The pipelines take
turns. Medians of CPU time are reported. torchvision decodes with PIL and runs v2 transforms on PIL images or on
tensors, with color changes after the crop (as ours) or before it (as torchvision's reference). All four variants are
measured. The ratio refers to the fastest.

``ours, cached`` reads decoded pictures (``data.cache: decoded``), which are written before the measurement. Its samples
are those of ``ours``, to the bit. From the second round on, all files are in memory (the page cache of the system), so
that disks do not count.

Transfer: batches of 16 from one worker to the training process, ours and a list of dicts of tensors.

Memory: one epoch over 100,000 annotated images with 1 and 4 workers, ours and a Python list of dicts. Private dirty
memory is the memory that a worker shares with no other process.

Example: python benchmarks/input_pipeline.py --root data --output benchmarks/results/input_pipeline.json
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from datamodules import Shapes, VOCDetectionDataModule
from datamodules.boxes.dataset import DetectionDataset
from datamodules.loading.loader import Loader, collate
from datamodules.loading.sampling import TrainBatches
from datamodules.shapes.scenes import CLASS_NAMES
from datamodules.voc.generated import write_voc
from datamodules.voc.packed_voc import ImageRecord, open_annotations
from lit_cv.bench.cost import device_name

BATCH = 16


class Peer(Dataset):
    """PIL decoding and torchvision v2 transforms on PIL images or tensors, color changes before or after the crop."""

    def __init__(self, ours: DetectionDataset, on: str, colors: str) -> None:
        table = ours.packed
        self.paths = [ours.root / table.name(index) for index in range(len(table))]
        self.boxes = [torch.from_numpy(table.boxes[table.rows(index)].copy()) for index in range(len(table))]
        self.labels = [torch.from_numpy(table.labels[table.rows(index)].copy()) for index in range(len(table))]
        jitter = ({"brightness": 32 / 255}, {"contrast": 0.5}, {"saturation": 0.5}, {"hue": 18 / 360})
        distortion = [v2.RandomApply([v2.ColorJitter(**amount)], p=0.5) for amount in jitter]
        crop = [v2.RandomIoUCrop(), v2.SanitizeBoundingBoxes()]
        steps = [*(crop + distortion if colors == "last" else distortion + crop), v2.RandomHorizontalFlip(0.5)]
        self.transform = v2.Compose([v2.ToImage(), *steps] if on == "tensors" else [*steps, v2.ToImage()])

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        _, index = key
        image = Image.open(self.paths[index]).convert("RGB")
        boxes = tv_tensors.BoundingBoxes(self.boxes[index], format="XYXY", canvas_size=image.size[::-1])
        return self.transform(image, {"boxes": boxes, "labels": self.labels[index]})


def rate(dataset: Dataset, keys: list[tuple[int, int]]) -> float:
    """Return the images per second of CPU time for batches made in this process."""
    start = time.process_time()  # not wall time: other processes may share the core
    for first in range(0, len(keys), BATCH):
        collate([dataset[key] for key in keys[first : first + BATCH]])
    return len(keys) / (time.process_time() - start)


def speed(data: VOCDetectionDataModule, cached: VOCDetectionDataModule, rounds: int) -> dict[str, Any]:
    """Return the median images per second of each pipeline, timed in turns."""
    ours = data.train_dataloader().dataset
    fast = cached.train_dataloader().dataset
    assert all(torch.equal(ours[0, index][0], fast[0, index][0]) for index in range(len(ours)))
    peers = {
        f"v2 on {on}, colors {colors}": Peer(ours, on, colors)
        for on in ("PIL", "tensors")
        for colors in ("last", "first")
    }
    datasets = {"ours": ours, "ours, cached": fast, **peers}
    count = min(len(ours), 2 * BATCH)
    rates: dict[str, list[float]] = {name: [] for name in datasets}
    for epoch in range(rounds + 1):
        keys = [(epoch, (epoch * count + i) % len(ours)) for i in range(count)]
        for name, dataset in datasets.items():
            measured = rate(dataset, keys)
            if epoch:  # the first round warms up
                rates[name].append(measured)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    peer = max(peers, key=medians.__getitem__)
    return {
        "images_per_second": {name: round(value, 1) for name, value in medians.items()},
        "fastest_peer": peer,
        **ratio_of("ratio", rates["ours"], rates[peer]),
        **ratio_of("cached_ratio", rates["ours, cached"], rates[peer]),
        "rounds": rounds,
        "images_per_round": count,
    }


def ratio_of(name: str, mine: list[float], others: list[float]) -> dict[str, Any]:
    """Return the median and the range of the ratios of paired rounds."""
    ratios = [one / other for one, other in zip(mine, others, strict=True)]
    return {name: round(statistics.median(ratios), 2), f"{name}_range": [round(min(ratios), 2), round(max(ratios), 2)]}


class Ready(Dataset):
    """Precomputed samples, to time only the transfer from a worker to the training process."""

    def __init__(self, ours: DetectionDataset) -> None:
        self.samples = [ours[0, index] for index in range(BATCH)]

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return self.samples[key[1] % BATCH]


def transfer(data: VOCDetectionDataModule, rounds: int = 5) -> dict[str, Any]:
    """Return the milliseconds per batch from one worker: wall time, and CPU time of the training process."""
    ready = Ready(data.train_dataloader().dataset)
    batches = TrainBatches(40 * BATCH, BATCH, seed=0)
    loaders = {
        "ours": lambda: Loader(ready, batches, num_workers=1, pin_memory=False),
        "list of dicts of tensors": lambda: DataLoader(ready, batch_sampler=batches, num_workers=1, collate_fn=collate),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for _ in range(rounds):
        for name, make in loaders.items():
            iterator = iter(make())
            next(iterator)
            start = time.perf_counter(), time.process_time()
            count = sum(1 for _ in iterator)
            times[name].append(
                (1e3 * (time.perf_counter() - start[0]) / count, 1e3 * (time.process_time() - start[1]) / count)
            )
    return {
        name: {
            "ms_per_batch": round(statistics.median(wall for wall, _ in values), 2),
            "cpu_ms_of_training_process": round(statistics.median(cpu for _, cpu in values), 2),
        }
        for name, values in times.items()
    }


class ListDataset(Dataset):
    """Data set that keeps its annotations in the usual way, as a Python list of dicts."""

    def __init__(self, ours: DetectionDataset) -> None:
        table = ours.packed
        self.ours = ours
        self.items = [
            {"boxes": table.boxes[table.rows(i)].tolist(), "labels": table.labels[table.rows(i)].tolist()}
            for i in range(len(table))
        ]

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        item = self.items[key[1]]
        image, _ = self.ours[0, key[1] % 8]
        return image, {"boxes": torch.tensor(item["boxes"]), "labels": torch.tensor(item["labels"])}


def records(names: list[str], size: int, images: int) -> Iterator[ImageRecord]:
    """Yield the annotations of many images that share eight files."""
    for index in range(images):
        boxes = [(i, i, i + 10.0, i + 10.0) for i in range(1 + index % 13)]
        yield ImageRecord(
            names[index % 8], (size, size), boxes, [1 + i % 3 for i in range(len(boxes))], [False] * len(boxes)
        )


def resident(pids: list[int]) -> dict[str, float]:
    """Return the mean private dirty memory and the total proportional memory of processes, in MiB."""
    totals = {"Private_Dirty": 0, "Pss": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in totals:
                totals[name] += int(value.split()[0])
    return {
        "private_dirty_per_worker": round(totals["Private_Dirty"] / len(pids) / 1024, 1),
        "pss_of_all_workers": round(totals["Pss"] / 1024, 1),
    }


def one_epoch(make: Callable[[], Dataset], images: int, workers: int) -> dict[str, Any]:
    """Return the memory of the workers after their first batches and at the end of an epoch."""
    loader: DataLoader = Loader(make(), TrainBatches(images, 50, seed=0), workers, pin_memory=False)
    for number, _ in enumerate(loader):
        if number == 4 * workers:
            begin = resident([worker.pid for worker in loader._iterator._workers])
    end = resident([worker.pid for worker in loader._iterator._workers])
    return {"begin": begin, "end": end}


def cached_memory(cached: VOCDetectionDataModule) -> dict[str, Any]:
    """Return the memory of workers that read cached pictures, by their number, after one epoch."""
    results: dict[str, Any] = {"unit": "MiB"}
    dataset = cached.train_dataloader().dataset
    for workers in (1, 4):
        loader: DataLoader = Loader(dataset, TrainBatches(len(dataset), BATCH, seed=0), workers, pin_memory=False)
        for _ in range(3):
            batches = sum(1 for _ in loader)
        results[f"{workers} workers"] = resident([worker.pid for worker in loader._iterator._workers])
    return results | {"mapped": round(dataset.pictures.file.stat().st_size / 2**20, 1), "batches": 3 * batches}


def memory(images: int) -> dict[str, Any]:
    """Return the memory of the workers (:func:`one_epoch`) by data set, number of images and number of workers."""
    results: dict[str, Any] = {"images": images, "unit": "MiB"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_voc(root, Shapes(train=8, val=1, size=32))
        names = [f"VOCdevkit/VOC2012/JPEGImages/{path.name}" for path in sorted(root.rglob("*.jpg"))][:8]
        for count in (1000, images):
            packing = multiprocessing.Process(
                target=lambda: open_annotations(root, f"{count}", lambda: records(names, 32, count), CLASS_NAMES)  # noqa: B023
            )
            packing.start()  # in its own process, so that workers do not inherit the heap of the packing
            packing.join()
            data = DetectionDataset(root, open_annotations(root, f"{count}", list, CLASS_NAMES))
            for workers in (1, 4):
                results[f"ours, {count} images, {workers} workers"] = one_epoch(lambda data=data: data, count, workers)
        results[f"list of dicts, {images} images, 4 workers"] = one_epoch(lambda: ListDataset(data), images, 4)
    return results


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder with VOCdevkit/VOC2012 (default: generated images)")
    parser.add_argument("--rounds", type=int, default=25, help="measured rounds (default %(default)s)")
    parser.add_argument("--images", type=int, default=100_000, help="images in the memory test (default %(default)s)")
    parser.add_argument("--skip-memory", action="store_true", help="measure speed and transfer only")
    parser.add_argument("--output", type=Path, help="also write the result to this JSON file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        source = "local" if args.root else "shapes"
        shapes = Shapes(train=200, val=1, size=430)  # as many pixels as 500x375
        data, cached = (
            VOCDetectionDataModule(
                args.root or folder,
                source=source,
                batch_size=BATCH,
                augmentation="ssd",
                seed=0,
                shapes=shapes,
                cache=cache,
            )
            for cache in (None, "decoded")
        )
        for one in (data, cached):
            one.prepare_data()
            one.setup()
        result: dict[str, Any] = {
            "benchmark": "input_pipeline",
            "machine": {"cpu": device_name(torch.device("cpu")), "cores_used": 1, "system": platform.platform()},
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "opencv": cv2.__version__,
                         "torchvision": torchvision.__version__},
            "data": {"source": source, "counts": data.counts, "fingerprint": data.fingerprint},
            "speed": speed(data, cached, args.rounds),
        }  # fmt: skip
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        result["transfer"] = transfer(data)
        result["memory_of_cached_pictures"] = cached_memory(cached)
    if not args.skip_memory:
        result["memory"] = memory(args.images)
    text = json.dumps(result, indent=2)
    print(text)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
