"""Slurm's view of the runs of a sweep: its command-line tools and the record of submitted tasks."""

import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_cv.ablation.executors.base import Task
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json, write_json
from lit_cv.runs.records import SUBMITTED, checked

ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
ENDED |= {"PREEMPTED", "TIMEOUT"}
UNREAD = "unknown"  # state of a task while Slurm cannot be asked
FIELDS = ("ArrayJobID", "ArrayTaskID", "State", "Reason", "NodeList", "TimeUsed", "RestartCnt")


def call(*command: str) -> str:
    """Run one of Slurm's commands and return its output.

    Raises:
        UserError: The command is not installed, or it fails; its own message is included.
    """
    try:
        answer = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(
            f"{command[0]}: not found; --executor slurm needs a machine that can submit Slurm jobs."
        ) from None
    if answer.returncode:
        raise UserError(f"{' '.join(answer.stderr.split()) or command[0] + ' failed'}; fix this and run it again.")
    return answer.stdout


class Submissions:
    """``<group>/slurm/jobs.json``: the array jobs of a sweep and the run of each task."""

    def __init__(self, group: Path) -> None:
        self.path = group / "slurm" / "jobs.json"
        content = {"jobs": read_json(self.path) if self.path.exists() else {}}
        self._jobs: dict[str, dict[str, str]] = checked(str(self.path), content, SUBMITTED)["jobs"]

    def add(self, job: str, runs: dict[str, str]) -> None:
        """Record an array job; ``runs`` maps a task to its run id."""
        self._jobs[job] = runs
        write_json(self.path, self._jobs)

    def tasks(self) -> dict[str, Task]:
        """Map each run id to its last task, in its current state.

        Raises:
            UserError: Slurm's queue cannot be read.
        """
        last = self._last()
        if not last:
            return {}
        seen = _queued()
        forgotten = {name for name in last.values() if name not in seen}
        seen |= _accounted({name.partition("_")[0] for name in forgotten}) if forgotten else {}
        return {run: replace(seen.get(name, Task(name)), log=self._log(name)) for run, name in last.items()}

    def unread(self) -> dict[str, Task]:
        """Map each run id to its last task, as if it were active: its state cannot be read."""
        return {run: Task(name, UNREAD, active=True, log=self._log(name)) for run, name in self._last().items()}

    def _last(self) -> dict[str, str]:
        return {run: f"{job}_{task}" for job, runs in self._jobs.items() for task, run in runs.items()}

    def _log(self, name: str) -> Path:
        return self.path.parent / f"{name}.log"


def _queued() -> dict[str, Task]:
    """Return all of the user's tasks that are pending, running or ended a few minutes ago."""
    output = call(
        "squeue", "--me", "--array", "--noheader", "--states=all", "--Format", ",".join(f"{f}:200|" for f in FIELDS)
    )
    rows = ([word.strip() for word in line.split("|")] for line in output.splitlines())
    tasks = (
        _task(f"{job}_{task}", state, reason, nodes, elapsed, int(restarts))
        for job, task, state, reason, nodes, elapsed, restarts, _ in rows
    )
    return {task.name: task for task in tasks}


def _accounted(jobs: Iterable[str]) -> dict[str, Task]:
    """Return the accounting records of array jobs; empty on a cluster without accounting."""
    fields = "JobID,State,NodeList,Elapsed"
    try:
        output = call(
            "sacct",
            "--allocations",
            "--noheader",
            "--parsable2",
            f"--format={fields}",
            f"--jobs={','.join(sorted(jobs))}",
        )
    except UserError:
        return {}
    rows = (line.split("|") for line in output.splitlines())
    return {name: _task(name, state.split()[0], "", nodes, elapsed) for name, state, nodes, elapsed in rows}


def _task(name: str, state: str, *details: Any) -> Task:
    """Return a task; ``state`` is Slurm's word, such as ``OUT_OF_MEMORY``."""
    return Task(name, state.lower().replace("_", " "), state not in ENDED, *details)
