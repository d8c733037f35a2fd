"""Preprocessing that ``torch.export`` can trace: the steps of ``batch_images`` for one image of any size."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD, ImageBatch
from lit_cv.models.network import Network
from lit_cv.models.resizing import FittedImages, SquareImages
from lit_cv.ops.traced.resize import traced_resize


def traced_batch(network: Network, image: Tensor) -> ImageBatch:
    """Resize, normalize and pad an image like ``network.batch([image])``, with sizes that may be symbols.

    Args:
        network: Resizes images to a square or with their aspect ratio.
        image: uint8 (3, H, W).
    """
    height, width = image.shape[-2:]
    if isinstance(network, SquareImages):
        size, padded = torch.tensor([network.size, network.size]), None
        mean, std = network.mean, network.std
        new = [network.size, network.size]
    else:
        assert isinstance(network, FittedImages)
        size = _fitted(torch.tensor([height, width]), network.min_size, network.max_size)
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        new = _numbers(size)
        # Sizes in cells: the sizes of feature maps are then products without divisions.
        padded = [network.divisible * cells for cells in _numbers((size + network.divisible - 1) // network.divisible)]
    pixels = traced_resize(image[None].float(), (new[0], new[1]))
    offset, scale = (torch.tensor(values).mul(255).view(3, 1, 1) for values in (mean, std))
    pixels = (pixels - offset) / scale
    if padded is not None:
        pixels = F.pad(pixels, (0, padded[1] - new[1], 0, padded[0] - new[0]))
    return ImageBatch(pixels, [(new[0], new[1])], [(height, width)])


def _fitted(size: Tensor, min_size: int | None, max_size: int) -> Tensor:
    """Return the result of ``fit_size`` for a size int64 (2,), with the rounding of Python's numbers."""
    if min_size is None:
        return size
    sides = size.double()
    limits = torch.tensor([min_size, max_size], dtype=torch.float64)
    scale = (limits / torch.stack((sides.min(), sides.max()))).min()
    return (sides * scale).long().clamp(min=1)


def _numbers(values: Tensor) -> list[int]:
    """Return positive numbers int64 (N,) as symbols."""
    numbers: list[int] = values.tolist()
    for number in numbers:
        torch._check(number >= 1)
    return numbers
