"""A cache of tensors and modules that are computed from the sizes of the images or from the current weights."""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


class TensorCache(Generic[Value]):
    """Values by the keys that they were made for.

    Args:
        limit: Maximum number of values; the oldest one is removed first.
    """

    def __init__(self, limit: int = 16) -> None:
        self.limit = limit
        self._values: dict[Hashable, Value] = {}

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of a key; make it without gradients if it is missing."""
        # The tensors of a trace are only valid inside it.
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # torch.jit has no types
        if traced or torch.compiler.is_compiling():
            return make()
        if key not in self._values:
            if len(self._values) >= self.limit:
                self._values.pop(next(iter(self._values)))
            # Validation may come first, and training cannot use tensors of inference mode.
            with torch.inference_mode(False), torch.no_grad():
                self._values[key] = make()
        return self._values[key]


def version_of(weights: Iterable[Tensor]) -> Hashable:
    """Return a key that changes with the values of weights."""
    # PyTorch counts in-place changes in the version; moving a weight to another device changes its address.
    return tuple((weight.device, weight.data_ptr(), weight._version) for weight in weights)
