"""``litcv sweep FILE --status``: the state of every run, from its folder and from the queues of the executors."""

import csv
import fcntl
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lit_cv.ablation.executors.base import Task
from lit_cv.ablation.executors.registry import log_prefixes, queued
from lit_cv.ablation.sweep.jobs import Job
from lit_cv.runs.failure import excerpt
from lit_cv.runs.files import read_tail


def status(name: str, jobs: Sequence[Job]) -> str:
    """Return a table with one line per run: id, trial, state and details."""
    tasks = queued(jobs[0].folder.parent)
    states = [_state(job, tasks.get(job.folder.name)) for job in jobs]
    counts = ", ".join(f"{count} {state}" for state, count in Counter(state for state, _ in states).items())
    rows = [(job.folder.name, job.label, *state) for job, state in zip(jobs, states, strict=True)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows]
    return "\n".join([f"{name}: {len(jobs)} runs: {counts}", *lines])


def _state(job: Job, task: Task | None) -> tuple[str, str]:
    """Return the state of a run in one or two words, and the details."""
    folder = job.folder
    if job.finished:
        return "finished", ""
    if task is not None and task.active:
        return _of_active(folder, task)
    if task is None and _locked(folder / ".lock"):
        return "running", _step(folder)
    log = _reason(folder / "log.txt")  # empty while there is no log
    if task is not None:
        state = "unfinished" if task.state in ("completed", "") else task.state
        before = _reason(task.log) if task.log else ""  # an error of the queue's script, before the run has started
        return state, _joined(f"job {task.name}", task.nodes and f"on {task.nodes}", _step(folder), before or log)
    if failure := job.failure:
        return "failed", _joined(_step(folder), failure["reason"], failure.get("error") or log)
    if not (folder / "run.json").exists() and not log:
        return "not started", ""
    return "unfinished", _joined(_step(folder), log)


def _of_active(folder: Path, task: Task) -> tuple[str, str]:
    again = f"requeued {task.restarts} times" if task.restarts > 1 else "requeued once" if task.restarts else ""
    if task.state == "pending":
        return "requeued" if again else "pending", _joined(f"job {task.name}", task.reason, again, _step(folder))
    where = _joined(f"job {task.name}", task.nodes and f"on {task.nodes}", _step(folder), task.elapsed, again)
    return task.state, where


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _locked(path: Path) -> bool:
    """Return whether a process of this machine is working on the run."""
    if not path.exists():
        return False
    with path.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _step(folder: Path) -> str:
    """Return the last logged step, such as ``step 120``."""
    row = next(csv.reader([_last_line(folder / "metrics.csv")]), [])
    return f"step {row[0]}" if row and row[0].isdigit() else ""


def _last_line(path: Path) -> str:
    """Return the last non-empty line of a text file; empty if there is none."""
    return next((line.strip() for line in reversed(read_tail(path).splitlines()) if line.strip()), "")


def _reason(log: Path) -> str:
    """Return the error in the log of a run, or its last line; lines that the executor wrote are left out."""
    lines = [line for line in read_tail(log).splitlines() if not line.startswith(log_prefixes())]
    return next((line.strip() for line in reversed(excerpt("\n".join(lines)))), "")
