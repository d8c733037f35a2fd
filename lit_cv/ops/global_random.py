"""Random numbers that depend on the position in the global batch, not on the number of processes.

A generator returns numbers in the order of the requests, so the numbers of an image would depend on its position in the
batch of its process. Here each number is a hash (SplitMix64, Steele et al. 2014) of the call, the row and the column.
All numbers are computed at once and are the same on every device.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Two's complement of 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9 and 0x94D049BB133111EB: int64 wraps around as uint64 does.
GAMMA, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
BITS = 53  # precision of float64: ties, which have no defined sort order, practically never occur


def uniform(shape: Sequence[int], device: torch.device, first_row: Tensor | int = 0) -> Tensor:
    """Sample uniform numbers in [0, 1).

    Each call takes one key from PyTorch's global CPU generator, so every rank must make the same calls from the same
    seed. A number depends on the key, its row and its column, but not on the number or length of the rows.

    Args:
        shape: Shape of the result with rows first, at least one dimension.
        device: Device of the computation and the result.
        first_row: Position of the first row among the rows of all ranks, see ``lit_cv.ops.global_batch``.

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
    """Scramble the bits of int64 numbers in place."""
    for shift, factor in ((30, FIRST), (27, SECOND)):
        numbers.bitwise_xor_(_shifted(numbers, shift)).mul_(factor)
    return numbers.bitwise_xor_(_shifted(numbers, 31))


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros; PyTorch's own shift fills with the sign bit."""
    return (numbers >> bits).bitwise_and_(2 ** (64 - bits) - 1)
