"""The contract of every executor."""

from collections.abc import Sequence
from typing import Protocol

from lit_cv.ablation.sweep.jobs import Job, Queue


class Executor(Protocol):
    """Where runs are carried out: this machine, Slurm, W&B agents.

    Attributes:
        workers: runs at once.
        gpus: GPUs that a run takes, a part of one where runs share it.
        waits: whether `execute` waits for the runs to end.
    """

    workers: int
    gpus: float
    waits: bool

    def execute(self, queue: Queue) -> list[Job]:
        """Run what the queue hands out, report progress, and return what failed; one failure stops no other."""
        ...

    def preview(self, jobs: Sequence[Job]) -> str:
        """What would be carried out, for `--dry-run`."""
        ...
