"""Stage names for functions, used to time a network by stage (see ``lit_cv.bench.stages``)."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Observer = Callable[[str], AbstractContextManager[Any]]
_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


def stage(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that its calls count as stage ``name``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def observed(*args: P.args, **kwargs: P.kwargs) -> R:
            observer = _observer.get()
            if observer is None:
                return function(*args, **kwargs)
            with observer(name):
                return function(*args, **kwargs)

        return observed

    return decorate


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Enter ``observer(name)`` around every call of a decorated function, inside the ``with`` block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)
