"""A fully convolutional network with down- and upsampling inside (Stanford CS231n 2017, lecture 11)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from lit_cv.errors import UserError
from lit_cv.models.layers.upsampling import Enlarge
from lit_cv.models.segmentation.full_resolution import FullResolutionFCN


class DownUpFCN(FullResolutionFCN):
    """The layers of ``FullResolutionFCN``, each at a resolution of its own.

    Between two layers, maps become coarser by max pooling and finer by repeating each value, neither of which has
    weights. With equal ``widths`` both networks therefore have equal parameters, and with one seed equal initial
    weights. A layer at stride s computes 1 / s² of the products, and its dilation d widens the receptive field by 2ds
    pixels.

    Args:
        widths: Channels of each convolution, multiples of 8.
        strides: Stride of each convolution's map in pixels. The first one is 1; scores have the stride of the last one.
        options: Arguments of ``FullResolutionFCN``.

    Raises:
        UserError: The strides do not fit the widths, or neighbors are no multiples of each other.
    """

    def __init__(
        self,
        *args: Any,
        widths: Sequence[int] = (32, 32, 32, 32),
        strides: Sequence[int] = (1, 2, 4, 2),
        **options: Any,
    ) -> None:
        super().__init__(*args, widths=widths, **options)
        _check(widths, strides)
        self.divisible = max(strides)
        blocks: list[nn.Module] = []
        for block, (before, after) in zip(self.features, pairwise((1, *strides)), strict=True):
            if after > before:
                blocks.append(nn.MaxPool2d(after // before))
            elif after < before:
                blocks.append(Enlarge("nearest", before // after))
                self.upsampling_stride = before // after
            blocks.append(block)
        self.features = nn.Sequential(*blocks)
        self.use_memory_format()


def _check(widths: Sequence[int], strides: Sequence[int]) -> None:
    if len(strides) != len(widths) or strides[0] != 1 or min(strides) < 1:
        raise UserError(
            f"strides={list(strides)}: give {len(widths)} of at least 1, one for each width, the first is 1."
        )
    for before, after in pairwise(strides):
        if max(before, after) % min(before, after):
            raise UserError(
                f"strides={list(strides)}: {before} and {after} are neighbors, but no multiples: change one."
            )
    if max(strides) == 1:
        raise UserError(f"strides={list(strides)}: nothing is downsampled: choose FullResolutionFCN.")
