"""True half precision: parameters and feature maps are halved, coordinates are not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.plugins.precision import HalfPrecision


class HalfNetwork(HalfPrecision):
    """``--trainer.precision=bf16-true`` or ``16-true`` with boxes, joints and anchors in single precision.

    Lightning's plugin halves the floating-point targets and every tensor that a step makes. bfloat16 has 8 bits, so a
    box at x = 401 would move to 402.
    """

    def convert_input(self, data: Any) -> Any:
        """Return a batch as it is: images are uint8, and targets stay float32."""
        return data

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """Leave the type of new tensors as it is, float32."""
        yield


def keep_coordinates(trainer: L.Trainer) -> None:
    """Replace Lightning's plugin of true half precision, before it converts the network."""
    plugin = trainer.precision_plugin
    if type(plugin) is HalfPrecision:
        trainer.strategy.precision_plugin = HalfNetwork(plugin.precision)
