"""Progress of a sweep: a live table of the active runs on a terminal, plain lines elsewhere (logs, CI)."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from lit_cv.ablation.sweep.labels import duration
from lit_cv.runs.files import read_tail

REDRAW_SECONDS = 0.5


@dataclass(frozen=True)
class Row:
    """An active run.

    Attributes:
        label: Its name for people.
        slot: Its place.
        started: Start time in monotonic seconds.
        folder: Its folder.
    """

    label: str
    slot: str
    started: float
    folder: Path


class Progress:
    """Counts the runs of a sweep. ``with Progress(12, workers=2) as progress: ...``.

    Args:
        total: Number of runs to do; None if unknown.
        workers: Runs at the same time.
        metric: Logged metric to show; None: the last logged one.
    """

    def __init__(self, total: int | None, workers: int, metric: str | None = None) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._total, self._workers, self._metric = total, workers, metric
        self._ended, self._seconds, self._drawn = 0, list[float](), 0.0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, rows: Sequence[Row]) -> None:
        """Redraw the table of active runs, at most twice a second."""
        if self.console.is_terminal and time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._live.update(self.table(rows), refresh=True)

    def table(self, rows: Sequence[Row]) -> Group:
        """Return one line per active run, then the number of finished runs and the estimated remaining time."""
        now = time.monotonic()
        whole = [Column(name, no_wrap=True) for name in ("run", "on", "for", "step")]
        table = Table(*whole, "last", box=None, pad_edge=False)  # a narrow terminal cuts the name of the metric
        for row in rows:
            step, value = last_number(row.folder / "metrics.csv", self._metric)
            table.add_row(
                Text(row.label),
                row.slot,
                duration(now - row.started),
                step,
                Text(value, no_wrap=True, overflow="ellipsis"),
            )
        of = f" of {self._total}" if self._total else ""
        left = self.time_left([now - row.started for row in rows])
        return Group(table, Text(f"{self._ended}{of} done in {duration(now - self._started)}, {left}"))

    def time_left(self, elapsed: Sequence[float]) -> str:
        """Describe the remaining time, estimated from the median of the finished runs.

        Args:
            elapsed: Seconds that each active run has taken so far.
        """
        if not self._total or not self._seconds:
            return "time left unknown"
        typical = statistics.median(self._seconds)
        waiting = self._total - self._ended - len(elapsed)
        left = typical * waiting + sum(max(typical - seconds, 0.0) for seconds in elapsed)
        if elapsed and left < 1.0:
            return "the last take longer than the others"
        return f"about {duration(left / min(self._workers, max(waiting + len(elapsed), 1)))} left"

    def finished(self, label: str, seconds: float) -> None:
        """Report a run that has written its result."""
        self._seconds.append(seconds)
        self._advance(f"{label}: finished in {duration(seconds)}")

    def failed(self, label: str, reason: str, lines: Sequence[str]) -> None:
        """Report a failed run with lines of its log."""
        self._advance(f"{label}: FAILED, {reason}")
        for line in lines:
            self.note(f"    {line}")

    def note(self, line: str) -> None:
        """Print a line."""
        self.console.print(line, markup=False)

    def _advance(self, line: str) -> None:
        self._ended += 1
        count = f"{self._ended}/{self._total}" if self._total else str(self._ended)
        self.note(f"[{count}] {line}")


def last_number(file: Path, metric: str | None) -> tuple[str, str]:
    """Return the last step in a ``metrics.csv``, and the metric's last value (or any metric's) before its name."""
    text = read_tail(file)
    whole = text[: text.rfind("\n") + 1].splitlines()  # the last line may be half written
    rows = [line.split(",") for line in whole if not line.startswith("step,")]
    chosen = [cells for cells in rows if metric in (None, cells[2])] or rows
    if not chosen:
        return "", ""
    name, value = chosen[-1][2:]
    return rows[-1][0], f"{float(value):.4g} {name}"
