"""The record of a sweep in two stages (``--resolve``), in its ``sweep.json``."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lit_cv.runs.records import STAGED, read_record


@dataclass(frozen=True)
class Stages:
    """The design of a sweep whose seeds were counted by Stein's rule; see ``lit_cv.ablation.statistics.stein``.

    Attributes:
        metric: Logged name of the metric.
        wanted: Half width that every interval should have, as logged.
        first: Seeds of the first stage, whose spread fixes everything else.
        seeds: All seeds, those of the first stage first.
        needed: Number of seeds that the wanted width needs; more than ``seeds`` if a limit was given.
        halves: Half width of the interval of each arm after the first stage, in the order of the sweep; 0 for the
            baseline, the first arm.
    """

    metric: str
    wanted: float
    first: list[int]
    seeds: list[int]
    needed: int
    halves: list[float]

    @property
    def half(self) -> float:
        """Half width of the widest interval with all seeds."""
        return self.narrowed(max(self.halves), len(self.seeds))

    @property
    def reached(self) -> bool:
        """Whether all intervals have the wanted width."""
        return len(self.seeds) >= self.needed

    def narrowed(self, half: float, seeds: int) -> float:
        """Return the half width with some number of seeds of an interval that had ``half`` after the first stage."""
        return half * math.sqrt(len(self.first) / seeds)

    def record(self) -> dict[str, Any]:
        """Return the fields for ``sweep.json``."""
        return asdict(self)


def recorded(group: Path) -> Stages | None:
    """Return the stages of a group's sweep, or None if it has none.

    Raises:
        UserError: The record is damaged.
    """
    file = group / "sweep.json"
    found = read_record(file, STAGED).get("stages") if file.exists() else None
    return Stages(**found) if found else None
