"""Progress of a sweep: one live line on a terminal, plain lines elsewhere (logs, CI)."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from lit_cv.ablation.values import duration

REDRAW_SECONDS = 0.5


class Progress:
    """Counts the runs of a sweep. `with Progress(12) as progress: ...`."""

    def __init__(self, total: int | None) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        columns = (
            BarColumn(20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._bar = Bar(*columns, console=self.console, auto_refresh=False, disable=not self.console.is_terminal)
        self._task = self._bar.add_task("", total=total)
        self._total, self._ended, self._drawn = total, 0, 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, running: Sequence[str]) -> None:
        """Redraw the live line (at most twice a second) with the labels of the runs at work."""
        if time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._bar.update(self._task, description=" | ".join(running), refresh=True)

    def finished(self, label: str, seconds: float) -> None:
        """Report a run that has written its result."""
        self._advance(f"{label}: finished in {duration(seconds)}")

    def failed(self, label: str, reason: str, log: str) -> None:
        """Report a failed run with the end of its log."""
        self._advance(f"{label}: FAILED, {reason}")
        self.console.print("\n".join(f"    {line}" for line in log.splitlines()), markup=False)

    def _advance(self, line: str) -> None:
        self._ended += 1
        self._bar.advance(self._task)
        count = f"{self._ended}/{self._total}" if self._total else str(self._ended)
        self.console.print(f"[{count}] {line}", markup=False)
