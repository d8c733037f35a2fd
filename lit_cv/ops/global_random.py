"""Random numbers that belong to a place in the global batch, whatever the number of processes.

A generator gives its numbers in the order in which they are asked for, so the image that comes second on one process
gets others than the same image that comes first on another. Here a number is a hash (SplitMix64, Steele et al. 2014)
of the call, the row and the place in the row, all computed at once, and the same on every device.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Two's complement of 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9 and 0x94D049BB133111EB: int64 wraps around as uint64 does.
GAMMA, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
BITS = 53  # of a float64's fraction: two equal numbers, which would be sorted at will, practically never occur


def uniform(shape: Sequence[int], device: torch.device, first_row: Tensor | int = 0) -> Tensor:
    """Draw numbers in [0, 1).

    One number is taken from PyTorch's global stream on the CPU, so every rank must make the same calls from the same
    seed. A number depends on it, on its row and on its place in the row, and not on the number or length of the rows.

    Args:
        shape: Rows first, at least one dimension.
        device: Where to compute.
        first_row: Place of the first row among those of all ranks, see ``lit_cv.ops.global_batch``.

    Returns:
        float64 (``shape``).
    """
    key = int(torch.randint(2**63 - 1, (), device="cpu"))
    length = torch.Size(shape[1:]).numel()
    rows = _mixed((torch.arange(shape[0], device=device) + first_row).mul_(GAMMA).add_(key))
    places = torch.arange(length, device=device).mul_(GAMMA)
    numbers = _mixed(rows[:, None] + places)
    return numbers.bitwise_and_(2**BITS - 1).double().mul_(2.0**-BITS).view(*shape)


def _mixed(numbers: Tensor) -> Tensor:
    """Scramble the bits of int64 numbers, in place."""
    for shift, factor in ((30, FIRST), (27, SECOND)):
        numbers.bitwise_xor_(_shifted(numbers, shift)).mul_(factor)
    return numbers.bitwise_xor_(_shifted(numbers, 31))


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Shift to the right and fill with zeros; PyTorch fills with the sign."""
    return (numbers >> bits).bitwise_and_(2 ** (64 - bits) - 1)
