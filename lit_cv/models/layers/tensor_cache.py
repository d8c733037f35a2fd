"""Tensors that depend on the shape of the images alone, such as anchors, kept from one batch to the next."""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

LIMIT = 16


class RecentTensors:
    """Tensors by what they were made for; the ``LIMIT`` that were made last are kept."""

    def __init__(self) -> None:
        self._tensors: dict[Hashable, Tensor] = {}

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return the tensor of a key, made now if it is not there."""
        if key not in self._tensors:
            if len(self._tensors) >= LIMIT:
                self._tensors.pop(next(iter(self._tensors)))
            with torch.inference_mode(False):  # validation may come first, and training must be able to use them
                self._tensors[key] = make()
        return self._tensors[key]
