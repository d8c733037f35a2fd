"""The Slurm executor: one array job for the missing runs of a sweep, from a readable script."""

import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from lit_cv.ablation.executors.base import Executor, Options, Task
from lit_cv.ablation.executors.slurm_options import Resources
from lit_cv.ablation.executors.slurm_queue import Submissions, call
from lit_cv.ablation.sweep.jobs import Job, Queue
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.errors import UsageError, UserError

POLL_SECONDS = 10.0


class SlurmExecutor(Executor):
    """Submits the jobs of a queue as one array job, ``sbatch <group>/slurm/sweep.sbatch``.

    ``<group>/slurm/commands`` holds the command of every run; a task runs the line with its number. Lines are only
    appended, so that a pending task still finds the line it was submitted for.

    Args:
        job_name: Name of the Slurm jobs.
        resources: Resources of each run.
    """

    name = "slurm"
    summary = "one array job on a Slurm cluster"
    waits = False
    log_prefixes = ("srun: ", "slurmstepd")  # written if Slurm ends a run; the state already says so

    def __init__(self, job_name: str, resources: Resources) -> None:
        self.job_name, self.resources = job_name, resources
        self.workers = resources.max_parallel or sys.maxsize
        self.gpus = float(resources.nodes * resources.gpus_per_node)

    @classmethod
    def add_arguments(cls, parser: Options) -> None:
        """Declare one option per field of ``Resources``."""
        Resources.add_arguments(parser)

    @classmethod
    def from_options(cls, options: Namespace, sweep: Sweep) -> Self:
        """Create the executor; its jobs have the name of the sweep.

        Raises:
            UsageError: A number is too small, or a Bayesian sweep has no ``--max-parallel``.
        """
        resources = Resources.of(options)
        if sweep.method == "bayes" and not resources.max_parallel:
            raise UsageError(
                "a Bayesian sweep learns from its runs; set the number of parallel runs with --max-parallel."
            )
        return cls(sweep.name, resources)

    @classmethod
    def queued(cls, group: Path) -> dict[str, Task]:
        """See ``Executor``; asks Slurm only if runs of the group were submitted."""
        submissions = Submissions(group)
        try:
            return submissions.tasks()
        except UserError as error:
            print(
                f"note: Slurm cannot be asked about the runs in {submissions.path} ({error}); delete this file if they "
                "will never run.",
                file=sys.stderr,
            )
            return submissions.unread()

    def preview(self, jobs: Sequence[Job]) -> str:
        """Return the script and the commands that would be submitted."""
        if not jobs:
            return ""
        folder = jobs[0].folder.parent / "slurm"
        lines, numbers = _numbered(folder / "commands", jobs)
        return "\n".join([self._script(folder, numbers), *(f"# task {n}: {lines[n]}" for n in numbers)])

    def execute(self, queue: Queue) -> list[Job]:
        """Submit the jobs of the queue that are not in Slurm's queue already.

        Returns immediately, without failed jobs, unless later runs depend on the results of these or runs may be
        stopped early. In that case it waits, and submits each job as soon as the queue provides it.
        """
        waiting = self._submit(_taken(queue))
        while not queue.exhausted or (waiting and queue.attentive):
            time.sleep(POLL_SECONDS)
            queue.watch(waiting)
            tasks = Submissions(waiting[0].folder.parent).tasks()
            ended = [job for job in waiting if not tasks[job.folder.name].active]
            for job in ended:
                queue.ended(job)
            waiting = [job for job in waiting if job not in ended] + self._submit(_taken(queue))
        return []

    def _submit(self, jobs: list[Job]) -> list[Job]:
        if not jobs:
            return []
        folder = jobs[0].folder.parent / "slurm"
        folder.mkdir(parents=True, exist_ok=True)
        submissions = Submissions(folder.parent)
        tasks = submissions.tasks()
        active = [job for job in jobs if job.folder.name in tasks and tasks[job.folder.name].active]
        new = [job for job in jobs if job not in active]
        if active:
            names = {tasks[job.folder.name].name.partition("_")[0] for job in active}
            print(
                f"{len(active)} runs are already pending or running in Slurm{self._ignored(folder, names)}.", flush=True
            )
        if new:
            lines, numbers = _numbered(folder / "commands", new)
            _write(folder / "commands", lines)
            script = folder / "sweep.sbatch"
            script.write_text(self._script(folder, numbers))
            for job in new:
                job.folder.mkdir(parents=True, exist_ok=True)  # the log is written into it
                job.forget_failure()
            array = call("sbatch", "--parsable", str(script)).strip().partition(";")[0]
            shutil.copyfile(script, folder / f"{array}.sbatch")  # what the tasks were submitted with
            submissions.add(array, {str(n): job.folder.name for n, job in zip(numbers, new, strict=True)})
            print(f"{len(new)} runs submitted as job {array}: {script}", flush=True)
        return jobs

    def _ignored(self, folder: Path, arrays: Iterable[str]) -> str:
        """Name the options that differ from those with which array jobs were submitted, and so have no effect."""
        now = _options(self._script(folder, [0]))
        scripts = [folder / f"{array}.sbatch" for array in arrays]
        before = [_options(script.read_text()) for script in scripts if script.exists()]
        names = sorted({key for old in before for key in old.keys() | now.keys() if old.get(key) != now.get(key)})
        if not names:
            return ""
        return (
            f"; they keep the options of their submission, so {', '.join(f'--{name}' for name in names)} has no effect "
            "on them (`scontrol update` changes them, or `scancel` them and submit again)"
        )

    def _script(self, folder: Path, numbers: Iterable[int]) -> str:
        wanted = self.resources
        limit = f"%{wanted.max_parallel}" if wanted.max_parallel else ""
        options = {
            "job-name": self.job_name,
            "array": _ranges(sorted(numbers)) + limit,
            "nodes": wanted.nodes,
            "ntasks-per-node": wanted.tasks_per_node or max(1, wanted.gpus_per_node),
            "gpus-per-node": wanted.gpus_per_node or None,
            "cpus-per-task": wanted.cpus_per_task,
            "time": wanted.time,
            "partition": wanted.partition,
            "account": wanted.account,
            "output": folder / "%A_%a.log",
            "open-mode": "append",
            "requeue": "",
            "signal": f"USR1@{wanted.grace}",
        }
        lines = ["#!/bin/bash"]
        for key, value in options.items():
            if value is not None:
                lines.append(f"#SBATCH --{key}" + (f"={shlex.quote(str(value))}" if value != "" else ""))
        cores = f" --cpus-per-task={wanted.cpus_per_task}" if wanted.cpus_per_task else ""
        return "\n".join(
            [
                *lines,
                "",
                "set -e",
                "unset MASTER_ADDR MASTER_PORT  # runs with the same port cannot share a node",
                *([wanted.setup] if wanted.setup else []),
                f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{wanted.cpus_per_task or 1}}}",
                "# line 1 is the command of task 0; each process trains on its share of every batch",
                f'command=$(sed --quiet "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(str(folder / "commands"))})',
                f'eval "srun --kill-on-bad-exit=1{cores} $command"',
                "",
            ]
        )


def _options(script: str) -> dict[str, str]:
    """Return the options of a script by their name on the command line of ``litcv sweep``."""
    lines = script.splitlines()
    options = dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines if line.startswith("#SBATCH"))
    limit = options.pop("array").partition("%")[2]
    setup = [line for line in lines[lines.index("set -e") + 2 :] if line][:-3]
    named = {"ntasks-per-node": "tasks-per-node", "signal": "grace"}
    own = ("job-name", "output", "open-mode", "requeue")  # the same in every submission
    options = {named.get(key, key): value for key, value in options.items() if key not in own}
    return options | {"max-parallel": limit, "setup": "\n".join(setup)}


def _taken(queue: Queue) -> list[Job]:
    return list(iter(queue.take, None))


def _numbered(path: Path, jobs: Iterable[Job]) -> tuple[list[str], list[int]]:
    """Return the lines of ``commands``, completed for these jobs, and the line number of each job, from 0.

    A line is a shell command; its output goes to the same file as that of a local run.
    """
    commands = [f"{shlex.join(job.command)} >> {shlex.quote(str(job.folder / 'log.txt'))} 2>&1" for job in jobs]
    lines = path.read_text().splitlines() if path.exists() else []
    lines += [command for command in commands if command not in lines]
    return lines, [lines.index(command) for command in commands]


def _write(path: Path, lines: Iterable[str]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(path)


def _ranges(numbers: Sequence[int]) -> str:
    """Return ``0-2,5`` for 0, 1, 2 and 5."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
