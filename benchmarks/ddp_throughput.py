"""Time training steps of Faster R-CNN on two processes (gloo, one thread each) against one process, in turns.

Both use the same global batch. Prints and writes medians and the efficiency: images per second and process on two
processes, divided by images per second on one process. An efficiency of 1 is ideal. Requires two idle cores.

    python benchmarks/ddp_throughput.py --batch 4 --steps 20
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import orjson
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timing import write
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from train_step import CLASSES, SIZES, make_batch

from lit_cv.bench.cost import device_name
from lit_cv.models import FasterRCNN
from lit_cv.ops.global_batch import global_batch

PROCESSES = 2
BACKBONE = "mobilenet_v3_large"


class Total(nn.Module):
    """Sum of the losses, as computed by the training step."""

    def __init__(self) -> None:
        super().__init__()
        low, high = SIZES[BACKBONE]
        scales = [[32.0, 64.0, 128.0, 256.0, 512.0]] * 3
        self.network = FasterRCNN(CLASSES, backbone=BACKBONE, anchor_scales=scales, min_size=low, max_size=high)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> Tensor:
        """Return the loss of this process's part of the global batch."""
        with global_batch():
            return torch.stack(list(self.network.losses(images, targets).values())).sum()


def step(module: nn.Module, optimizer: torch.optim.Optimizer, images: list[Tensor], targets: list) -> None:
    """Run one training step."""
    optimizer.zero_grad()
    module(images, targets).backward()
    optimizer.step()


def alone(count: int, warmup: int, batch: int, folder: str) -> None:
    """Run the steps of the single process, synchronized with the two processes by files."""
    torch.set_num_threads(1)
    images, targets = make_batch(batch)
    module = Total()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-4)
    seconds = []
    for turn in range(warmup + count):
        while not Path(folder, f"begin{turn}").exists():
            time.sleep(0.001)
        start = time.perf_counter()
        step(module, optimizer, images, targets)
        seconds.append(time.perf_counter() - start)
        Path(folder, f"end{turn}").touch()
    Path(folder, "one.json").write_bytes(orjson.dumps(seconds[warmup:]))


def together(rank: int, count: int, warmup: int, batch: int, folder: str) -> None:
    """Run the steps of one of the two processes, each after a step of the single process."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=PROCESSES)
    torch.manual_seed(0)
    images, targets = (part[rank * batch // PROCESSES :][: batch // PROCESSES] for part in make_batch(batch))
    module = DistributedDataParallel(Total())
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-4)
    seconds = []
    for turn in range(warmup + count):
        Path(folder, f"begin{turn}").touch()
        while not Path(folder, f"end{turn}").exists():
            time.sleep(0.001)
        dist.barrier()
        start = time.perf_counter()
        step(module, optimizer, images, targets)
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        Path(folder, "two.json").write_bytes(orjson.dumps(seconds[warmup:]))
    dist.destroy_process_group()


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4, help="images in the global batch (default %(default)s)")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=2)
    arguments = parser.parse_args()
    shared = (arguments.steps, arguments.warmup, arguments.batch)
    with tempfile.TemporaryDirectory() as folder:
        single = mp.get_context("spawn").Process(target=alone, args=(*shared, folder))
        single.start()
        mp.spawn(together, args=(*shared, folder), nprocs=PROCESSES)
        single.join()
        seconds = {name: median(orjson.loads(Path(folder, f"{name}.json").read_bytes())) for name in ("one", "two")}
    result = {
        "setting": {**vars(arguments), "backbone": BACKBONE, "threads": 1, "processes": PROCESSES},
        "hardware": device_name(torch.device("cpu")),
        "versions": {"torch": torch.__version__},
        "load": os.getloadavg(),
        "seconds": seconds,
        "images_per_second": {name: arguments.batch / value for name, value in seconds.items()},
        "efficiency": seconds["one"] / (PROCESSES * seconds["two"]),
    }
    print(
        f"{seconds['one']:.3f} s on one process, {seconds['two']:.3f} s on two: efficiency {result['efficiency']:.3f}"
    )
    write("ddp_throughput-cpu", result)


if __name__ == "__main__":
    main()
