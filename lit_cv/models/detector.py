"""The contract of every detector: uint8 images and targets in, named losses or detections out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, TypedDict

import torch
from torch import Tensor, nn

Target = dict[str, Tensor]


class Detection(TypedDict):
    """What a detector found in one image.

    Attributes:
        boxes: float32 (M, 4), ``x1, y1, x2, y2`` in pixels of the image as it was given.
        scores: float32 (M,) in [0, 1], descending.
        labels: int64 (M,), 1..C.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class Detector(nn.Module, ABC):
    """A network that finds objects.

    Images are lists of uint8 RGB tensors (3, H, W) of any size, on any device. Targets are one dictionary an image with
    ``boxes`` float32 (N, 4) ``x1, y1, x2, y2`` in pixels (x2 > x1, y2 > y1) and ``labels`` int64 (N,) in 1..C, where N
    may be 0; further keys are ignored. Resizing and normalising happen here, on the network's device.

    Attributes:
        loss_names: The keys of ``losses()``.
        num_classes: Number of classes with the background (label 0).
    """

    loss_names: ClassVar[tuple[str, ...]]
    num_classes: int

    @abstractmethod
    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Compute the unweighted training losses, in train and eval mode alike.

        Args:
            images: The batch, see the class.
            targets: One an image, see the class.

        Returns:
            A float32 scalar for each of ``loss_names``, finite also for a batch without any object.
        """

    def predict(self, images: list[Tensor]) -> list[Detection]:
        """Detect objects, without gradients and as in eval mode, whatever mode the network is in.

        Args:
            images: The batch, see the class.

        Returns:
            One detection dictionary an image.
        """
        with torch.no_grad(), evaluating(self):
            return self._detect(images)

    @abstractmethod
    def _detect(self, images: list[Tensor]) -> list[Detection]:
        """Do the work of ``predict``, with gradients off and every module in eval mode."""


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode for the length of a ``with`` block, then give each submodule its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
