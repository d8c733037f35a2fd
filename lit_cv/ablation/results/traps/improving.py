"""Finds arms that still improve at their end: the budget may be too short.

Rule: a line is fitted to the validations of the last quarter of the steps (at least the last two). An arm improves if,
in each of its runs, the line gains at least a tenth of the progress since the start within a quarter of the steps.
Runs with too few validations are judged by ``train/loss`` in the same way, if the gain exceeds two standard errors.
"""

import numpy as np
from numpy.typing import NDArray

from lit_cv.ablation.results.identical import few
from lit_cv.ablation.results.study import Run
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.results.traps.course import NOTABLE, Course, points

LOSS = "train/loss"
FIRST = 3  # logged losses whose mean is the start
FEWEST = 6  # logged losses in the last quarter


def find(table: Table, courses: dict[int, Course | None]) -> list[str]:
    """Return a sentence with the arms that improve by the metric, and one with those that improve by the loss.

    Args:
        table: The rows.
        courses: Course of each run, by the identity of the run.
    """
    by_metric, by_loss, sign = dict[str, float](), dict[str, float](), 1.0 if table.maximize else -1.0
    for row in table.rows:
        runs = [run for run in row.arm.runs.values() if not run.result.get("stopped_early")]
        if not runs:
            continue
        known = [(run, found) for run in runs if (found := courses.get(id(run)))]
        if len(known) == len(runs):
            _add(by_metric, row, [_gain(run, found) for run, found in known])
        else:
            _add(by_loss, row, [_loss_gain(run) for run in runs])
    return [
        *_told(table, table.metric, {label: points(table, sign * gain, "+") for label, gain in by_metric.items()}),
        *_told(table, LOSS, {label: f"{-gain:+.3g}" for label, gain in by_loss.items()}),
    ]


def _add(found: dict[str, float], row: Row, gains: list[float | None]) -> None:
    known = [gain for gain in gains if gain is not None]
    if len(known) == len(gains):
        found[row.arm.label] = float(np.mean(known))


def _told(table: Table, name: str, gains: dict[str, str]) -> list[str]:
    if not gains:
        return []
    arms = f"{len(gains)} of {len(table.rows)} arms still improve" if len(table.rows) > 1 else "The runs still improve"
    named = few((f"{label} {gain}" for label, gain in gains.items()), "; ")
    return [
        f"{arms} at the end: in each run the last quarter of the steps changes {name} by at least a tenth of the whole "
        f"progress ({named}). The budget may be too short; with more steps the arms may change their order."
    ]


def _gain(run: Run, found: Course) -> float | None:
    """Return the gain of the last quarter of the steps; None if it is not notable."""
    steps, values = found.steps, found.values
    last = max(2, int(np.sum(steps >= 0.75 * run.result["steps"] - 1)))  # the log counts from 0
    slope, end = _line(steps[-last:], values[-last:])[:2]
    gain = slope * run.result["steps"] / 4
    return gain if found.notable(gain, end) else None


def _loss_gain(run: Run) -> float | None:
    curve = {step: value for step, value in run.curve(LOSS).items() if np.isfinite(value)}
    steps = np.array(sorted(curve), dtype=np.int64)
    values = -np.array([curve[step] for step in steps], dtype=np.float64)
    last = int(np.sum(steps >= 0.75 * run.result["steps"] - 1))
    if last < FEWEST:
        return None
    quarter = run.result["steps"] / 4
    slope, end, error = _line(steps[-last:], values[-last:])
    gain, progress = slope * quarter, end - float(np.mean(values[:FIRST]))
    return gain if progress > 0 and gain - 2 * error * quarter > NOTABLE * progress else None


def _line(steps: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the slope, the last value and the standard error of the slope of the least-squares line."""
    x = steps - steps.mean()
    slope = float(x @ values / (x @ x))
    rest = values - values.mean() - slope * x
    error = float(np.sqrt(rest @ rest / max(1, len(x) - 2) / (x @ x)))
    return slope, float(values.mean() + slope * x[-1]), error
