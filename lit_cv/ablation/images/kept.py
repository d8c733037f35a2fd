"""The resamples of a study's runs: which are there, which are missing, and which do not fit the table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lit_cv.ablation.results.cells import scaled
from lit_cv.ablation.results.identical import few
from lit_cv.ablation.results.scores import LAST
from lit_cv.ablation.results.study import Run
from lit_cv.ablation.results.tables import Table
from lit_cv.runs.resamples import Resamples, read_resamples

Resample = Callable[[Sequence[Path], str], dict[Path, str]]
"""Resamples folders of predictions for a metric, and returns one that cannot be, with the reason, or nothing."""

PREDICTIONS = "predictions"
MOST_RUNS, MOST_BYTES = 32, 20 * 2**20  # of predictions that are resampled without being asked
ROUNDING = 1e-6  # between a metric and its value from predictions; metrics are logged with at least 7 digits


@dataclass
class Kept:
    """Resamples of all runs of a table.

    Attributes:
        by_run: Resamples by run; empty if any run lacks them.
        reason: Sentence about why there are none; empty if there are, or if nobody wants them.
    """

    by_run: dict[Path, Resamples] = field(default_factory=dict)
    reason: str = ""


def collect(table: Table, asked: bool | None, resample: Resample) -> Kept:
    """Return the resamples of all runs that the table's means count, or the reason why there are none.

    Args:
        table: The table.
        asked: Whether to resample runs that were not yet; None: if it is little work.
        resample: See ``Resample``.
    """
    split, _, name = table.metric.partition("/")
    if split != "val":
        return Kept(reason=f"{table.metric} is no metric of the validation, whose predictions are kept.")
    folder = f"{PREDICTIONS}/{'val' if table.value == LAST else 'val_best'}"
    runs = [(row.arm.runs[seed], score) for row in table.rows for seed, score in row.scores.items()]
    if without := [run for run, _ in runs if not (run.folder / folder / "meta.json").is_file()]:
        return Kept(reason=_without(without, len(runs), folder))
    places = {run.folder: run.folder / folder for run, _ in runs}
    found = {run: read_resamples(place, name) for run, place in places.items()}
    missing = [places[run] for run, kept in found.items() if kept is None]
    if missing and asked is None and (why := _too_much(missing)):
        group = runs[0][0].folder.parent
        return Kept(reason=f"{why}; `litcv report {group} --images` resamples them, once for each run.")
    reasons = resample(missing, table.metric) if missing else {}
    for place, text in reasons.items():
        return Kept(reason=text if str(place.parents[1]) in text else f"{place.parents[1]}: {text}")
    found |= {run: read_resamples(place, name) for run, place in places.items() if place in missing}
    by_run = {run: kept for run, kept in found.items() if kept is not None}
    reason = _unequal(by_run) or _other_values(table, runs, by_run)
    return Kept(reason=reason) if reason else Kept(by_run)


def _without(runs: Sequence[Run], count: int, folder: str) -> str:
    if len(runs) == count:
        return f"no run has {folder} (runs of earlier versions did not keep them)."
    return f"{few(run.name for run in runs)} {'has' if len(runs) == 1 else 'have'} no {folder}."


def _too_much(folders: Sequence[Path]) -> str:
    size = sum(file.stat().st_size for folder in folders for file in folder.glob("*.npy"))
    if len(folders) <= MOST_RUNS and size <= MOST_BYTES:
        return ""
    return f"{len(folders)} runs with {size / 2**20:,.0f} MiB of predictions were not yet resampled"


def _unequal(found: dict[Path, Resamples]) -> str:
    """Say which runs were evaluated on other images than the first one."""
    first, *others = found
    other = [run for run in others if found[run].names != found[first].names]
    if not other:
        return ""
    was = "was" if len(other) == 1 else "were"
    return (
        f"{few(_name(run) for run in other)} {was} evaluated on other images ({found[other[0]].images:,}) than "
        f"{_name(first)} ({found[first].images:,}), so they cannot be paired."
    )


def _other_values(table: Table, runs: Sequence[tuple[Run, float]], found: dict[Path, Resamples]) -> str:
    """Say which predictions do not give the value of the table."""
    wholes = {run.folder: found[run.folder].whole for run, _ in runs}
    other = [(run, score) for run, score in runs if not math.isclose(wholes[run.folder], score, abs_tol=ROUNDING)]
    if not other:
        return ""
    (run, score), names = other[0], few(run.name for run, _ in other)
    return (
        f"the predictions of {names} are of another evaluation: they give {scaled(table, wholes[run.folder])} in "
        f"the place of {scaled(table, score)}, so the run was validated since, or its annotations have changed."
    )


def _name(run: Path) -> str:
    return f"{run.parent.name}/{run.name}"
