"""Estimate the time, GPU-hours and disk space of a sweep from earlier runs or from timed steps."""

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.labels import CONFIG, duration
from lit_cv.errors import UserError
from lit_cv.runs.failure import excerpt
from lit_cv.runs.folder import run_folder
from lit_cv.runs.records import RESULT, read_record
from lit_cv.runs.settings import split_arguments

TIMED = (2, 6)  # steps of two short runs, whose difference is the time of a step
BATCHES = 3  # of the validation of a third run
EVAL_BATCH = 8  # largest number of images of a validation batch, see `datamodules.loading.sampling.EvalBatches`
WEIGHED = 20  # number of folders whose size is measured


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
    seconds, around, folders = [], [], []
    for file in sorted(jobs[0].folder.parent.parent.glob("*/*/result.json")):
        result = read_record(file, RESULT)
        if _experiment(result["command"]) in wanted and result["steps"]:
            seconds.append(result["fit_seconds"] * (steps / result["steps"] if steps else 1))
            around.append(_around(result))
            folders.append(file.parent)
    if not seconds:
        return None
    size = statistics.median(_folder_bytes(folder) for folder in folders[-WEIGHED:])
    return Cost(statistics.median(seconds) + statistics.median(around), size, f"as in {len(seconds)} earlier runs")


def timed_cost(job: Job) -> Cost:
    """Return the cost of a run from three short runs of its first steps, in a temporary folder.

    The time of the start is that of a new process; a run that is forked starts faster.

    Raises:
        UserError: A short run fails, or the run's number of steps is not set.
    """
    steps = _steps(job)
    if steps is None:
        raise UserError(f"{job.label}: trainer.max_steps is not set, so its time cannot be estimated; set it.")
    few, more = min(TIMED[0], max(1, steps - 1)), min(TIMED[1], steps)
    with tempfile.TemporaryDirectory() as root:
        clock = time.monotonic()
        first = _short_run(job, few, 1, Path(root) / "first")
        start = max(0.0, time.monotonic() - clock - first["fit_seconds"])
        longer = _short_run(job, more, 1, Path(root) / "longer")
        validated = _short_run(job, few, BATCHES, Path(root) / "validated")
        size = _folder_bytes(Path(root) / "longer")
    step = max(0.0, longer["fit_seconds"] - first["fit_seconds"]) / max(1, more - few)
    batches = _validation_batches(job, longer)
    further = max(1, min(BATCHES, batches) - 1)
    batch = max(0.0, validated["fit_seconds"] - first["fit_seconds"]) / further
    seconds = start + step * steps + batch * batches * _validations(job, steps)
    basis = f"timed at {step:.3g} s per step, {batch * batches:.3g} s per validation and {start:.0f} s to start"
    return Cost(seconds, size, basis)


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


def _short_run(job: Job, steps: int, batches: int, root: Path) -> dict[str, Any]:
    """Train for some steps, validate on some batches, and return the result."""
    options = [f"--trainer.max_steps={steps}", f"--trainer.limit_val_batches={batches}", f"--run.root={root}"]
    args = [*job.trial.args, *options, "--run.wandb=disabled"]
    done = subprocess.run([*job.trial.program, *args], capture_output=True, text=True)
    if done.returncode:
        reason = [f"exit code {done.returncode}", *excerpt(done.stderr.strip() or done.stdout)][-1]
        raise UserError(f"a run of {steps} steps for the estimate failed: {reason}")
    return read_record(run_folder(args) / "result.json", RESULT)


def _validation_batches(job: Job, result: dict[str, Any]) -> int:
    """Return the number of batches of a validation of the run."""
    images = next((n for key, n in result["data"]["counts"].items() if key == "val/images"), 0)
    batches = -(-images // min(EVAL_BATCH, int(job.settings.get("data.batch_size", EVAL_BATCH))))
    limit = job.settings.get("trainer.limit_val_batches")
    return max(1, min(batches, limit) if isinstance(limit, int) else batches)


def _validations(job: Job, steps: int) -> int:
    """Return the number of validations; the final weights are always validated."""
    every = job.settings.get("trainer.val_check_interval")
    return max(1, -(-steps // every)) if isinstance(every, int) and every > 0 else 1


def _around(result: dict[str, Any]) -> float:
    """Return the seconds that a run took before and after its steps; 0 if the result does not tell it."""
    if not ("started" in result and "finished" in result):
        return 0.0
    begin, end = (datetime.fromisoformat(result[key].replace("Z", "+00:00")) for key in ("started", "finished"))
    return max(0.0, (end - begin).total_seconds() - float(result["fit_seconds"]))


def _experiment(args: Sequence[str]) -> str | None:
    files = [Path(str(value)) for key, value in split_arguments(args) if key == CONFIG]
    return "/".join(files[0].parts[-2:]) if files else None


def _steps(job: Job) -> int | None:
    steps: Any = job.settings.get("trainer.max_steps")
    return steps if isinstance(steps, int) and steps > 0 else None


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
