"""Compile loops over pixels and regions to machine code."""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function with numba on its first call; the GIL is released, so threads run it in parallel.

    Machine code is cached next to the source file, or in ``$NUMBA_CACHE_DIR`` or the user's cache folder if that is
    read-only. If no folder is writable, each process compiles the function again.
    """
    try:
        return cast(Function, njit(cache=True, nogil=True, fastmath=True)(function))
    except RuntimeError:  # numba found no writable cache folder
        return cast(Function, njit(nogil=True, fastmath=True)(function))
