"""Estimate the time, GPU-hours and disk space of a sweep from earlier runs or from timed steps."""

import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.labels import CONFIG, duration
from lit_cv.errors import UserError
from lit_cv.runs.failure import excerpt
from lit_cv.runs.files import read_json
from lit_cv.runs.folder import run_folder
from lit_cv.runs.settings import split_arguments

TIMED = (5, 25)  # steps of the two short runs; their difference cancels the cost of starting
WEIGHED = 20  # number of folders whose size is measured
START_SECONDS = 15  # imports, data and the first step; the short runs cannot separate them


class Cost(NamedTuple):
    """The cost of one run.

    Attributes:
        seconds: Wall-clock time, the median over the measured runs.
        bytes: Size of its folder, with checkpoints and pictures.
        basis: Source of the numbers, in words.
    """

    seconds: float
    bytes: float
    basis: str


def known_cost(jobs: Sequence[Job]) -> Cost | None:
    """Return the cost of a run from the time per step of earlier runs of the same experiments.

    Runs of every group below the same root are used.

    Returns:
        The cost, or None if no such run has finished.
    """
    wanted = {_experiment(job.trial.args) for job in jobs}
    steps = statistics.median(_steps(job) or 0 for job in jobs)
    seconds, folders = [], []
    for file in sorted(jobs[0].folder.parent.parent.glob("*/*/result.json")):
        result = read_json(file)
        if _experiment(result["command"]) in wanted and result["steps"]:
            seconds.append(result["fit_seconds"] * (steps / result["steps"] if steps else 1))
            folders.append(file.parent)
    if not seconds:
        return None
    size = statistics.median(_folder_bytes(folder) for folder in folders[-WEIGHED:])
    return Cost(statistics.median(seconds), size, f"as in {len(seconds)} earlier runs")


def timed_cost(job: Job) -> Cost:
    """Return the cost of a run from two short runs of its first steps, in a temporary folder.

    Validations are not timed, so the estimate is a lower bound.

    Raises:
        UserError: A short run fails, or the run's number of steps is not set.
    """
    steps = _steps(job)
    if steps is None:
        raise UserError(f"{job.label}: trainer.max_steps is not set, so its time cannot be estimated; set it.")
    with tempfile.TemporaryDirectory() as root:
        folders = [_short_run(job, count, Path(root)) for count in TIMED]
        taken = [read_json(folder / "result.json")["fit_seconds"] for folder in folders]
        size = _folder_bytes(folders[-1])
    step = max(0.0, taken[1] - taken[0]) / (TIMED[1] - TIMED[0])
    return Cost(START_SECONDS + step * steps, size, f"timed at {step:.3g} s per step, without validation")


def describe(cost: Cost, runs: int, workers: int, gpus: float, root: Path) -> str:
    """Describe the cost of several runs and the free disk space.

    Args:
        cost: Cost of one run.
        runs: Number of runs.
        workers: Number of runs at the same time.
        gpus: GPUs per run.
        root: Folder of the runs, whose disk is examined.
    """
    workers = min(workers, runs)
    total = duration(cost.seconds * -(-runs // workers))
    hours = f", {cost.seconds * runs * gpus / 3600:.2g} GPU-hours" if gpus else ""
    while not root.exists():
        root = root.parent
    disk = f"{cost.bytes * runs / 1e9:.2g} GB of the disk, which has {shutil.disk_usage(root).free / 1e9:.0f} GB free"
    each = f"{workers} at once, {duration(cost.seconds)} each {cost.basis}"
    return f"the remaining runs take about {total} ({each}){hours}, {disk}"


def _short_run(job: Job, steps: int, root: Path) -> Path:
    options = [f"--trainer.max_steps={steps}", "--trainer.limit_val_batches=1", f"--run.root={root}"]
    args = [*job.trial.args, *options, "--run.wandb=disabled"]
    done = subprocess.run([*job.trial.program, *args], capture_output=True, text=True)
    if done.returncode:
        reason = [f"exit code {done.returncode}", *excerpt(done.stderr.strip() or done.stdout)][-1]
        raise UserError(f"a run of {steps} steps for the estimate failed: {reason}")
    return run_folder(args)


def _experiment(args: Sequence[str]) -> str | None:
    files = [Path(str(value)) for key, value in split_arguments(args) if key == CONFIG]
    return "/".join(files[0].parts[-2:]) if files else None


def _steps(job: Job) -> int | None:
    steps: Any = job.settings.get("trainer.max_steps")
    return steps if isinstance(steps, int) and steps > 0 else None


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
