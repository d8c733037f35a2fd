"""The local executor: runs in parallel on the GPUs or CPU cores of this machine."""

import errno
import os
import shutil
import signal
import subprocess
import time
from argparse import Namespace
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lit_cv.ablation.executors.base import Executor, Options
from lit_cv.ablation.executors.processes import LOG, Lost, Process, Starter
from lit_cv.ablation.executors.progress import Progress, Row
from lit_cv.ablation.sweep.jobs import Job, Queue
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.errors import UsageError, UserError
from lit_cv.runs.failure import excerpt
from lit_cv.runs.files import read_tail

POLL_SECONDS = 0.01
EQUAL_FAILURES = 3  # failures that end a sweep if they are equal and no run has finished
FULL_BYTES = 1 << 16  # a disk with less free space counts as full


@dataclass(frozen=True)
class Slot:
    """A place for one run.

    Attributes:
        name: Text in the progress table.
        environment: Environment variables that select the run's GPUs.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Running:
    """A started job.

    Attributes:
        job: The job.
        slot: Its place.
        started: Start time in monotonic seconds.
        process: Its process; None if it could not be started.
        log_start: Size of its log before this start.
        reason: Reason of the failure, if the exit code does not tell it.
        starts: Number of times it was started.
    """

    job: Job
    slot: Slot
    started: float
    process: Process | None = None
    log_start: int = 0
    reason: str = ""
    starts: int = 0


def add_process_arguments(parser: Options) -> None:
    """Declare the options of executors that start processes on this machine."""
    parser.add_argument("--workers", type=int, help="runs at the same time (default: one per GPU, or one without GPUs)")
    parser.add_argument(
        "--gpus-per-run",
        type=int,
        default=1,
        help="GPUs that each run sees (default: 1); it trains on all of them, and they share its batches, unless its "
        "experiment sets trainer.devices",
    )


class LocalExecutor(Executor):
    """Runs several processes in parallel, each on its own GPUs and its share of the CPU threads.

    An existing OMP_NUM_THREADS is kept.

    Args:
        workers: Runs at the same time. None: one per ``gpus_per_run`` visible GPUs, or one without a GPU. Additional
            workers share GPUs.
        gpus_per_run: GPUs that each run sees. Lightning trains on all of them unless the run sets ``trainer.devices``.
        runs_per_gpu: Runs that share each GPU (or each ``gpus_per_run`` GPUs); an alternative to ``workers``.
        metric: Logged metric that the progress table shows; None: the last logged one.

    Raises:
        UserError: Fewer GPUs are visible than one run needs, a number is below 1, or two options conflict.
    """

    name = "local"
    summary = "processes on this machine"

    def __init__(
        self,
        workers: int | None = None,
        gpus_per_run: int = 1,
        runs_per_gpu: int | None = None,
        metric: str | None = None,
    ) -> None:
        if any(number is not None and number < 1 for number in (workers, gpus_per_run, runs_per_gpu)):
            raise UsageError("--workers, --gpus-per-run and --runs-per-gpu must be at least 1.")
        gpus = visible_gpus()
        if gpus and gpus_per_run > len(gpus):
            raise UserError(f"--gpus-per-run {gpus_per_run}: only {len(gpus)} GPUs are visible; ask for fewer.")
        packs = len(gpus) // gpus_per_run
        if runs_per_gpu is not None and (workers is not None or not packs):
            raise UserError(
                f"--runs-per-gpu {runs_per_gpu}: "
                + ("leave out --workers, which says the same." if packs else "no GPU is visible; give --workers.")
            )
        self.workers = workers or max(1, packs * (runs_per_gpu or 1))
        processes = self.workers * (gpus_per_run if gpus else 1)
        self._threads = max(1, len(os.sched_getaffinity(0)) // processes)
        self._free = deque(slots(self.workers, gpus, gpus_per_run))
        self._metric = metric
        self.gpus = gpus_per_run * min(1.0, packs / self.workers)

    @classmethod
    def add_arguments(cls, parser: Options) -> None:
        """Declare ``--workers``, ``--gpus-per-run`` and ``--runs-per-gpu``."""
        add_process_arguments(parser)
        parser.add_argument("--runs-per-gpu", type=int, help="small runs that share a GPU (default: 1)")

    @classmethod
    def from_options(cls, options: Namespace, sweep: Sweep) -> Self:
        """Create the executor; the progress table shows the sweep's metric."""
        metric = sweep.metric.name if sweep.metric else None
        return cls(options.workers, options.gpus_per_run, options.runs_per_gpu, metric)

    def execute(self, queue: Queue) -> list[Job]:
        """Run the jobs of the queue and return the failed jobs. Ctrl-C ends all runs and is raised again.

        Each run's output is appended to ``log.txt`` in its folder; its last lines are shown if the run fails. A failure
        is also recorded in the run's folder (``Job.record_failure``).
        """
        running, failed = list[Running](), list[Job]()
        environment = {"OMP_NUM_THREADS": str(self._threads)}
        with Progress(queue.total, self.workers, self._metric) as progress, Starter(environment) as starter:
            failures = Failures(progress)
            while running or not (queue.exhausted or failures.hopeless):
                while self._free and not failures.hopeless and (job := queue.take()) is not None:
                    running.append(Running(job, self._free.popleft(), time.monotonic()))
                    _start(starter, running[-1])
                polled = [(run, _poll(starter, run, progress)) for run in running]
                ended = [(run, code) for run, code in polled if code is not None]
                for run, code in ended:
                    running.remove(run)
                    self._free.append(run.slot)
                    failed += _ended(run, code, progress, failures)
                    queue.ended(run.job)
                queue.watch([run.job for run in running])
                progress.update([Row(run.job.label, run.slot.name, run.started, run.job.folder) for run in running])
                if not ended:  # otherwise the next run starts without a pause
                    time.sleep(POLL_SECONDS)
        if failures.hopeless and not queue.exhausted:
            print(failures.hopeless, flush=True)
        return failed


class Failures:
    """The failures of a call: equal ones are shown once, and the first few equal ones end the sweep."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._first, self._ended, self._any_finished = progress, dict[str, str](), 0, False

    def finished(self) -> None:
        """Record a run that has written its result."""
        self._any_finished = True

    def add(self, job: Job, reason: str, lines: Sequence[str]) -> None:
        """Report a failed run; ``lines`` come from its log, and the last one is the error."""
        self._ended += 1
        log = job.folder / LOG
        error = f"{reason}: {lines[-1] if lines else ''}".replace(str(job.folder), "").replace(job.folder.name, "")
        if error in self._first:
            self._progress.failed(job.label, f"as {self._first[error]} above; log: {log}", [])
        else:
            self._first[error] = job.label
            self._progress.failed(job.label, f"{reason}; log: {log}", lines)

    @property
    def hopeless(self) -> str:
        """Sentence that says why no other run is started; empty as long as runs are started."""
        if self._any_finished or self._ended < EQUAL_FAILURES or len(self._first) > 1:
            return ""
        return (
            f"The first {self._ended} runs failed with the same error, so the others were not started. "
            "Fix it and add --retry-failed; the same command without it starts only the others."
        )


def _start(starter: Starter, run: Running) -> None:
    run.starts += 1
    try:
        run.job.forget_failure()
        log = run.job.folder / LOG
        run.log_start = log.stat().st_size if log.exists() else 0
        run.process = starter.start(run.job, run.slot.environment)
    except OSError as error:
        run.process, run.reason = None, _full(error.filename) if error.errno == errno.ENOSPC else str(error)


def _poll(starter: Starter, run: Running, progress: Progress) -> int | None:
    """Return the exit code of a run that has ended; restart a run once if its fork server has ended."""
    try:
        return run.process.poll() if run.process else 1
    except Lost:
        if run.starts > 1:
            run.reason = "its fork server has ended twice"
            return 128 + signal.SIGKILL
        progress.note(f"{run.job.label}: its fork server has ended; the run is started again")
        _start(starter, run)
        return None


def _ended(run: Running, code: int, progress: Progress, failures: Failures) -> list[Job]:
    if code == 0 and run.job.finished:
        failures.finished()
        progress.finished(run.job.label, time.monotonic() - run.started)
        return []
    reason = run.reason or _reason(code, run.job.folder)
    lines = excerpt(read_tail(run.job.folder / LOG, run.log_start))
    failures.add(run.job, reason, lines)
    with suppress(OSError):  # the disk may be full; without a record the run counts as unfinished
        run.job.record_failure(reason, code, lines[-1] if lines else "")
    return [run.job]


def _reason(code: int, folder: Path) -> str:
    if shutil.disk_usage(folder).free < FULL_BYTES:
        return _full(folder)
    if code - 128 in set(signal.Signals):
        return f"killed by {signal.Signals(code - 128).name} (exit code {code})"
    return f"exit code {code}" if code else "it ended without a result.json"


def _full(path: object) -> str:
    return f"the disk of {path} is full; free some space and continue with --retry-failed"


def visible_gpus() -> list[str]:
    """Return the GPUs in CUDA_VISIBLE_DEVICES, or else all that nvidia-smi lists; does not import torch."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name for name in listed.split(",") if name.strip() not in ("", "-1")]
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True
        )
    except FileNotFoundError:
        return []
    return answer.stdout.split() if answer.returncode == 0 else []


def slots(workers: int, gpus: list[str], gpus_per_run: int) -> list[Slot]:
    """Return the place of each worker; workers share GPUs if there are more workers than GPUs."""
    if not gpus:
        return [Slot(f"CPU {i}") for i in range(workers)]
    packs = [",".join(gpus[i : i + gpus_per_run]) for i in range(0, len(gpus) - gpus_per_run + 1, gpus_per_run)]
    chosen = [packs[i % len(packs)] for i in range(workers)]
    return [Slot(f"GPU {pack}", {"CUDA_VISIBLE_DEVICES": pack}) for pack in chosen]
