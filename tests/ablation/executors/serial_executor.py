"""An executor for tests, as a user would add one: runs trials one after another and keeps its queue in a file."""

import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Self

from lit_cv.ablation.executors.base import Executor, Options, Task
from lit_cv.ablation.sweep.jobs import Job, Queue
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.errors import UsageError
from lit_cv.runs.files import read_json, write_json

QUEUE = "serial.json"


class SerialExecutor(Executor):
    name = "serial"
    summary = "one trial after another"
    waits = False
    log_prefixes = ("serial: ",)

    def __init__(self, limit: int) -> None:
        self.limit, self.workers, self.gpus = limit, 1, 0.0

    @classmethod
    def add_arguments(cls, parser: Options) -> None:
        parser.add_argument("--limit", type=int, default=100, help="trials to run; the others stay in the queue")

    @classmethod
    def from_options(cls, options: Namespace, sweep: Sweep) -> Self:
        if options.limit < 0:
            raise UsageError(f"--limit {options.limit}: give at least 0.")
        return cls(options.limit)

    def execute(self, queue: Queue) -> list[Job]:
        jobs = list(iter(queue.take, None))
        for job in jobs[: self.limit]:
            subprocess.run(job.command, check=True, stdout=subprocess.DEVNULL)
            queue.ended(job)
        for job in jobs[self.limit :]:
            job.folder.mkdir(parents=True, exist_ok=True)
            (job.folder / "log.txt").write_text("waiting for data\nserial: suspended\n")
        if jobs:
            write_json(jobs[0].folder.parent / QUEUE, {"waiting": [job.folder.name for job in jobs[self.limit :]]})
        return []

    @classmethod
    def queued(cls, group: Path) -> dict[str, Task]:
        waiting = read_json(group / QUEUE)["waiting"] if (group / QUEUE).exists() else []
        return {run: Task(f"place {place}", "suspended") for place, run in enumerate(waiting, 1)}
