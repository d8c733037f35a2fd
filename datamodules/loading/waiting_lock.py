"""Locks of work that only one process should do while others wait for its result."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lit_cv.errors import UserError
from lit_cv.runs.files import lock


@contextmanager
def waiting_lock(path: Path, work: str) -> Iterator[None]:
    """Hold an exclusive lock on ``path``; if another process holds it, say so and wait as long as it takes.

    Args:
        path: File that is locked.
        work: The other process's work, for example ``downloads <file>``.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(path, ""))
        except UserError:
            print(f"Waiting for another process that {work} ({path}).")
            stack.enter_context(lock(path, "", patience=math.inf))
        yield
