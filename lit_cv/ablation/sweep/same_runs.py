"""Finds finished runs of a group that are the same as a planned run, but for the places of their files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_cv.ablation.sweep.jobs import Job
from lit_cv.runs.files import read_yaml
from lit_cv.runs.folder import is_finished, run_id
from lit_cv.runs.records import PLAN, RESULT, read_record
from lit_cv.runs.sameness import essence
from lit_cv.runs.settings import canonical, flatten, merged_arguments

ROOT = "data.root"
Fingerprint = Callable[[Sequence[str]], str | None]


def unknown(args: Sequence[str]) -> None:
    """Know no fingerprint: data at another path counts as other data."""


def with_finished(jobs: Sequence[Job], swept: Sequence[str], fingerprint: Fingerprint) -> list[Job]:
    """Return the jobs, each in the folder of the finished run that has its result already, if there is one.

    Args:
        jobs: Jobs of one group.
        swept: Keys that the sweep varies.
        fingerprint: Returns the fingerprint of the data of a run's arguments, or None if the data is not here.
    """
    if not jobs:
        return []
    group = jobs[0].folder.parent
    if all(job.folder.exists() for job in jobs) or not (group / "sweep.json").exists():
        return list(jobs)
    taken = {job.folder for job in jobs if job.folder.exists()}
    known = {same: folder for same, folder in recorded(group, swept) if folder not in taken and is_finished(folder)}
    prints: dict[str, str | None] = {}

    def found(job: Job) -> Path | None:
        folder = known.get(essence(job.settings, swept))
        if folder is None or flatten(read_yaml(folder / "config.yaml")).get(ROOT) == job.settings.get(ROOT):
            return folder
        data = canonical({key: value for key, value in job.settings.items() if key.split(".")[0] == "data"})
        if data not in prints:
            prints[data] = fingerprint(job.trial.args)
        theirs = read_record(folder / "result.json", RESULT)["data"]["fingerprint"]
        return folder if prints[data] == theirs else None

    return [
        replace(job, folder=same) if not job.folder.exists() and (same := found(job)) is not None else job
        for job in jobs
    ]


def recorded(group: Path, swept: Sequence[str]) -> list[tuple[str, Path]]:
    """Return the essence and the folder of each run in a group's plan, if its settings are known."""
    arms: list[dict[str, Any]] = read_record(group / "sweep.json", PLAN)["arms"]
    runs = [run for arm in arms for run in arm["runs"]]
    return [
        (same, group / run["id"]) for run in runs if (same := run.get("essence") or _essence(group, run["id"], swept))
    ]


def _essence(group: Path, name: str, swept: Sequence[str]) -> str | None:
    """Return the essence of a run of an earlier version, if its experiment file has not changed since."""
    if not is_finished(group / name):
        return None
    command = read_record(group / name / "result.json", RESULT)["command"]
    return essence(merged_arguments(command), swept) if run_id(command) == name else None
