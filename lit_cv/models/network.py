"""The interface of every network: uint8 images and targets in, named losses or predictions out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lit_cv.errors import UserError

Target = dict[str, Tensor]


class Network(nn.Module, ABC):
    """Base class of all networks. Losses and predictions can be computed in train mode and in eval mode.

    Images are lists of uint8 RGB tensors (3, H, W) of any size, on any device. Targets are one dictionary for each
    image. Their keys depend on the task, and unknown keys are ignored. The network resizes and normalizes the images on
    its own device.

    Attributes:
        loss_names: Keys of ``losses()``.
        stages: Maps a submodule or method (dotted name) to the stage of ``predict`` under which ``litcv bench`` counts
            its time: ``proposals``, ``backbone``, ``heads`` or ``nms``. Missing names are ignored. Time in a part that
            runs inside a part of another stage counts for the inner one.

    Args:
        channels_last: Whether the weights and the batches have the memory format ``torch.channels_last``. It is faster
            on CPUs and with bfloat16.
    """

    loss_names: ClassVar[tuple[str, ...]]
    stages: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("rpn", "rpn.propose"), "proposals"),
        **dict.fromkeys(("backbone", "neck", "features"), "backbone"),
        **dict.fromkeys(("pool", "head", "heads", "class_head", "box_head", "classifier", "decoder"), "heads"),
        **dict.fromkeys(("roi_heads", "roi_heads.pool", "roi_heads.box_head", "roi_heads.classify"), "heads"),
    }

    def __init__(self, channels_last: bool = False) -> None:
        super().__init__()
        self.channels_last = channels_last

    def use_memory_format(self) -> None:
        """Convert the weights to the memory format. Subclasses call it at the end of their ``__init__``."""
        if self.channels_last:
            self.to(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    @abstractmethod
    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Compute the unweighted training losses, in train mode or eval mode.

        Args:
            images: The batch, see the class.
            targets: One for each image, see the class.

        Returns:
            A float32 scalar for each of ``loss_names``. It is finite even if the batch has nothing to learn from.
        """

    def predict(self, images: list[Tensor]) -> list[Any]:
        """Predict without gradients and in eval mode; the modes of all submodules are restored.

        Args:
            images: The batch, see the class.

        Returns:
            One prediction for each image. Its type depends on the task.
        """
        with torch.no_grad(), evaluating(self):
            return self._predict(images)

    @abstractmethod
    def _predict(self, images: list[Tensor]) -> list[Any]:
        """Implement ``predict``. Gradients are off and every module is in eval mode."""


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode inside a ``with`` block, then restore the mode of each submodule."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def known_size(argument: str, size: int | None) -> int:
    """Return the size of a network that follows from the data, such as ``num_classes``.

    An experiment may leave it out or set it to null. Then ``lit_cv.training.from_data`` replaces it before it builds
    the network.

    Raises:
        UserError: The size is None.
    """
    if size is None:
        raise UserError(f"{argument} is null: give a number, or build the network with litcv, which asks the data.")
    return size
