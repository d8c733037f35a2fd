"""Checks an edited sweep file against its existing runs: new values may be added, nothing else may change."""

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.same_runs import recorded
from lit_cv.ablation.sweep.sweep_file import Sweep, read_sweep_yaml
from lit_cv.errors import UserError
from lit_cv.runs.folder import is_finished
from lit_cv.runs.records import PLAN, read_record
from lit_cv.runs.sameness import essence
from lit_cv.runs.settings import canonical

FREE = ("name", "description", "project", "entity", "run_cap")  # keys that change no existing run
OF_THE_GRID = {"parameters", "command", "program", "metric"}  # keys that may change if every former run remains a run


def refuse_changes(sweep: Sweep, group: Path, jobs: Sequence[Job] = ()) -> None:
    """Compare a sweep with the sweep file that its existing runs were started with.

    Values, seeds and parameters may be added to a grid as long as every started run remains one of its runs. In a
    search only the number of runs may change, because the trials depend on the whole file.

    Args:
        sweep: The current sweep.
        group: Folder of its runs.
        jobs: All runs of a grid.

    Raises:
        UserError: The sweep has changed in another way; the difference has been printed.
    """
    former = group / "sweep.yaml"
    if not former.exists():
        return
    before, now = without_free_keys(read_sweep_yaml(former)), without_free_keys(sweep.definition)
    changed = {key for key in before.keys() | now.keys() if canonical(before.get(key)) != canonical(now.get(key))}
    begun = {run for run in _runs(group) if (group / run).exists()}
    begun |= set() if sweep.method == "grid" else {file.parent.name for file in group.glob("*/run.json")}
    lost = begun - _kept(sweep, group, jobs) if sweep.method == "grid" else set()
    if changed and begun and (lost or sweep.method != "grid" or not changed <= OF_THE_GRID):
        _print_difference(before, now, former, sweep.path)
        raise UserError(
            f"{sweep.path}: differs as shown from what the {len(begun)} runs in {group} were started with; "
            f"give the changed sweep another --run.group in its command, or delete {group}."
        )
    if lost:
        print(
            f"The experiment has changed: {len(lost)} runs of its former version stay in {group} but not in the report."
        )


def _kept(sweep: Sweep, group: Path, jobs: Sequence[Job]) -> set[str]:
    """Return the runs that remain runs of the sweep; an unfinished one may start again at another path."""
    names, swept = {job.folder.name for job in jobs}, sweep.swept()
    if names >= set(_runs(group)):
        return names
    wanted = {essence(job.settings, swept) for job in jobs}
    return names | {
        folder.name for same, folder in recorded(group, swept) if same in wanted and not is_finished(folder)
    }


def _print_difference(before: Mapping[str, Any], now: Mapping[str, Any], former: Path, file: Path) -> None:
    old, new = (yaml.safe_dump(content, default_flow_style=None).splitlines() for content in (before, now))
    print(*difflib.unified_diff(old, new, str(former), str(file), lineterm=""), sep="\n", file=sys.stderr)


def without_free_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a sweep file without the keys that change no run."""
    return {key: value for key, value in content.items() if key not in FREE}


def _runs(group: Path) -> list[str]:
    return [run["id"] for arm in read_record(group / "sweep.json", PLAN)["arms"] for run in arm["runs"]]
