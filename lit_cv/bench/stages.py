"""Seconds by stage: a clock that stands at one stage at a time, and the calls that move it."""

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torchvision.ops import batched_nms, nms

from lit_cv.models.network import Network
from lit_cv.ops.boxes import grouped_nms
from lit_cv.ops.selective_search.search import selective_search

REST = "rest"
STAGES = ("proposals", "backbone", "heads", "nms", REST)
FUNCTIONS: dict[Callable[..., Any], str] = {
    selective_search: "proposals",
    grouped_nms: "nms",
    batched_nms: "nms",
    nms: "nms",
}


class StageClock:
    """Charges every moment to the innermost stage that has begun, and to ``rest`` where none has.

    So each stage counts without the stages inside it, and all of them sum to the whole time. The clock waits for the
    device's queue whenever the stage changes.

    Args:
        device: Where the work is done.

    Attributes:
        seconds: Stage -> seconds so far, in the order of ``STAGES``.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._open = [REST]
        self._last = 0.0

    def start(self) -> None:
        """Begin anew, in ``rest``."""
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._open = [REST]
        wait(self.device)
        self._last = time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Return the seconds of each stage since ``start``."""
        self._charge()
        return self.seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Stand at a stage for the length of a ``with`` block; inside the same stage there is nothing to do."""
        if self._open[-1] == name:
            yield
            return
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        wait(self.device)
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._last
        self._last = now

    def around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return a function that does the same as ``call`` at a stage."""

        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return call(*args, **kwargs)

        return timed


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def staged(network: nn.Module, clock: StageClock) -> Iterator[None]:
    """Let the calls of a network's parts move a clock for the length of a ``with`` block.

    The parts are those of ``Network.stages``, and wherever a module has imported them, the functions that suppress
    overlapping boxes and Selective Search.
    """
    with ExitStack() as undo:
        for path, stage in getattr(network, "stages", Network.stages).items():
            for owner, name in _calls(network, path):
                _replace(undo, owner, name, clock.around(getattr(owner, name), stage))
        timed = {id(function): clock.around(function, stage) for function, stage in FUNCTIONS.items()}
        for module in list(sys.modules.values()):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if id(value) in timed and module is not sys.modules[__name__]:
                    _replace(undo, module, name, timed[id(value)])
        yield


def _calls(network: nn.Module, path: str) -> Iterator[tuple[Any, str]]:
    """Find what to replace for one part: the owner and the name of a method, or of a module's ``forward``."""
    *parents, name = path.split(".")
    owner: Any = network
    for parent in parents:
        owner = getattr(owner, parent, None)
    part = getattr(owner, name, None)
    if isinstance(part, nn.Module):
        yield from ((module, "forward") for module in _callable_modules(part))
    elif callable(part):
        yield owner, name


def _callable_modules(part: nn.Module) -> Iterator[nn.Module]:
    """A list or dictionary of modules is never called itself: its members are."""
    if type(part).forward is nn.Module.forward:
        for child in part.children():
            yield from _callable_modules(child)
    else:
        yield part


def _replace(undo: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Set an attribute until ``undo`` is left; one that only the owner's class has is deleted then."""
    own = vars(owner)
    undo.callback(setattr, owner, name, own[name]) if name in own else undo.callback(delattr, owner, name)
    setattr(owner, name, value)
