"""Queues that end a sweep or a run early: the metric's target and Hyperband."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from lit_cv.ablation.sweep.hyperband import Hyperband
from lit_cv.ablation.sweep.jobs import Job, Queue
from lit_cv.ablation.sweep.sweep_file import Metric
from lit_cv.runs.files import read_curve
from lit_cv.runs.folder import STOP_FILE

LOOK_SECONDS = 2.0


class UntilTarget:
    """A queue that provides no more jobs once a run has reached the metric's target.

    Args:
        queue: Provides the jobs until then.
        metric: A metric with a target.
        jobs: Ended runs of the sweep.
    """

    def __init__(self, queue: Queue, metric: Metric, jobs: Iterable[Job]) -> None:
        self._queue, self._metric = queue, metric
        self.total, self.attentive = queue.total, queue.attentive
        self.reached = any(self._reaches(job) for job in jobs)

    @property
    def exhausted(self) -> bool:
        """Whether the target is reached or the queue is exhausted."""
        return self.reached or self._queue.exhausted

    def take(self) -> Job | None:
        """Return the next job of the queue; None once the target is reached."""
        return None if self.reached else self._queue.take()

    def ended(self, job: Job) -> None:
        """Check whether the job has reached the target."""
        self.reached |= self._reaches(job)
        self._queue.ended(job)

    def watch(self, running: Sequence[Job]) -> None:
        """Let active runs continue to their end."""
        self._queue.watch(running)

    def _reaches(self, job: Job) -> bool:
        score, target = job.score(self._metric.name), self._metric.target
        if score is None or target is None:
            return False
        return score >= target if self._metric.goal == "maximize" else score <= target


class EarlyTermination:
    """A queue that asks runs rejected by Hyperband to stop, by an empty file in their folder.

    Args:
        queue: Provides the jobs.
        hyperband: The rule.
        metric: The compared metric.
        jobs: Runs of the sweep that were started earlier.
    """

    attentive = True

    def __init__(self, queue: Queue, hyperband: Hyperband, metric: Metric, jobs: Iterable[Job]) -> None:
        self._queue, self._hyperband, self._metric = queue, hyperband, metric
        self.total = queue.total
        self._folders = {job.folder for job in jobs}
        self._histories: dict[Path, tuple[int, list[float]]] = {}
        self._looked = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether the queue is exhausted."""
        return self._queue.exhausted

    def take(self) -> Job | None:
        """Return the next job of the queue."""
        return self._queue.take()

    def ended(self, job: Job) -> None:
        """Forward to the queue."""
        self._queue.ended(job)

    def watch(self, running: Sequence[Job]) -> None:
        """Compare all runs, at most every two seconds."""
        self._queue.watch(running)
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        self._folders |= {job.folder for job in running}
        histories = {str(folder): self._history(folder) for folder in sorted(self._folders)}
        active = {str(job.folder): job for job in running if not (job.folder / STOP_FILE).exists()}
        for name in self._hyperband.stops(histories, active, maximize=self._metric.goal == "maximize"):
            (active[name].folder / STOP_FILE).touch()
            print(f"{active[name].label}: is asked to stop, others are better after as many validations", flush=True)

    def _history(self, folder: Path) -> list[float]:
        """Return the values of the metric in the order of their steps; read the file again only if it has grown."""
        file = folder / "metrics.csv"
        size = file.stat().st_size if file.exists() else 0
        if self._histories.get(folder, (0, []))[0] != size:
            curve = read_curve(folder, self._metric.name)
            self._histories[folder] = (size, [curve[step] for step in sorted(curve)])
        return self._histories.get(folder, (0, []))[1]
