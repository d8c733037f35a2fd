"""What the processes (ranks) of a training step share, so that together they compute what one process would.

Each rank holds a slice of the global batch: the same number of images, in the order of the ranks. Its gradients are
averaged over the ranks, so a loss that is a sum over n things, divided by ``shared_count`` of them, becomes the loss of
the global batch. Losses that are divided by the number of images need nothing: that is the same on every rank.

All of this holds inside ``global_batch`` alone, which a training step enters, and the functions are collective there:
every rank calls the same ones in the same order. Elsewhere each rank is by itself: evaluation batches are whole, and
not every rank has equally many.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

_inside = False


@contextmanager
def global_batch() -> Iterator[None]:
    """Let the losses in a ``with`` block be those of the global batch, on all ranks together."""
    global _inside
    before, _inside = _inside, True
    try:
        yield
    finally:
        _inside = before


def world_size() -> int:
    """Return the number of ranks that share the batch, 1 outside ``global_batch``."""
    return dist.get_world_size() if _inside and dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the place of this process's slice in the batch, 0 outside ``global_batch``."""
    return dist.get_rank() if world_size() > 1 else 0


def shared_count(members: Tensor) -> Tensor:
    """Return by what a rank divides its sum, so that the mean over the ranks is the mean over all members.

    Args:
        members: bool (...), true for each thing that this rank's sum is over.

    Returns:
        Their number on all ranks, at least 1, over the number of ranks; a scalar.
    """
    count = members.sum()
    ranks = world_size()
    if ranks == 1:
        return count.clamp(min=1)
    dist.all_reduce(count)
    return count.clamp(min=1) / ranks


def largest_size(sizes: list[tuple[int, int]], device: torch.device) -> tuple[int, int]:
    """Return the largest height and the largest width of the images of all ranks."""
    height, width = (max(side) for side in zip(*sizes, strict=True))
    if world_size() == 1:
        return height, width
    largest = torch.tensor((height, width), device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    height, width = largest.tolist()
    return height, width


def first_row(rows: int, device: torch.device) -> Tensor | int:
    """Return how many rows the ranks before this one have, when this one has ``rows``."""
    ranks = world_size()
    if ranks == 1:
        return 0
    counts = torch.empty(ranks, dtype=torch.int64, device=device)
    dist.all_gather_into_tensor(counts, torch.full((1,), rows, device=device))
    return counts[: rank()].sum()


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Join the rows of all ranks, (N, ...) with any N each, and say where this rank's begin; without gradients."""
    ranks = world_size()
    if ranks == 1:
        return rows, 0
    counts = torch.empty(ranks, dtype=torch.int64, device=rows.device)
    dist.all_gather_into_tensor(counts, torch.full((1,), len(rows), device=rows.device))
    lengths: list[int] = counts.tolist()
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    joined = torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])
    return joined, sum(lengths[: rank()])
