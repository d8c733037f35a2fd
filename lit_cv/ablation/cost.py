"""What a sweep will cost, before it is launched: time, GPU-hours and disk, from earlier runs or from timed steps."""

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
from lit_cv.runs.files import read_json
from lit_cv.runs.folder import run_folder
from lit_cv.runs.settings import merged_arguments, split_arguments

TIMED = (5, 25)  # steps of the two short runs; their difference leaves out what a start costs
WEIGHED = 20  # folders whose size is looked at
START_SECONDS = 15  # imports, data and the first step, which the short runs cannot tell apart


class Cost(NamedTuple):
    """What one run takes.

    Attributes:
        seconds: wall clock, as the median of the runs that it is known from.
        bytes: of its folder, checkpoints and pictures included.
        basis: where the numbers come from.
    """

    seconds: float
    bytes: float
    basis: str


def known_cost(jobs: Sequence[Job]) -> Cost | None:
    """The cost of a run by what earlier runs of the same experiments took a step, in any group of the same root.

    Returns:
        None where none of them has finished.
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
    """The cost of a run by two short ones of its first steps, in a folder that is deleted afterwards.

    Validations are left out, and so the estimate is a lower bound.

    Raises:
        UserError: a short run fails, or the run's number of steps is not set.
    """
    steps = _steps(job)
    if steps is None:
        raise UserError(f"{job.label}: trainer.max_steps is not set, so that its time cannot be foretold; set it.")
    with tempfile.TemporaryDirectory() as root:
        folders = [_short_run(job, count, Path(root)) for count in TIMED]
        taken = [read_json(folder / "result.json")["fit_seconds"] for folder in folders]
        size = _folder_bytes(folders[-1])
    step = max(0.0, taken[1] - taken[0]) / (TIMED[1] - TIMED[0])
    return Cost(START_SECONDS + step * steps, size, f"timed at {step:.3g} s a step, without validation")


def describe(cost: Cost, runs: int, workers: int, gpus: float, root: Path) -> str:
    """What `runs` runs cost, `workers` at once with `gpus` GPUs each, and what the disk of `root` has left."""
    workers = min(workers, runs)
    total = duration(cost.seconds * -(-runs // workers))
    hours = f", {cost.seconds * runs * gpus / 3600:.2g} GPU-hours" if gpus else ""
    while not root.exists():
        root = root.parent
    disk = f"{cost.bytes * runs / 1e9:.2g} GB of the disk, which has {shutil.disk_usage(root).free / 1e9:.0f} GB left"
    each = f"{workers} at once, {duration(cost.seconds)} each {cost.basis}"
    return f"the rest takes about {total} ({each}){hours}, {disk}"


def _short_run(job: Job, steps: int, root: Path) -> Path:
    options = [f"--trainer.max_steps={steps}", "--trainer.limit_val_batches=1", f"--run.root={root}"]
    args = [*job.trial.args, *options, "--run.wandb=disabled"]
    done = subprocess.run([*job.trial.program, *args], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise UserError(f"a run of {steps} steps for the estimate failed: {last}")
    return run_folder(args)


def _experiment(args: Sequence[str]) -> str | None:
    files = [Path(str(value)) for key, value in split_arguments(args) if key == CONFIG]
    return "/".join(files[0].parts[-2:]) if files else None


def _steps(job: Job) -> int | None:
    steps: Any = merged_arguments(job.trial.args).get("trainer.max_steps")
    return steps if isinstance(steps, int) and steps > 0 else None


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
