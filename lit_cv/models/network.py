"""The contract of every network that a task trains: uint8 images and targets in, named losses or predictions out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

Target = dict[str, Tensor]


class Network(nn.Module, ABC):
    """Losses for training and predictions for use, in train and eval mode alike.

    Images are lists of uint8 RGB tensors (3, H, W) of any size, on any device. Targets are one dictionary an image; its
    keys depend on the task, further ones are ignored. Resizing and normalising happen here, on the network's device.

    Attributes:
        loss_names: The keys of ``losses()``.
        stages: Part of the network -> stage of ``predict`` that its time counts for in ``litcv bench``: ``proposals``,
            ``backbone``, ``heads`` or ``nms``. A part is a submodule or a method, by its dotted name; what a network
            does not have is passed over, and time within a part of another stage counts for the inner one.
    """

    loss_names: ClassVar[tuple[str, ...]]
    stages: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("rpn", "rpn.propose"), "proposals"),
        **dict.fromkeys(("backbone", "neck", "features"), "backbone"),
        **dict.fromkeys(("pool", "head", "heads", "class_head", "box_head", "classifier", "decoder"), "heads"),
        **dict.fromkeys(("roi_heads", "roi_heads.pool", "roi_heads.box_head", "roi_heads.classify"), "heads"),
    }

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device

    @abstractmethod
    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Compute the unweighted training losses, in train and eval mode alike.

        Args:
            images: The batch, see the class.
            targets: One an image, see the class.

        Returns:
            A float32 scalar for each of ``loss_names``, finite also for a batch without anything to learn from.
        """

    def predict(self, images: list[Tensor]) -> list[Any]:
        """Predict without gradients and as in eval mode, whatever mode the network is in.

        Args:
            images: The batch, see the class.

        Returns:
            One prediction an image; what it holds depends on the task.
        """
        with torch.no_grad(), evaluating(self):
            return self._predict(images)

    @abstractmethod
    def _predict(self, images: list[Tensor]) -> list[Any]:
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
