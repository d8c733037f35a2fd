"""Collective functions that make a training step on several ranks compute the same result as on one process.

Each rank holds a slice of the global batch: the same number of images, in rank order. Gradients are averaged over the
ranks. A loss that sums over elements and divides by their ``shared_count`` therefore equals the loss of the global
batch. Losses divided by the number of images need no change, because that number is the same on every rank.

The functions are collective only inside the context ``global_batch``, which the training step enters. There, every rank
must call the same functions in the same order. Outside it each rank acts alone: evaluation batches are not split over
the ranks, and ranks can have different numbers of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

_inside = False


@contextmanager
def global_batch() -> Iterator[None]:
    """Compute the losses inside the ``with`` block over the global batch of all ranks."""
    global _inside
    before, _inside = _inside, True
    try:
        yield
    finally:
        _inside = before


def world_size() -> int:
    """Return the number of ranks that share the batch; 1 outside ``global_batch``."""
    return dist.get_world_size() if _inside and dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the position of this process's slice in the batch; 0 outside ``global_batch``."""
    return dist.get_rank() if world_size() > 1 else 0


def shared_count(members: Tensor) -> Tensor:
    """Return the divisor of a rank's sum that makes the mean over ranks equal the mean over all members.

    Args:
        members: bool (...), true for each element that enters this rank's sum.

    Returns:
        Number of members on all ranks (at least 1), divided by the number of ranks; a scalar.
    """
    count = members.sum()
    ranks = world_size()
    if ranks == 1:
        return count.clamp(min=1)
    dist.all_reduce(count)
    return count.clamp(min=1) / ranks


def largest_size(sizes: list[tuple[int, int]], device: torch.device) -> tuple[int, int]:
    """Return the maximum height and maximum width of the images on all ranks."""
    height, width = (max(side) for side in zip(*sizes, strict=True))
    if world_size() == 1:
        return height, width
    largest = torch.tensor((height, width), device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    height, width = largest.tolist()
    return height, width


def first_row(rows: int, device: torch.device) -> Tensor | int:
    """Return the total number of rows on lower ranks, where this rank has ``rows`` rows."""
    ranks = world_size()
    if ranks == 1:
        return 0
    counts = torch.empty(ranks, dtype=torch.int64, device=device)
    dist.all_gather_into_tensor(counts, torch.full((1,), rows, device=device))
    return counts[: rank()].sum()


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Join the rows (N, ...) of all ranks, without gradients, and return the offset of this rank's; N may differ."""
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
