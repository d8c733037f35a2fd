"""The record of a sweep in two stages (``--resolve``), in its ``sweep.json``."""

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
        half: Half width of the widest interval after the first stage.
    """

    metric: str
    wanted: float
    first: list[int]
    seeds: list[int]
    needed: int
    half: float

    @property
    def reached(self) -> bool:
        """Whether all intervals have the wanted width."""
        return len(self.seeds) >= self.needed

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
