"""Time RoI max pooling and RoI align on CPU, forward and backward, against torchvision's kernels.

All use the same map and 512 random regions with 7 x 7 bins, in turns, with each number of threads. A forward pass ends
with the rows (512, C * 49) that a fully connected layer reads. A backward pass starts from their gradient. Results are
compared with torchvision's. Prints and writes medians in milliseconds and the speedup of ours.

    python benchmarks/roi_ops.py
"""

import argparse
from collections.abc import Callable

import torch
import torchvision
from timing import median_seconds, write
from torch import Tensor
from torchvision.ops import roi_align, roi_pool

from lit_cv.bench.cost import device_name
from lit_cv.ops.roi import RoIOp, pool_rois

REGIONS, CHANNELS, HEIGHT, WIDTH, STRIDE, BINS = 512, 256, 38, 50, 16, 7
OPS: tuple[RoIOp, ...] = ("pool", "align")
DIRECTIONS = ("forward", "backward", "both")
Pooling = Callable[[Tensor], Tensor]


def poolings(op: RoIOp, rois: Tensor) -> dict[str, Pooling]:
    """Return our function and torchvision's to pool the regions of a map (B, C, H, W) to rows."""

    def ours(features: Tensor) -> Tensor:
        return pool_rois([features], [STRIDE], rois, BINS, op).flatten(1)

    def theirs(features: Tensor) -> Tensor:
        if op == "pool":
            return roi_pool(features, rois, BINS, 1 / STRIDE).flatten(1)
        return roi_align(features, rois, BINS, 1 / STRIDE, sampling_ratio=2).flatten(1)

    return {"ours": ours, "torchvision": theirs}


def calls_of(op: RoIOp) -> dict[str, Callable[[], object]]:
    """Compare the results and return the calls to time."""
    torch.manual_seed(0)
    corners = torch.rand(REGIONS, 2, 2).sort(dim=1).values * torch.tensor([WIDTH * STRIDE, HEIGHT * STRIDE])
    rois = torch.cat((torch.zeros(REGIONS, 1), corners.flatten(1)), dim=1)
    features = torch.randn(1, CHANNELS, HEIGHT, WIDTH).relu().requires_grad_()
    gradient = torch.randn(REGIONS, CHANNELS * BINS**2)
    calls: dict[str, Callable[[], object]] = {}
    results = []
    for way, pooling in poolings(op, rois).items():
        rows = pooling(features)
        results.append((rows, *torch.autograd.grad(rows, features, gradient, retain_graph=True)))
        calls[f"{op}/forward/{way}"] = lambda pooling=pooling: pooling(features)
        calls[f"{op}/backward/{way}"] = lambda rows=rows: torch.autograd.grad(
            rows, features, gradient, retain_graph=True
        )
        calls[f"{op}/both/{way}"] = lambda pooling=pooling: torch.autograd.grad(pooling(features), features, gradient)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    return calls


def measure(threads: int, repeats: int) -> dict[str, object]:
    """Time both operators with the given number of threads."""
    torch.set_num_threads(threads)
    calls = {name: call for op in OPS for name, call in calls_of(op).items()}
    taken = {name: 1e3 * seconds for name, seconds in median_seconds(calls, repeats, warmup=2).items()}
    keys = [f"{op}/{direction}" for op in OPS for direction in DIRECTIONS]
    speedup = {key: taken[f"{key}/torchvision"] / taken[f"{key}/ours"] for key in keys}
    return {"threads": threads, "milliseconds": taken, "times_as_fast_as_torchvision": speedup}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    rows = [measure(threads, arguments.repeats) for threads in arguments.threads]
    for row in rows:
        print(f"{row['threads']} threads")
        for name, value in {**row["milliseconds"], **row["times_as_fast_as_torchvision"]}.items():
            print(f"  {name:28s} {value:8.2f}")
    setting = {"regions": REGIONS, "channels": CHANNELS, "map": [HEIGHT, WIDTH], "stride": STRIDE, "bins": BINS}
    write(
        "roi_ops-cpu",
        {
            "setting": {**vars(arguments), **setting},
            "hardware": device_name(torch.device("cpu")),
            "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
            "results": rows,
        },
    )


if __name__ == "__main__":
    main()
