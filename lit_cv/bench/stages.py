"""Seconds by stage: a clock that counts for one stage at a time, and the calls that switch it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from lit_cv.models.network import Network
from lit_cv.ops.stages import observed_by, stage

REST = "rest"
STAGES = ("proposals", "backbone", "heads", "nms", REST)


class StageClock:
    """Counts every moment for the innermost open stage, or for ``rest`` if no stage is open.

    So the time of a stage excludes the stages inside it, and all stages sum to the total time. The clock waits for the
    device's queue at every change of stage.

    Args:
        device: Device of the work.

    Attributes:
        seconds: Seconds of each stage so far, in the order of ``STAGES``.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start()

    def start(self) -> None:
        """Set all stages to zero and count for ``rest``."""
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._open = [REST]
        wait(self.device)
        self._last = time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Return the seconds of each stage since ``start``."""
        self._count()
        return self.seconds

    def enter(self, name: str) -> None:
        """Open a stage."""
        if name != self._open[-1]:
            self._count()
        self._open.append(name)

    def leave(self) -> None:
        """Close the innermost stage."""
        if self._open[-1] != self._open[-2]:
            self._count()
        self._open.pop()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Open a stage for the length of a ``with`` block."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def _count(self) -> None:
        wait(self.device)
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._last
        self._last = now


def wait(device: torch.device) -> None:
    """Wait until the device has finished its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def staged(network: nn.Module, clock: StageClock) -> Iterator[None]:
    """Switch a clock by the calls of a network's parts, for the length of a ``with`` block.

    The parts are those of ``Network.stages``: modules through forward hooks, methods through wrappers on their object.
    Functions decorated with ``lit_cv.ops.stages.stage``, such as NMS and Selective Search, count as well.
    """
    with ExitStack() as undo, observed_by(clock.stage):
        for path, name in getattr(network, "stages", Network.stages).items():
            owner, _, attribute = path.rpartition(".")
            part = _find(network, path)
            if isinstance(part, nn.Module):
                for module in _called_modules(part):
                    _add_hooks(undo, module, clock, name)
            elif callable(part):
                _wrap_method(undo, _find(network, owner), attribute, stage(name)(part))
        yield


def _find(network: nn.Module, path: str) -> Any:
    """Return the part of a dotted name; None if it is missing."""
    found: Any = network
    for name in filter(None, path.split(".")):
        found = getattr(found, name, None)
    return found


def _called_modules(part: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that are called: a list or dictionary of modules is not, but its members are."""
    if type(part).forward is nn.Module.forward:
        for child in part.children():
            yield from _called_modules(child)
    else:
        yield part


def _add_hooks(undo: ExitStack, module: nn.Module, clock: StageClock, name: str) -> None:
    enter = module.register_forward_pre_hook(lambda *_: clock.enter(name), prepend=True)
    leave = module.register_forward_hook(lambda *_: clock.leave(), always_call=True)
    undo.callback(enter.remove)
    undo.callback(leave.remove)


def _wrap_method(undo: ExitStack, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Set an attribute of an object until ``undo`` ends; an attribute of its class is visible again then."""
    own = vars(owner)
    undo.callback(setattr, owner, name, own[name]) if name in own else undo.callback(delattr, owner, name)
    setattr(owner, name, wrapper)
