"""Fully connected heads on the pooled map of a square image, for networks that describe it by a few numbers."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lit_cv.errors import UserError
from lit_cv.models.layers.dropout import Dropout


def average_pool(size: int, stride: int, pool: int) -> nn.Module:
    """Build the average pooling of a backbone's last map to ``pool`` x ``pool`` cells of equal extent.

    Unlike ``AdaptiveAvgPool2d``, its backward pass is deterministic on GPU too.

    Args:
        size: Pixels of both sides of the image.
        stride: Pixels between two cells of the map.
        pool: Cells of each side of the pooled map.

    Returns:
        A module that maps (B, C, ``size / stride``, ``size / stride``) to (B, C, ``pool``, ``pool``).

    Raises:
        UserError: The cells of the map do not divide by ``pool``.
    """
    if size % (stride * pool):
        raise UserError(
            f"size={size}, pool={pool}: the backbone's last map has stride {stride}, so size must be a multiple of "
            f"{stride} x {pool} = {stride * pool}."
        )
    return nn.AvgPool2d(size // stride // pool)


def fully_connected(channels: int, pool: int, features: Sequence[int], dropout: float, outputs: int) -> nn.Sequential:
    """Build fully connected layers with random weights: hidden ones, each with ReLU and dropout, and a linear last one.

    Args:
        channels: Of the pooled map.
        pool: Height and width of the pooled map.
        features: Width of each hidden layer; none for a single linear layer.
        dropout: Probability in [0, 1) that an output of a hidden layer is set to zero in training.
        outputs: Width of the last layer.

    Returns:
        A module that maps (B, ``channels``, ``pool``, ``pool``) to (B, ``outputs``).
    """
    layers: list[nn.Module] = [nn.Flatten()]
    widths = [channels * pool**2, *features]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True), Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
