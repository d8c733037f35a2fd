"""The runs of a sweep as work to be handed out: one job a run, and the queue that says which may start."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from lit_cv.ablation.sweep.sweep_file import Trial
from lit_cv.runs.files import read_json, write_json
from lit_cv.runs.folder import is_finished

FAILED = "failed.json"


@dataclass(frozen=True)
class Job:
    """One run to be done: the trial, its folder and how a person calls it."""

    trial: Trial
    folder: Path
    label: str

    @property
    def command(self) -> list[str]:
        """The whole command line; `--resume` continues a run that was interrupted and starts one that is new."""
        return [*self.trial.program, *self.trial.args, "--resume"]

    @property
    def finished(self) -> bool:
        """Whether the run has written its result."""
        return is_finished(self.folder)

    def score(self, metric: str) -> float | None:
        """The final value of a metric; None without a result, without the metric, and where it is no finite number."""
        if not self.finished:
            return None
        value = read_json(self.folder / "result.json")["metrics"].get(metric)
        return value if isinstance(value, int | float) and math.isfinite(value) else None

    @property
    def failure(self) -> dict[str, Any] | None:
        """How the run failed when it was last started (`reason`, `code`, `time`), if it did."""
        file = self.folder / FAILED
        return read_json(file) if file.exists() else None

    def record_failure(self, reason: str, code: int) -> None:
        """Write `failed.json`, so that a later call of the sweep does not blindly repeat the run.

        A run that was stopped together with its sweep has not failed: it is unfinished, and goes on.

        Args:
            reason: in words.
            code: the exit code, 128 + the signal after a kill.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        write_json(self.folder / FAILED, {"reason": reason, "code": code, "time": now})

    def forget_failure(self) -> None:
        """Remove the record, because the run is started again."""
        (self.folder / FAILED).unlink(missing_ok=True)


class Queue(Protocol):
    """Hands out the runs that are to be done, in the sweep's order.

    Attributes:
        total: how many it hands out altogether; None where that is not known.
        exhausted: whether it will hand out no more, now or later.
        attentive: whether `watch` does anything.
    """

    total: int | None
    attentive: bool

    @property
    def exhausted(self) -> bool: ...  # noqa: D102

    def take(self) -> Job | None:
        """The next job, or None: all are handed out, or the next depends on the results of jobs that are running."""
        ...

    def ended(self, job: Job) -> None:
        """Learn that a job that was handed out has ended, with a result or without one."""
        ...

    def watch(self, running: Sequence[Job]) -> None:
        """Look at the jobs at work, as often as the executor likes; some of them may be asked to stop."""
        ...


class FixedQueue:
    """A queue of jobs that are known from the start, as those of a grid are."""

    attentive = False

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = deque(jobs)
        self.total: int | None = len(self._waiting)

    @property
    def exhausted(self) -> bool:
        """Whether all are handed out."""
        return not self._waiting

    def take(self) -> Job | None:
        """The next job, None after the last."""
        return self._waiting.popleft() if self._waiting else None

    def ended(self, job: Job) -> None:
        """Nothing depends on it."""

    def watch(self, running: Sequence[Job]) -> None:
        """Nothing is asked of them."""
