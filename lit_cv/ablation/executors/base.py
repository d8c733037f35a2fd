"""The contract of every executor."""

import shlex
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from lit_cv.ablation.sweep.jobs import Job, Queue
from lit_cv.ablation.sweep.plan import Preflight
from lit_cv.ablation.sweep.sweep_file import Sweep


class Options(Protocol):
    """The part of ``argparse.ArgumentParser`` that declares options."""

    def add_argument(self, *names: str, **settings: Any) -> Any:
        """Declare an option, with the arguments of argparse."""
        ...


@dataclass(frozen=True)
class Task:
    """A run in the queue of an executor.

    Attributes:
        name: Name in the queue, in the form that the queue's own commands accept.
        state: One or two words, such as ``pending``, ``running`` or ``out of memory``; empty if no longer known.
        active: Whether the run is pending or running.
        reason: Reason why it is pending.
        nodes: Machines on which it runs or ran.
        elapsed: Running time.
        restarts: Number of times it was requeued.
        log: File with the queue's own output for the run, such as an error before the run starts, or None.
    """

    name: str
    state: str = ""
    active: bool = False
    reason: str = ""
    nodes: str = ""
    elapsed: str = ""
    restarts: int = 0
    log: Path | None = None


class Executor(ABC):
    """Carries out runs: on this machine, through Slurm or through W&B agents.

    Subclasses are listed in ``lit_cv.ablation.executors.registry``.

    Attributes:
        name: Value of ``--executor``.
        summary: Description for the help of ``--executor``.
        waits: Whether ``execute`` waits for the runs to end.
        log_prefixes: Start of the lines that the executor itself writes into the log of a run.
        workers: Number of runs at the same time.
        gpus: GPUs per run; a fraction if runs share a GPU.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    waits: ClassVar[bool] = True
    log_prefixes: ClassVar[tuple[str, ...]] = ()
    workers: int
    gpus: float

    @classmethod  # noqa: B027 (an executor may have no options)
    def add_arguments(cls, parser: Options) -> None:
        """Declare the executor's options; none may be required.

        Executors may share an option if they declare it with the same settings.
        """

    @classmethod
    @abstractmethod
    def from_options(cls, options: Namespace, sweep: Sweep) -> Self:
        """Create the executor for a sweep from its parsed options.

        Raises:
            UserError: The options are not usable on this machine or for this sweep.
        """

    @abstractmethod
    def execute(self, queue: Queue) -> list[Job]:
        """Run the jobs of the queue, report progress and return the failed jobs; a failure does not stop the others."""

    def preview(self, jobs: Sequence[Job]) -> str:
        """Return the text that ``--dry-run`` prints: by default the commands, one per line."""
        return "\n".join(shlex.join(job.command) for job in jobs)

    def search(self, sweep: Sweep, *, dry_run: bool, preflight: Preflight) -> int | None:
        """Carry out a random or Bayesian sweep whose trials the executor chooses itself.

        Returns:
            The exit code of ``litcv sweep``; None (the default) if the trials are chosen on this machine instead.
        """
        return None

    @classmethod
    def queued(cls, group: Path) -> dict[str, Task]:
        """Map the ids of the runs in the executor's queue to their state; by default empty.

        ``--status`` shows it, and other executors leave active runs alone. If the queue cannot be read, all its runs
        are active with an unknown state, and a note says why.

        Args:
            group: Folder of the runs.
        """
        return {}
