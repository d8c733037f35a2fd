"""Compile loops over pixels and regions to machine code."""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function with numba on its first call; threads run it side by side, without Python's lock.

    The machine code is kept beside the source, or in ``$NUMBA_CACHE_DIR`` or the user's cache where that is read-only.
    Where nothing can be written each process compiles anew.
    """
    try:
        return cast(Function, njit(cache=True, nogil=True, fastmath=True)(function))
    except RuntimeError:  # numba found no folder for its cache
        return cast(Function, njit(nogil=True, fastmath=True)(function))
