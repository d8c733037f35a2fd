"""Stages of a backbone, and the interface of its layers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Stage:
    """Consecutive layers whose outputs have one resolution.

    Attributes:
        layers: Their names in the backbone, first to last. Of timm's networks, the module that timm names for the map.
        stride: Pixels of the image between two cells of the output.
        channels: Channels of the output.
    """

    layers: tuple[str, ...]
    stride: int
    channels: int


class Layers(nn.Module, ABC):
    """The layers of a classification network without its classifier.

    Pixels (B, 3, H, W), normalized, become the last map (B, C, H / stride, W / stride).
    """

    @abstractmethod
    def load(self, state: dict[str, Tensor], prefix: str, source: str) -> None:
        """Load the state dict of the classification network; its classifier may be there.

        Args:
            state: The state dict.
            prefix: Beginning of the keys of these layers.
            source: Name of the weights, for messages.

        Raises:
            UserError: A parameter is missing or has another shape; the first few are named.
        """

    @abstractmethod
    def finish(self) -> list[Stage]:
        """Complete the layers after ``load``, and return their stages, finest first, measured on an empty image.

        Raises:
            UserError: The network cannot be a backbone.
        """

    @abstractmethod
    def freeze_norms(self, eps: float | None) -> None:
        """Fix the statistics and the affine parameters of all batch norms, see ``freeze_batch_norm``."""

    @abstractmethod
    def up_to(self, stages: Sequence[Stage]) -> "Layers":
        """Return the layers without those after the last of the given stages."""

    @abstractmethod
    def parameters_of(self, stages: Sequence[Stage]) -> Iterator[nn.Parameter]:
        """Return the parameters of the given stages."""

    @abstractmethod
    def freeze(self, stages: Sequence[Stage]) -> None:
        """Stop the training of the given stages and of all layers before them."""

    @abstractmethod
    def taps(self, stages: Sequence[Stage]) -> nn.Module:
        """Build a module that maps pixels to the outputs of the stages, under the keys ``"0"``, ``"1"``, ...

        Layers after the last of them are left out.
        """
