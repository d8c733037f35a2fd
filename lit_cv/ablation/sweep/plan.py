"""Plans the runs of a sweep: one job per trial."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lit_cv.ablation.sweep.changes import refuse_changes
from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.labels import level, short_names, with_names
from lit_cv.ablation.sweep.same_runs import Fingerprint, unknown, with_finished
from lit_cv.ablation.sweep.search import searched_trials, trials_of_server
from lit_cv.ablation.sweep.sweep_file import SEED, Metric, Sweep, Trial
from lit_cv.errors import UserError
from lit_cv.runs.files import write_json
from lit_cv.runs.folder import run_folder
from lit_cv.runs.sameness import essence
from lit_cv.runs.settings import canonical

Preflight = Callable[[list[list[str]], Metric | None], None]


def busy(sweep: Sweep, group: Path) -> str:
    """Return the message for a sweep that another process is running."""
    return f"{sweep.path}: another `litcv sweep` is running in {group}; wait for it or stop it."


def plan(sweep: Sweep, fingerprint: Fingerprint = unknown) -> list[Job]:
    """Return one job per known trial, in the sweep's order.

    A Bayesian sweep knows the trials made so far and the first random ones. If W&B's server chooses the trials, the
    trials that agents have started are known. A run that has finished with the same data at another path is not planned
    again: its job has the folder of that run.

    Args:
        sweep: The sweep.
        fingerprint: Returns the fingerprint of the data that a run's arguments name; see ``with_finished``.

    Raises:
        UserError: Two trials are the same run, the trials belong to different groups, a search has no end, or the
            sweep has changed since its runs were started.
    """
    if sweep.method != "grid":
        return make_jobs(sweep, trials_of_server(sweep) or searched_trials(sweep), fingerprint)
    jobs = make_jobs(sweep, sweep.trials(), fingerprint)
    refuse_changes(sweep, jobs[0].folder.parent, jobs)
    return jobs


def make_jobs(sweep: Sweep, trials: Sequence[Trial], fingerprint: Fingerprint = unknown) -> list[Job]:
    """Return one job per trial; see ``plan``.

    Raises:
        UserError: Two trials are the same run, or the trials belong to different groups.
    """
    keys = sweep.swept()
    named = with_names([{key: trial.values[key] for key in keys if key in trial.values} for trial in trials])
    names = short_names(keys)
    jobs = [
        Job(trial, run_folder(trial.args), label(values, names, trial.seed))
        for trial, values in zip(trials, named, strict=True)
    ]
    groups = sorted({str(job.folder.parent) for job in jobs})
    if len(groups) > 1:
        raise UserError(
            f"{sweep.path}: its runs belong to {len(groups)} folders ({', '.join(groups)}); set one --run.group."
        )
    if len({job.folder for job in jobs}) < len(jobs):
        raise UserError(f"{sweep.path}: several trials are the same run; does the command contain ${{args}}?")
    return with_finished(jobs, keys, fingerprint)


def label(values: dict[str, Any], names: dict[str, str], seed: int | None) -> str:
    """Describe a trial: ``anchor_scales=128 256, seed 1``.

    Args:
        values: Values of the swept keys.
        names: Maps the swept keys to short names.
        seed: Seed of the trial; None without one.
    """
    words = [f"{short}={level(key, values[key])}" for key, short in names.items() if key in values]
    return ", ".join(words + ([f"seed {seed}"] if seed is not None and SEED not in names else []))


def save_plan(sweep: Sweep, jobs: Sequence[Job], group: Path) -> None:
    """Write ``sweep.yaml`` (a copy) and ``sweep.json`` (metric, swept keys, arms and their run ids) for the report."""
    temporary = group / ".sweep.yaml.part"
    shutil.copyfile(sweep.path, temporary)
    temporary.replace(group / "sweep.yaml")
    content = {
        "name": sweep.name,
        "description": sweep.description,
        "file": str(sweep.path.resolve()),
        "method": sweep.method,
        "search_seed": None if sweep.method == "grid" else sweep.search_seed,
        "metric": {"name": sweep.metric.name, "goal": sweep.metric.goal} if sweep.metric else None,
        "swept": sweep.swept(),
        "arms": _arms(jobs, sweep.swept()) if sweep.method == "grid" else _searched_arms(jobs, sweep.swept()),
    }
    if sweep.stages:
        content["stages"] = sweep.stages.record()
    write_json(group / "sweep.json", content)


def _arms(jobs: Sequence[Job], swept: Sequence[str]) -> list[dict[str, Any]]:
    arms: dict[str, dict[str, Any]] = {}
    for job in jobs:
        values = {key: value for key, value in job.trial.values.items() if key != SEED}
        arm = arms.setdefault(canonical(values), {"values": values, "runs": []})
        arm["runs"].append(_run(job, job.trial.seed, swept))
    return list(arms.values())


def _run(job: Job, seed: int | None, swept: Sequence[str]) -> dict[str, Any]:
    return {"seed": seed, "id": job.folder.name, "essence": essence(job.settings, swept)}


def _searched_arms(jobs: Sequence[Job], swept: Sequence[str]) -> list[dict[str, Any]]:
    """Return one arm per trial: a search does not repeat trials with other seeds."""
    return [{"values": job.trial.values, "point": job.trial.point, "runs": [_run(job, None, swept)]} for job in jobs]
