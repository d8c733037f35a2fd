"""The local executor: several runs at once as subprocesses of this machine, on its GPUs or its CPU cores."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lit_cv.ablation import guard
from lit_cv.ablation.jobs import Job, Queue
from lit_cv.ablation.progress import Progress
from lit_cv.errors import UserError

POLL_SECONDS = 0.05
LOG_LINES = 12


@dataclass
class Running:
    """A started job, the environment slot that it occupies and when it started (monotonic seconds)."""

    job: Job
    process: subprocess.Popen[bytes]
    slot: dict[str, str]
    started: float


class LocalExecutor:
    """Runs `workers` processes at once, each on its own GPUs and its share of the CPU's threads.

    An OMP_NUM_THREADS that is already set stays as it is.

    Args:
        workers: runs at once; None is one per `gpus_per_run` visible GPUs, or one without a GPU. More than that share
            GPUs.
        gpus_per_run: GPUs that each run sees.

    Raises:
        UserError: there are fewer GPUs than one run wants, or a number is below 1.
    """

    def __init__(self, workers: int | None = None, gpus_per_run: int = 1) -> None:
        if gpus_per_run < 1 or (workers is not None and workers < 1):
            raise UserError("--workers and --gpus-per-run must be at least 1.")
        gpus = visible_gpus()
        if gpus and gpus_per_run > len(gpus):
            raise UserError(f"--gpus-per-run {gpus_per_run}: only {len(gpus)} GPUs are visible; ask for fewer.")
        self.workers = workers or max(1, len(gpus) // gpus_per_run)
        self._threads = max(1, len(os.sched_getaffinity(0)) // self.workers)
        self._free = deque(_slots(self.workers, gpus, gpus_per_run))

    def execute(self, queue: Queue) -> list[Job]:
        """Run what the queue hands out; return what failed. Ctrl-C ends all of them and is passed on.

        Each run's output is appended to `log.txt` in its folder; the end of it is shown when the run fails.
        """
        running, failed = list[Running](), list[Job]()
        with Progress(queue.total) as progress:
            try:
                while running or not queue.exhausted:
                    while self._free and (job := queue.take()) is not None:
                        running.append(self._start(job))
                    for run in [run for run in running if run.process.poll() is not None]:
                        running.remove(run)
                        self._free.append(run.slot)
                        failed += self._ended(run, progress)
                        queue.ended(run.job)
                    queue.watch([run.job for run in running])
                    progress.update([run.job.label for run in running])
                    time.sleep(POLL_SECONDS)
            finally:
                for run in running:
                    os.killpg(run.process.pid, signal.SIGKILL)
                    run.process.wait()
        return failed

    def preview(self, jobs: Sequence[Job]) -> str:
        """Their commands, one a line."""
        return "\n".join(shlex.join(job.command) for job in jobs)

    def _start(self, job: Job) -> Running:
        job.folder.mkdir(parents=True, exist_ok=True)
        slot = self._free.popleft()
        with (job.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, guard.__file__, str(os.getpid()), *job.command],
                env={"OMP_NUM_THREADS": str(self._threads)} | os.environ | slot,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        return Running(job, process, slot, time.monotonic())

    def _ended(self, run: Running, progress: Progress) -> list[Job]:
        log = run.job.folder / "log.txt"
        if run.process.returncode == 0 and run.job.finished:
            progress.finished(run.job.label, time.monotonic() - run.started)
            return []
        code = run.process.returncode
        reason = f"exit code {code}" if code else "it ended without a result.json"
        progress.failed(run.job.label, f"{reason}; log: {log}", _tail(log))
        return [run.job]


def visible_gpus() -> list[str]:
    """The GPUs that runs may use: those of CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists (torch-free)."""
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


def _slots(workers: int, gpus: list[str], gpus_per_run: int) -> list[dict[str, str]]:
    """The environment of each worker: the GPUs that it sees, shared when there are more workers than GPUs."""
    if not gpus:
        return [{} for _ in range(workers)]
    packs = [",".join(gpus[i : i + gpus_per_run]) for i in range(0, len(gpus) - gpus_per_run + 1, gpus_per_run)]
    return [{"CUDA_VISIBLE_DEVICES": packs[i % len(packs)]} for i in range(workers)]


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-LOG_LINES:])
