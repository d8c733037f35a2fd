"""The plots of a report: effects of the factors, speed versus accuracy, learning curves."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lit_cv.ablation.plots.factor_plots import effects, values
from lit_cv.ablation.plots.speed_accuracy import speed_accuracy
from lit_cv.ablation.plots.style import GRAY, arm_styles, bare, legend, unit
from lit_cv.ablation.results.study import Run
from lit_cv.ablation.results.tables import Row, Table


def draw_all(table: Table, folder: Path) -> list[Path]:
    """Draw the plots that the data allow and return their files; none if every run has diverged."""
    if not table.ranked:
        return []
    drawn = {
        "effects.png": effects(table),
        "values.png": values(table),
        "speed_accuracy.png": speed_accuracy(table),
        "curves.png": learning_curves(table),
    }
    files = []
    for name, figure in drawn.items():
        if figure is not None:
            figure.savefig(folder / name, dpi=150, bbox_inches="tight", facecolor="white")
            files.append(folder / name)
    return files


def learning_curves(table: Table) -> Figure | None:
    """Plot the metric over the steps: mean of the seeds, and a band from the lowest to the highest seed."""
    curves = {row.arm.label: curve for row in table.rows if (curve := _curves(row, table)) is not None}
    if not curves:
        return None
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axis = figure.subplots()
    styles = arm_styles(table)
    others = [
        np.stack([steps, of_seeds.mean(0)], 1) for label, (steps, of_seeds) in curves.items() if not styles[label].label
    ]
    axis.add_collection(LineCollection(others, colors=GRAY, linewidths=1, alpha=0.6, zorder=1))
    for label, (steps, of_seeds) in curves.items():
        style = styles[label]
        if style.label:
            look: dict[str, Any] = {
                "color": style.color,
                "label": style.label,
                "marker": style.marker if len(steps) < 30 else "",
            }
            axis.plot(steps, of_seeds.mean(0), style.dash, zorder=2, markersize=3, **look)
            if len(of_seeds) > 1:
                axis.fill_between(steps, of_seeds.min(0), of_seeds.max(0), color=style.color, alpha=0.15, linewidth=0)
    axis.autoscale_view()
    axis.set_xlabel("step")
    axis.set_ylabel(unit(table))
    axis.set_title("mean of the seeds, band from the lowest to the highest", loc="left", fontsize="small")
    bare(axis)
    legend(figure, axis, others=bool(others))
    return figure


def _curves(row: Row, table: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the steps (S,) logged by all seeds of an arm, and their values (seeds, S); None without such a step."""
    seeds = row.scores or row.values  # those in the mean
    curves = [_by_length(row.arm.runs[seed], table.metric) for seed in seeds]
    steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    if not steps:
        return None
    values = np.array([[curve[step] for step in steps] for curve in curves])
    return np.array(steps, float), table.scale * np.where(np.isfinite(values), values, np.nan)


def _by_length(run: Run, metric: str) -> dict[int, float]:
    """Return the values by the number of steps taken: Lightning logs a validation after step N at N − 1."""
    end = run.result["steps"]
    return {step if step >= end else step + 1: value for step, value in run.curve(metric).items()}
