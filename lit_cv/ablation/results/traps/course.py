"""The course of a run: its validations, and the level from which its progress is counted."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_cv.ablation.results.cells import scaled
from lit_cv.ablation.results.study import Run
from lit_cv.ablation.results.tables import Table

NOTABLE = 0.1  # share of a run's progress that is worth a sentence
FEWEST = 4  # validations of a metric without a known worst value


class Course(NamedTuple):
    """The validations of a run, turned so that higher is better.

    Attributes:
        steps: int (N,), in order.
        values: float (N,), finite.
        start: Level from which progress is counted: 0 or 100 % of a metric in percent, or else the first validation.
        known: Whether it is the former.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    start: float
    known: bool

    def notable(self, change: float, reached: float) -> bool:
        """Return whether a change is at least a tenth of the progress up to the level ``reached``.

        Without a known worst value the change must also be a tenth of the level, or plateaus would count.
        """
        progress = reached - self.start
        return change > 0 and change >= NOTABLE * (progress if self.known else max(progress, abs(reached)))


def course(run: Run, table: Table) -> Course | None:
    """Return the course of a run; None without two finite validations, or with too few to know where it started."""
    sign = 1.0 if table.maximize else -1.0
    curve = {step: value for step, value in run.curve(table.metric).items() if np.isfinite(value)}
    steps = np.array(sorted(curve), dtype=np.int64)
    values = sign * np.array([curve[step] for step in steps], dtype=np.float64)
    worst = None if not table.percent else 0.0 if table.maximize else -1.0
    if len(steps) < (2 if worst is not None else FEWEST):
        return None
    return Course(steps, values, float(values[0]) if worst is None else worst, worst is not None)


def points(table: Table, value: float, sign: str = "") -> str:
    """Return a difference such as ``+1.2 points`` of a metric in percent, or as logged."""
    return scaled(table, value, sign) + (" points" if table.percent else "")
