"""What Slurm says of the runs of a sweep: its command-line tools, and the record of which task is which run."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lit_cv.errors import UserError
from lit_cv.runs.files import read_json, write_json

ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
ENDED |= {"PREEMPTED", "TIMEOUT"}
FIELDS = ("ArrayJobID", "ArrayTaskID", "State", "Reason", "NodeList", "TimeUsed", "RestartCnt")


@dataclass(frozen=True)
class Task:
    """A task of an array job as Slurm sees it.

    Attributes:
        name: `<array job>_<task>`, as Slurm's own commands take it.
        state: Slurm's word, such as `RUNNING`; empty if Slurm remembers the task no more.
        reason: why it is pending.
        nodes: where it runs or ran.
        elapsed: its running time, `[days-]hours:minutes:seconds` or shorter.
        restarts: how often it was queued again.
    """

    name: str
    state: str = ""
    reason: str = ""
    nodes: str = ""
    elapsed: str = ""
    restarts: int = 0

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state != "" and self.state not in ENDED


def call(*command: str) -> str:
    """Run one of Slurm's commands and return what it prints.

    Raises:
        UserError: it is not installed, or it refuses; its own sentence is passed on.
    """
    try:
        answer = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(
            f"{command[0]}: not found; --executor slurm works on a machine that can submit Slurm jobs."
        ) from None
    if answer.returncode:
        raise UserError(f"{' '.join(answer.stderr.split()) or command[0] + ' failed'}; mend that and run it again.")
    return answer.stdout


class Submissions:
    """`<group>/slurm/jobs.json`: the array jobs of a sweep and the run that each of their tasks carries out."""

    def __init__(self, group: Path) -> None:
        self.path = group / "slurm" / "jobs.json"
        self._jobs: dict[str, dict[str, str]] = read_json(self.path) if self.path.exists() else {}

    def add(self, job: str, runs: dict[str, str]) -> None:
        """Record an array job with its task -> run id."""
        self._jobs[job] = runs
        write_json(self.path, self._jobs)

    def tasks(self) -> dict[str, Task]:
        """Run id -> the last task that carries it out, as Slurm sees it now.

        Raises:
            UserError: Slurm's queue cannot be asked.
        """
        last = {run: f"{job}_{task}" for job, runs in self._jobs.items() for task, run in runs.items()}
        if not last:
            return {}
        seen = _queued()
        forgotten = {name for name in last.values() if name not in seen}
        seen |= _accounted({name.partition("_")[0] for name in forgotten}) if forgotten else {}
        return {run: seen.get(name, Task(name)) for run, name in last.items()}


def _queued() -> dict[str, Task]:
    """All of the user's tasks that wait or run, and those that ended some minutes ago."""
    output = call(
        "squeue", "--me", "--array", "--noheader", "--states=all", "--Format", ",".join(f"{f}:200|" for f in FIELDS)
    )
    rows = ([word.strip() for word in line.split("|")] for line in output.splitlines())
    tasks = (
        Task(f"{job}_{task}", state, reason, nodes, elapsed, int(restarts))
        for job, task, state, reason, nodes, elapsed, restarts, _ in rows
    )
    return {task.name: task for task in tasks}


def _accounted(jobs: Iterable[str]) -> dict[str, Task]:
    """What the accounting remembers of array jobs; nothing on a cluster that keeps none."""
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
    return {name: Task(name, state.split()[0], "", nodes, elapsed) for name, state, nodes, elapsed in rows}
