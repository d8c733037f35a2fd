"""Time per image: one figure for all arms whose networks have the same structure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lit_cv.ablation.results.study import Arm, Run, Study
from lit_cv.runs.settings import canonical

NETWORK = "model.network."
NO_STRUCTURE = ("model.network.weights",)  # settings of a network that change its numbers and not its work


@dataclass(frozen=True)
class Time:
    """Milliseconds per image: the shortest and the longest measurement of one structure, and their number."""

    low: float
    high: float
    count: int


def times(study: Study, arms: Sequence[Arm]) -> list[Time | None]:
    """Return the time of each arm; None if its runs have not measured it."""
    measured: defaultdict[str, list[float]] = defaultdict(list)
    keys = [_structure(next(iter(arm.runs.values())), place) for place, arm in enumerate(arms)]
    for key, arm in zip(keys, arms, strict=True):
        seconds = (run.result.get("seconds_per_image") for run in arm.runs.values())
        measured[key] += [1000 * second for second in seconds if second is not None]
    return [Time(min(measured[key]), max(measured[key]), len(measured[key])) if measured[key] else None for key in keys]


def _structure(run: Run, place: int) -> str:
    """Return a text that runs share if their networks do the same work on the same machine."""
    settings = {key: value for key, value in run.config.items() if key.startswith(NETWORK) and key not in NO_STRUCTURE}
    if not settings:
        return str(place)
    hardware = run.result.get("hardware", {})
    precision = run.config.get("trainer.precision")
    return canonical([settings, run.result.get("params"), precision, hardware.get("device"), hardware.get("threads")])
