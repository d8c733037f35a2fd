"""Time SlidingWindowSegmenter window by window against shared computation, at the same window strides.

Both have the same weights and segment the same image, in turns. Their scores are compared. Prints and writes the median
seconds per image, their ratio (shared / separate; below 1 means shared is faster), and the operations of both.

    python benchmarks/sliding_window.py --size 256 256 --strides 1 2 4 8 16
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from timing import synchronize
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lit_cv.bench.cost import device_name
from lit_cv.models import SlidingWindowSegmenter

RESULTS = Path(__file__).parent / "results"
CLASSES = 21


def build(arguments: argparse.Namespace, stride: int) -> dict[str, SlidingWindowSegmenter]:
    """Return both forms of the network with the same weights."""
    networks = {}
    for name, shared in (("separate", False), ("shared", True)):
        torch.manual_seed(0)
        network = SlidingWindowSegmenter(
            CLASSES, arguments.widths, stride, patch_batch=arguments.patch_batch, shared=shared
        )
        networks[name] = network.to(arguments.device).eval()
    return networks


def gflops(network: SlidingWindowSegmenter, image: Tensor) -> float:
    """Return the floating-point operations of a prediction in units of 1e9; a multiply-add counts as two."""
    with FlopCounterMode(display=False) as counter:
        network.predict([image])
    return counter.get_total_flops() / 1e9


def seconds(network: SlidingWindowSegmenter, image: Tensor) -> float:
    """Return the seconds of one prediction."""
    synchronize(image.device.type)
    start = time.perf_counter()
    network.predict([image])
    synchronize(image.device.type)
    return time.perf_counter() - start


def difference(networks: dict[str, SlidingWindowSegmenter], image: Tensor) -> float:
    """Return the maximum absolute difference between the scores of both forms."""
    with torch.no_grad():
        scores = [network(network.batch([image]).pixels) for network in networks.values()]
    return (scores[0] - scores[1]).abs().max().item()


def measure(arguments: argparse.Namespace, stride: int) -> dict[str, Any]:
    """Time both forms in turns at one window stride."""
    networks = build(arguments, stride)
    torch.manual_seed(1)
    image = torch.randint(0, 256, (3, *arguments.size), dtype=torch.uint8, device=arguments.device)
    work = {name: gflops(network, image) for name, network in networks.items()}  # also warms up
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(arguments.rounds):
        for name, network in networks.items():
            taken[name].append(seconds(network, image))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "stride": stride,
        "windows": -(-arguments.size[0] // stride) * -(-arguments.size[1] // stride),
        "seconds_per_image": medians,
        "ratio": medians["shared"] / medians["separate"],
        "gflops": work,
        "gflops_ratio": work["shared"] / work["separate"],
        "largest_difference_of_scores": difference(networks, image),
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", type=int, nargs=2, default=[256, 256], help="height and width (default %(default)s)")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64], help="channels (default %(default)s)")
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="(default %(default)s)")
    parser.add_argument("--patch-batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    patch = SlidingWindowSegmenter(CLASSES, arguments.widths).patch
    result = {
        "setting": {**vars(arguments), "patch": patch, "threads": torch.get_num_threads()},
        "hardware": device_name(torch.device(arguments.device)),
        "versions": {"torch": torch.__version__},
        "results": [measure(arguments, stride) for stride in arguments.strides],
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"sliding_window-{arguments.device}.json"
    file.write_text(json.dumps(result, indent=2) + "\n")
    for row in result["results"]:
        print(
            f"stride {row['stride']:2d}: {row['seconds_per_image']} s, ratio {row['ratio']:.4f}, "
            f"GFLOPs {row['gflops']}, scores differ by {row['largest_difference_of_scores']:.1e}"
        )
    print(file)


if __name__ == "__main__":
    main()
