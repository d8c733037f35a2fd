"""Base classes of networks by the sizes to which they resize their images."""

from typing import Any

import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD, ImageBatch, batch_images, fit_size, size_of
from lit_cv.models.network import Network
from lit_cv.ops.global_batch import largest_size, rank
from lit_cv.ops.global_random import uniform
from lit_cv.ops.limits import at_least

MinSize = int | list[int] | None
"""Length of the shorter side of the resized image, see ``FittedImages``."""


class FittedImages(Network):
    """A network that resizes images with their aspect ratio.

    Args:
        min_size: Length of the shorter side of the resized image in pixels; None keeps the size of each image. Several
            lengths train at several scales: each training image gets one of them at random, and the last one is used
            in eval mode, as in torchvision's ``GeneralizedRCNNTransform``.
        max_size: Maximum length of the longer side in pixels, if ``min_size`` is set.
        options: Arguments of ``Network``.

    Attributes:
        divisible: Height and width of the padded batch are multiples of this number.
        eval_scale: Factor of the size of resized images in eval mode; test-time augmentation sets it.
    """

    divisible: int = 32
    eval_scale: float = 1.0

    def __init__(self, *args: Any, min_size: MinSize = 800, max_size: int = 1333, **options: Any) -> None:
        super().__init__(*args, **options)
        at_least(1, min_size=min_size, max_size=max_size)
        if min_size == []:
            raise UserError("min_size is an empty list; give lengths of the shorter side, or null.")
        self.min_size, self.max_size = min_size, max_size

    def batch(self, images: list[Tensor]) -> ImageBatch:
        """Resize and normalize the images of a batch and pad them to the largest one of all ranks."""
        sizes = [size_of(image) for image in images]
        if (shorter := self._shorter_sides(len(images))) is not None:
            sizes = [fit_size(size, side, self.max_size) for size, side in zip(sizes, shorter, strict=True)]
        if not self.training and (factor := self.eval_scale) != 1:
            sizes = [(max(1, round(height * factor)), max(1, round(width * factor))) for height, width in sizes]
        common, last = largest_size(sizes, self.device), self.channels_last
        batch = batch_images(images, sizes, self.device, divisible=self.divisible, channels_last=last, at_least=common)
        return batch._replace(pixels=batch.pixels.to(self.dtype))

    @property
    def eval_min_size(self) -> int | None:
        """Length of the shorter side in eval mode; None keeps the size of each image."""
        return self.min_size[-1] if isinstance(self.min_size, list) else self.min_size

    def _shorter_sides(self, count: int) -> list[int] | None:
        """Return the length for each image of a batch; random ones belong to the images of the global batch."""
        if self.training and isinstance(self.min_size, list) and len(self.min_size) > 1:
            places = uniform((count,), torch.device("cpu"), rank() * count).mul(len(self.min_size)).long()
            return [self.min_size[place] for place in places.tolist()]
        return None if self.eval_min_size is None else [self.eval_min_size] * count


class SquareImages(Network):
    """A network that resizes images to a square, without keeping their aspect ratio.

    Args:
        size: Height and width of the resized image in pixels.
        options: Arguments of ``Network``.

    Attributes:
        mean: Mean of each channel, for pixels in [0, 1].
        std: Standard deviation of each channel, for pixels in [0, 1].
    """

    mean = IMAGENET_MEAN
    std = IMAGENET_STD

    def __init__(self, *args: Any, size: int = 224, **options: Any) -> None:
        super().__init__(*args, **options)
        at_least(1, size=size)
        self.size = size

    def batch(self, images: list[Tensor]) -> ImageBatch:
        """Resize and normalize the images of a batch."""
        sizes = [(self.size, self.size)] * len(images)
        batch = batch_images(
            images, sizes, self.device, self.mean, self.std, divisible=1, channels_last=self.channels_last
        )
        return batch._replace(pixels=batch.pixels.to(self.dtype))
