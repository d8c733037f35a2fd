"""Estimate the time, GPU-hours and disk space of a sweep from earlier runs or from timed steps."""

import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from lit_cv.ablation.executors.processes import LOG, Starter
from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.labels import CONFIG, duration
from lit_cv.errors import UserError
from lit_cv.runs.failure import excerpt
from lit_cv.runs.files import read_tail
from lit_cv.runs.folder import run_folder
from lit_cv.runs.records import RESULT, read_record
from lit_cv.runs.sameness import PLACES
from lit_cv.runs.settings import canonical, split_arguments

STEPS = 6  # of a short run
BATCHES = 3  # of its validation
POLL_SECONDS = 0.02
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


class Pace(NamedTuple):
    """The cost of a run as a short one shows it: seconds of the run, of a step, of a validation and to start."""

    seconds: float
    bytes: float
    step: float
    validation: float
    start: float


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
    basis = "as in 1 earlier run" if len(seconds) == 1 else f"as in {len(seconds)} earlier runs"
    return Cost(statistics.median(seconds) + statistics.median(around), size, basis)


def timed_cost(jobs: Sequence[Job], bound: float = math.inf) -> Cost | None:
    """Return the mean cost of some runs from a short run of one of each structure, in a temporary folder.

    A run is forked like those of a sweep, takes a few steps and validates on a few batches. Missing generated data is
    generated in the temporary folder, and weights are not downloaded.

    Args:
        jobs: The runs. Those that differ in no setting of network, data or trainer have one structure.
        bound: Seconds for all short runs; the rest of the structures is not timed and counts like the timed ones.

    Returns:
        The cost; None if no run could be timed within the bound.

    Raises:
        UserError: A short run fails, or a run's number of steps is not set.
    """
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(_structure(job), []).append(job)
    end, timed = time.monotonic() + bound, list[tuple[int, Pace]]()
    with tempfile.TemporaryDirectory() as root, Starter({}) as starter:
        starter.wait(jobs[0], bound)
        for number, group in enumerate(groups.values()):
            pace = _timed(starter, group[0], Path(root) / str(number), end) if time.monotonic() < end else None
            if pace is None:
                break
            timed.append((len(group), pace))
    if not timed:
        return None
    runs = sum(count for count, _ in timed)
    words = [_range([getattr(pace, name) for _, pace in timed]) for name in ("step", "validation", "start")]
    basis = f"timed at {words[0]} s per step, {words[1]} s per validation and {words[2]} s to start"
    if len(timed) < len(groups):
        basis += f"; {len(groups) - len(timed)} of {len(groups)} structures were not timed within {bound:.0f} s"
    return Cost(
        sum(count * pace.seconds for count, pace in timed) / runs,
        sum(count * pace.bytes for count, pace in timed) / runs,
        basis,
    )


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


def _timed(starter: Starter, job: Job, folder: Path, end: float) -> Pace | None:
    """Time a short run of a job; None if it has not ended at the moment `end`."""
    steps = _steps(job)
    if steps is None:
        raise UserError(f"{job.label}: trainer.max_steps is not set, so its time cannot be estimated; set it.")
    short = _shortened(job, min(STEPS, steps), folder)
    begin = time.monotonic()
    process = starter.start(short, {})
    while (code := process.poll()) is None:
        if time.monotonic() > end:
            process.kill()
            return None
        time.sleep(POLL_SECONDS)
    wall = time.monotonic() - begin
    if code or not short.finished:
        reason = [f"exit code {code}", *excerpt(read_tail(short.folder / LOG))][-1]
        raise UserError(f"a run of {min(STEPS, steps)} steps for the estimate failed: {reason}")
    result = read_record(short.folder / "result.json", RESULT)
    pace = result["pace"]
    batch = pace["step"] if pace["step"] is not None else pace["first_step"]
    step = batch * (job.settings.get("trainer.accumulate_grad_batches") or 1)
    validation = pace["validation"] / max(1, min(BATCHES, pace["batches"])) * _validation_batches(job, result)
    start = max(0.0, wall - pace["total"])
    seconds = start + pace["first_step"] + step * (steps - 1) + validation * _validations(job, steps)
    return Pace(seconds, _folder_bytes(short.folder), step, validation, start)


def _shortened(job: Job, steps: int, folder: Path) -> Job:
    """Return a job of a few steps in a folder of its own."""
    options = [f"--trainer.max_steps={steps}", f"--trainer.limit_val_batches={BATCHES}", f"--run.root={folder}"]
    root, weights = job.settings.get("data.root"), job.settings.get("model.network.weights")
    if job.settings.get("data.source") == "shapes" and not Path(str(root)).exists():
        options.append(f"--data.root={folder / 'data'}")
    if weights is not None and not Path(str(weights)).is_file():
        options.append("--model.network.weights=null")
    args = [*job.trial.args, *options, "--run.wandb=disabled"]
    return replace(job, trial=replace(job.trial, args=args), folder=run_folder(args))


def _structure(job: Job) -> str:
    """Return a text that jobs share if a step of theirs takes the same time."""
    kept = ("model.network", "data", "trainer", "model.class_path", "model.compile", "model")
    free = (*PLACES, "data.shuffle_targets")
    return canonical(
        {
            key: value
            for key, value in job.settings.items()
            if key not in free and (key in kept or key.startswith(("model.network.", "data.", "trainer.")))
        }
    )


def _range(values: Sequence[float]) -> str:
    """Return one number in three digits, or the smallest and the largest."""
    texts = [f"{value:.3g}" for value in (min(values), max(values))]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


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
