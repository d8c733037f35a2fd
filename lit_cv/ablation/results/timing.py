"""Time per image: one figure for all arms whose networks have the same structure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_cv.ablation.results.study import Arm, Run, Study
from lit_cv.runs.files import read_json
from lit_cv.runs.settings import canonical
from lit_cv.runs.structure import COST_FILE, entries, structure


@dataclass(frozen=True)
class Time:
    """Milliseconds per image of one structure: two measurements with the spread between them, and their number.

    The shortest of all, and the upper quartile if they were measured alone, else the longest.
    """

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Alone:
    """Times that were measured after the runs, with nothing else at work.

    Attributes:
        files: Content of each `cost.json`.
        times: Time of each run, by its folder; runs of equal structure share it, also in several groups.
    """

    files: list[dict[str, Any]]
    times: dict[Path, Time]


def measured_alone(study: Study) -> Alone | None:
    """Return the times that were measured alone; None unless every finished run of a study has one.

    Raises:
        UserError: A `cost.json` cannot be read.
    """
    files = [(folder, read_json(folder / COST_FILE)) for folder in study.folders if (folder / COST_FILE).exists()]
    found: defaultdict[str, list[Time]] = defaultdict(list)
    keys = dict[Path, str]()
    for folder, content in files:
        for entry in entries(content, folder / COST_FILE):
            key = canonical([entry.get("key"), content["hardware"]])
            found[key].append(Time(entry["ms"]["min"], entry["ms"]["upper"], entry.get("rounds", 1)))
            keys |= {folder / str(name): key for name in entry["runs"]}
    if not study.runs or any(run.folder not in keys for _, run in study.runs):
        return None
    shared = {key: _together(times) for key, times in found.items()}
    return Alone([content for _, content in files], {folder: shared[key] for folder, key in keys.items()})


def times(study: Study, arms: Sequence[Arm]) -> list[Time | None]:
    """Return the time of each arm: measured alone, or else by its runs themselves; None if neither is known."""
    if alone := measured_alone(study):
        return [_together([alone.times[run.folder] for run in arm.runs.values()]) for arm in arms]
    measured: defaultdict[str, list[float]] = defaultdict(list)
    keys = [_structure(next(iter(arm.runs.values())), place) for place, arm in enumerate(arms)]
    for key, arm in zip(keys, arms, strict=True):
        seconds = (run.result.get("seconds_per_image") for run in arm.runs.values())
        measured[key] += [1000 * second for second in seconds if second is not None]
    return [Time(min(measured[key]), max(measured[key]), len(measured[key])) if measured[key] else None for key in keys]


def _together(times: Sequence[Time]) -> Time:
    return Time(min(time.low for time in times), max(time.high for time in times), max(time.count for time in times))


def _structure(run: Run, place: int) -> str:
    """Return a text that runs share if their networks do the same work on the same machine."""
    hardware = run.result.get("hardware", {})
    shared = structure(run.config, run.result)
    return str(place) if shared is None else canonical([shared, hardware.get("device"), hardware.get("threads")])
