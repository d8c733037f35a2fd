"""Average pooling and fully connected layers that map a square image to a few numbers."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lit_cv.errors import UserError
from lit_cv.models.layers.dropout import Dropout


def average_pool(size: int, stride: int, pool: int) -> nn.Module:
    """Build an average pooling from a backbone's last map to ``pool`` x ``pool`` cells of equal extent.

    Unlike ``AdaptiveAvgPool2d``, it has a deterministic backward pass on GPUs, too.

    Args:
        size: Height and width of the image in pixels.
        stride: Pixels between two cells of the map.
        pool: Height and width of the pooled map in cells.

    Returns:
        A module that maps (B, C, ``size / stride``, ``size / stride``) to (B, C, ``pool``, ``pool``).

    Raises:
        UserError: The size of the map is not a multiple of ``pool``.
    """
    if size % (stride * pool):
        raise UserError(
            f"size={size}, pool={pool}: the backbone's last map has stride {stride}, so size must be a multiple of "
            f"{stride} x {pool} = {stride * pool}."
        )
    return nn.AvgPool2d(size // stride // pool)


def fully_connected(channels: int, pool: int, features: Sequence[int], dropout: float, outputs: int) -> nn.Sequential:
    """Build randomly initialized hidden layers, each with ReLU and dropout, and a linear output layer.

    Args:
        channels: Channels of the pooled map.
        pool: Height and width of the pooled map.
        features: Width of each hidden layer; an empty sequence gives a single linear layer.
        dropout: Dropout probability of the hidden units, in [0, 1).
        outputs: Width of the output layer.

    Returns:
        A module that maps (B, ``channels``, ``pool``, ``pool``) to (B, ``outputs``).
    """
    layers: list[nn.Module] = [nn.Flatten()]
    widths = [channels * pool**2, *features]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True), Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
