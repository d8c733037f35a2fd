"""Time bed of nails and max unpooling (forward, and forward with backward) against other implementations.

All enlarge the same maps, 8 x 64 x 56 x 56, by a factor of two, in turns. Each result is compared with ours. Prints and
writes medians in milliseconds and the ratio of ours to the fastest other implementation (below 1 means ours is faster).

    python benchmarks/upsampling.py
"""

import argparse
from collections.abc import Callable

import torch
from timing import median_seconds, write
from torch import Tensor
from torch.nn import functional as F

from lit_cv.bench.cost import device_name
from lit_cv.ops.upsampling import bed_of_nails, max_unpool

SHAPE = (8, 64, 56, 56)
FORMATS = {"plain": torch.contiguous_format, "channels_last": torch.channels_last}
Operator = Callable[[Tensor], Tensor]


def pad_axis(x: Tensor) -> Tensor:
    """Insert an axis after each spatial axis and pad it."""
    batch, channels, height, width = x.shape
    return F.pad(x[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1)).reshape(batch, channels, 2 * height, 2 * width)


def one_hot_convolution(x: Tensor) -> Tensor:
    """Apply a transposed convolution with a single 1 in each kernel."""
    weight = x.new_zeros(x.shape[1], 1, 2, 2)
    weight[..., 0, 0] = 1
    return F.conv_transpose2d(x, weight, stride=2, groups=x.shape[1])


def write_into_zeros(x: Tensor) -> Tensor:
    """Assign the values to every second cell of a tensor of zeros."""
    larger = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    larger[..., ::2, ::2] = x
    return larger


def operators(indices: Tensor) -> dict[str, dict[str, Operator]]:
    """Return the implementations of each operator, ours first."""
    return {
        "bed_of_nails": {
            "ours": lambda x: bed_of_nails(x, 2),
            "pad_axis": pad_axis,
            "one_hot_convolution": one_hot_convolution,
            "write_into_zeros": write_into_zeros,
        },
        "max_unpool": {
            "ours": lambda x: max_unpool(x, indices, 2),
            "torch": lambda x: F.max_unpool2d(x, indices, 2),
        },
    }


def measure(memory: str, repeats: int) -> dict[str, object]:
    """Time all operators in one memory format."""
    torch.manual_seed(0)
    encoded = torch.randn(*SHAPE[:2], 2 * SHAPE[2], 2 * SHAPE[3]).contiguous(memory_format=FORMATS[memory])
    pooled, indices = F.max_pool2d(encoded, 2, return_indices=True)
    x, leaf = pooled, pooled.clone().requires_grad_()
    calls: dict[str, Callable[[], object]] = {}
    for name, ways in operators(indices).items():
        expected = ways["ours"](x)
        for way, operator in ways.items():
            torch.testing.assert_close(operator(x), expected, rtol=0, atol=0)
            calls[f"{name}/forward/{way}"] = lambda operator=operator: operator(x)
            calls[f"{name}/backward/{way}"] = lambda operator=operator: operator(leaf).backward(encoded)
    taken = {name: 1e3 * seconds for name, seconds in median_seconds(calls, repeats, warmup=2).items()}
    ratios = {}
    for key in dict.fromkeys(name.rpartition("/")[0] for name in taken):
        others = [value for name, value in taken.items() if name.startswith(key) and not name.endswith("/ours")]
        ratios[key] = taken[f"{key}/ours"] / min(others)
    return {"memory_format": memory, "milliseconds": taken, "ratio_to_fastest_other": ratios}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    rows = [measure(memory, arguments.repeats) for memory in FORMATS]
    for row in rows:
        print(row["memory_format"])
        for name, value in {**row["milliseconds"], **row["ratio_to_fastest_other"]}.items():
            print(f"  {name:40s} {value:8.3f}")
    write(
        "upsampling-cpu",
        {
            "setting": {**vars(arguments), "shape": SHAPE, "threads": torch.get_num_threads()},
            "hardware": device_name(torch.device("cpu")),
            "versions": {"torch": torch.__version__},
            "results": rows,
        },
    )


if __name__ == "__main__":
    main()
