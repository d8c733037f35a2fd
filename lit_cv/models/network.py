"""The interface of every network: uint8 images and targets in, named losses or predictions out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.images import AnyImage, ImageBatch, as_tensor
from lit_cv.ops.limits import at_least

Target = dict[str, Tensor]
ClassOrder = Literal["first", "last", "whole"]


class Network(nn.Module, ABC):
    """Base class of all networks. Losses and predictions can be computed in train mode and in eval mode.

    Images are lists of uint8 RGB tensors (3, H, W) of any size, on any device. Targets are one dictionary for each
    image. Their keys depend on the task, and unknown keys are ignored. The network resizes and normalizes the images on
    its own device.

    ``forward`` maps tensors to raw outputs, so that hooks, summaries, FLOP counters and exporters of other projects
    work: ``torchinfo.summary(network, (1, 3, 224, 224))``, ``torch.export.export(network, (pixels,))``. Its input is
    the input of the backbone: float32 pixels (B, 3, H, W), resized and normalized. Summaries create such tensors
    themselves, exporters need fixed shapes, and gradients with respect to pixels exist; none of this is true of lists
    of uint8 images. The outputs are a tensor or a named tuple of tensors, because tracers refuse dictionaries.

    Attributes:
        loss_names: Keys of ``losses()``.
        stages: Maps a submodule or method (dotted name) to the stage of ``predict`` under which ``litcv bench`` counts
            its time: ``proposals``, ``backbone``, ``heads`` or ``nms``. Missing names are ignored. Time in a part that
            runs inside a part of another stage counts for the inner one.
        class_layers: Patterns (``fnmatch``) of the parameters with a part for each class, along their first dimension,
            and the order there: ``first``: all outputs of the first class, then all of the second; ``last``: the
            outputs of all classes for the first anchor, then those for the second; ``whole``: another order, so that
            the parameter fits the same classes only.
        class_names: Names of labels 1..C, or of the joints; ``lit_cv.load`` sets them.

    Args:
        channels_last: Whether the weights and the batches have the memory format ``torch.channels_last``. It is faster
            on CPUs and with bfloat16.
    """

    loss_names: ClassVar[tuple[str, ...]]
    class_layers: ClassVar[Mapping[str, ClassOrder]] = {}
    class_names: Sequence[str] = ()
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

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters, and of the pixels that the backbone gets."""
        return next(self.parameters()).dtype

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the raw outputs, see the class; the arguments and the outputs depend on the network."""

    @abstractmethod
    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Compute the unweighted training losses, in train mode or eval mode.

        Args:
            images: The batch, see the class.
            targets: One for each image, see the class.

        Returns:
            A float32 scalar for each of ``loss_names``. It is finite even if the batch has nothing to learn from.
        """

    def predict(self, images: Sequence[AnyImage]) -> list[Any]:
        """Predict without gradients and in eval mode; the modes of all submodules are restored.

        Args:
            images: The batch, see the class. Images of Pillow and uint8 arrays of NumPy (H, W, 3) are converted.

        Returns:
            One prediction for each image. Its type depends on the task.
        """
        with torch.no_grad(), evaluating(self):
            return self._predict([as_tensor(image) for image in images])

    @abstractmethod
    def _predict(self, images: list[Tensor]) -> list[Any]:
        """Implement ``predict``. Gradients are off and every module is in eval mode."""


class Evaluation(NamedTuple):
    """Losses and predictions of one forward pass.

    Attributes:
        losses: See ``Network.losses``.
        found: One prediction for each image.
        outputs: The raw outputs, see ``Network``.
    """

    losses: dict[str, Tensor]
    found: list[Any]
    outputs: Any


class OnePassNetwork(Network):
    """A network whose losses and predictions are both functions of the raw outputs for a batch of whole images."""

    @abstractmethod
    def batch(self, images: list[Tensor]) -> ImageBatch:
        """Resize and normalize images, see ``Network``; ``pixels`` of the batch are the input of ``forward``."""

    @abstractmethod
    def losses_of(self, outputs: Any, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the losses of raw outputs, see ``Network.losses``."""

    @abstractmethod
    def found_in(self, outputs: Any, batch: ImageBatch) -> list[Any]:
        """Convert raw outputs to predictions, see ``Network.predict``."""

    def predict_batch(self, batch: ImageBatch) -> list[Any]:
        """Predict for resized and normalized images, see ``Network.predict``."""
        return self.found_in(self(batch.pixels), batch)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``."""
        batch = self.batch(images)
        return self.losses_of(self(batch.pixels), batch, targets)

    def evaluate(self, images: list[Tensor], targets: list[Target]) -> Evaluation:
        """Compute losses and predictions in one forward pass, without gradients and in eval mode."""
        with torch.no_grad(), evaluating(self):
            batch = self.batch(images)
            outputs = self(batch.pixels)
            return Evaluation(self.losses_of(outputs, batch, targets), self.found_in(outputs, batch), outputs)

    def _predict(self, images: list[Tensor]) -> list[Any]:
        return self.predict_batch(self.batch(images))


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
        UserError: The size is None or below 1.
    """
    if size is None:
        raise UserError(f"{argument} is null: give a number, or build the network with litcv, which asks the data.")
    at_least(1, **{argument: size})
    return size
