"""The runs of a sweep as jobs, and the queue that decides which job may start."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from lit_cv.ablation.sweep.sweep_file import Trial
from lit_cv.runs.files import write_json
from lit_cv.runs.folder import is_finished
from lit_cv.runs.records import FAILURE, SCORED, read_record
from lit_cv.runs.settings import merged_arguments

FAILED = "failed.json"


@dataclass(frozen=True)
class Job:
    """One run to do: the trial, its folder and its name for people."""

    trial: Trial
    folder: Path
    label: str

    @property
    def command(self) -> list[str]:
        """The complete command line; ``--resume`` continues an interrupted run or starts a new one."""
        return [*self.trial.program, *self.trial.args, "--resume"]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The flat settings of the run, from its config files and overrides."""
        return merged_arguments(self.trial.args)

    @property
    def finished(self) -> bool:
        """Whether the run has written its result."""
        return is_finished(self.folder)

    def score(self, metric: str) -> float | None:
        """Return the final value of a metric; None if the result or the metric is missing or is not finite."""
        if not self.finished:
            return None
        value: float | None = read_record(self.folder / "result.json", SCORED)["metrics"].get(metric)
        return value

    @property
    def failure(self) -> dict[str, Any] | None:
        """The last failure of the run (``reason``, ``code``, ``error``, ``time``), or None."""
        file = self.folder / FAILED
        return read_record(file, FAILURE) if file.exists() else None

    def record_failure(self, reason: str, code: int, error: str = "") -> None:
        """Write ``failed.json``, so that a later call of the sweep does not repeat the run.

        A run that was stopped together with its sweep has not failed: it is unfinished and can continue.

        Args:
            reason: Reason in words.
            code: Exit code, 128 + signal after a kill.
            error: The run's own message.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / FAILED, {"reason": reason, "code": code, "error": error, "time": now})

    def forget_failure(self) -> None:
        """Remove the record of a failure, because the run starts again."""
        (self.folder / FAILED).unlink(missing_ok=True)


class Queue(Protocol):
    """Provides the jobs of a sweep in its order.

    Attributes:
        total: Total number of jobs; None if unknown.
        exhausted: Whether no more jobs will come, now or later.
        attentive: Whether ``watch`` has an effect.
    """

    total: int | None
    attentive: bool

    @property
    def exhausted(self) -> bool: ...  # noqa: D102

    def take(self) -> Job | None:
        """Return the next job; None if none is left or if the next one depends on the results of active jobs."""
        ...

    def ended(self, job: Job) -> None:
        """Record that a job has ended, with or without a result."""
        ...

    def watch(self, running: Sequence[Job]) -> None:
        """Examine the active jobs; some may be asked to stop. The executor may call this as often as it likes."""
        ...


class FixedQueue:
    """A queue of jobs that are known from the start, such as those of a grid."""

    attentive = False

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = deque(jobs)
        self.total: int | None = len(self._waiting)

    @property
    def exhausted(self) -> bool:
        """Whether all jobs have been taken."""
        return not self._waiting

    def take(self) -> Job | None:
        """Return the next job; None after the last."""
        return self._waiting.popleft() if self._waiting else None

    def ended(self, job: Job) -> None:
        """Do nothing: no job depends on another."""

    def watch(self, running: Sequence[Job]) -> None:
        """Do nothing: no job is asked to stop."""
