"""Runs that are killed: forked from one warmed process, as those of a sweep are."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from lit_cv.ablation.executors.processes import Starter
from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.sweep_file import Trial

SECONDS = 300  # that a run may take


def run(
    starter: Starter, args: list[str], root: Path, begun: Callable[[], object] | None = None, delay: float = 0.0
) -> bool:
    """Start or resume `litcv fit` with its log in `root`; return whether it ended by itself.

    Args:
        starter: what it is forked from.
        args: of `fit`.
        root: folder.
        begun: when this is true, the run and all its processes are killed.
        delay: seconds from then to the kill.
    """
    end = time.monotonic() + SECONDS
    process = starter.start(Job(Trial([sys.executable, "-m", "lit_cv"], ["fit", *args], {}), root, root.name), {})
    while (code := process.poll()) is None and not (begun and begun()):
        assert time.monotonic() < end, (root / "log.txt").read_text()[-3000:]
        time.sleep(0.001)
    if code is None:
        time.sleep(delay)
        code = process.poll()
    if code is None:
        process.kill()
        return False
    assert code == 0, (root / "log.txt").read_text()[-3000:]
    return True
