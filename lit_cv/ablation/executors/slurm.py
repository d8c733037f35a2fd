"""The Slurm executor: one array job for the missing runs of a sweep, from a script that can be read and edited."""

import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from lit_cv.ablation.executors.slurm_options import Resources
from lit_cv.ablation.executors.slurm_queue import Submissions, call
from lit_cv.ablation.sweep.jobs import Job, Queue

POLL_SECONDS = 10.0


class SlurmExecutor:
    """Submits what a queue hands out as one array job, `sbatch <group>/slurm/sweep.sbatch`.

    `<group>/slurm/commands` holds the command of every run, and a task carries out the line of its number. Lines are
    only ever added, so that a task which still waits finds the line that it was submitted for.

    Args:
        name: name of the jobs.
        resources: what each run asks for.
    """

    waits = False

    def __init__(self, name: str, resources: Resources) -> None:
        self.name, self.resources = name, resources
        self.workers = resources.max_parallel or sys.maxsize
        self.gpus = float(resources.nodes * resources.gpus_per_node)

    def preview(self, jobs: Sequence[Job]) -> str:
        """The script and the commands that would be submitted."""
        if not jobs:
            return ""
        folder = jobs[0].folder.parent / "slurm"
        lines, numbers = _numbered(folder / "commands", jobs)
        return "\n".join([self._script(folder, numbers), *(f"# task {n}: {lines[n]}" for n in numbers)])

    def execute(self, queue: Queue) -> list[Job]:
        """Submit what the queue hands out and is not in Slurm's queue already.

        Returns at once, and without a failed job, unless later runs depend on the results of these, or some may be
        asked to stop: then it stays, and submits each as soon as the queue hands it out.
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
            print(f"{len(active)} runs wait or run in Slurm already.", flush=True)
        if new:
            lines, numbers = _numbered(folder / "commands", new)
            _write(folder / "commands", lines)
            script = folder / "sweep.sbatch"
            script.write_text(self._script(folder, numbers))
            for job in new:
                job.folder.mkdir(parents=True, exist_ok=True)  # the log is written there
                job.forget_failure()
            array = call("sbatch", "--parsable", str(script)).strip().partition(";")[0]
            submissions.add(array, {str(n): job.folder.name for n, job in zip(numbers, new, strict=True)})
            print(f"{len(new)} runs submitted as job {array}: {script}", flush=True)
        return jobs

    def _script(self, folder: Path, numbers: Iterable[int]) -> str:
        wanted = self.resources
        limit = f"%{wanted.max_parallel}" if wanted.max_parallel else ""
        options = {
            "job-name": self.name,
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
                "unset MASTER_ADDR MASTER_PORT  # runs that inherit one port cannot share a node",
                *([wanted.setup] if wanted.setup else []),
                f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{wanted.cpus_per_task or 1}}}",
                "# line 1 is the command of task 0; each process trains on its share of every batch",
                f'command=$(sed --quiet "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(str(folder / "commands"))})',
                f'eval "srun --kill-on-bad-exit=1{cores} $command"',
                "",
            ]
        )


def _taken(queue: Queue) -> list[Job]:
    return list(iter(queue.take, None))


def _numbered(path: Path, jobs: Iterable[Job]) -> tuple[list[str], list[int]]:
    """The lines of `commands` with those that it lacks for these jobs, and the number of each job's line, from 0.

    A line is a command of the shell; its output goes where that of a local run goes.
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
    """`0-2,5` for 0, 1, 2 and 5."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
