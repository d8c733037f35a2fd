"""Base class of metrics that keep their state on the CPU and gather it themselves.

This is the only file that uses private parts of torchmetrics (checked with 1.9; pyproject.toml has the upper bound):
``Metric._apply`` with ``exclude_state``, ``Metric._wrap_compute``, and the hash over the items of the states.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ClassVar

from torch import nn
from torchmetrics import Metric


class HostMetric(Metric):
    """A metric with states on the CPU, for predictions on any device.

    The synchronization of torchmetrics is switched off, because it needs states of equal shape on all ranks. So
    ``compute`` of a subclass gathers the states.

    Attributes:
        HOST_STATES: Names of the states.
    """

    HOST_STATES: ClassVar[tuple[str, ...]]
    full_state_update = False
    is_differentiable = False

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)

    def __hash__(self) -> int:
        # torchmetrics hashes the items of the states, but arrays are not hashable. Lightning's cleanup needs a hash.
        return id(self)

    def unsqueezed(self, results: Any) -> Any:
        """Restore the shapes of the results: torchmetrics turns tensors with one element into scalars."""
        return results

    def _wrap_compute(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        squeezing = super()._wrap_compute(compute)

        @wraps(compute)
        def wrapped() -> Any:
            return self.unsqueezed(squeezing())

        return wrapped

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> nn.Module:
        return super()._apply(fn, exclude_state=(*self.HOST_STATES, *exclude_state))
