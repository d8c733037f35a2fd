"""The contract of every executor."""

from collections.abc import Sequence
from typing import Protocol

from lit_cv.ablation.sweep.jobs import Job, Queue


class Executor(Protocol):
    """Carries out runs: on this machine, through Slurm or through W&B agents.

    Attributes:
        workers: Number of runs at the same time.
        gpus: GPUs per run; a fraction if runs share a GPU.
        waits: Whether ``execute`` waits for the runs to end.
    """

    workers: int
    gpus: float
    waits: bool

    def execute(self, queue: Queue) -> list[Job]:
        """Run the jobs of the queue, report progress and return the failed jobs; a failure does not stop the others."""
        ...

    def preview(self, jobs: Sequence[Job]) -> str:
        """Return the text that ``--dry-run`` prints."""
        ...
