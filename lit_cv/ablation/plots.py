"""The pictures of a report: effects of the factors, speed against accuracy, learning curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_cv.ablation.plot_style import COLOURS, GREY, arm_styles, bare, legend, short, unit
from lit_cv.ablation.results import Arm
from lit_cv.ablation.speed_accuracy import speed_accuracy
from lit_cv.ablation.statistics import Difference, mean_effect
from lit_cv.ablation.tables import Table
from lit_cv.ablation.values import canonical, distinct, show_level


def draw_all(table: Table, folder: Path) -> list[Path]:
    """Draw the pictures that the data allow and return their files."""
    drawn = {
        "effects.png": effects(table),
        "speed_accuracy.png": speed_accuracy(table),
        "curves.png": learning_curves(table),
    }
    files = []
    for name, figure in drawn.items():
        if figure is not None:
            figure.savefig(folder / name, dpi=150, bbox_inches="tight", facecolor="white")
            files.append(folder / name)
    return files


def effects(table: Table) -> Figure | None:
    """What each level of each factor changes against the baseline's level, averaged over the other factors."""
    factors = {key: levels for key in table.names if len(levels := _levels(table, key)) > 1}
    if not factors:
        return None
    heights = [len(levels) for levels in factors.values()]
    figure = Figure(figsize=(7, 0.9 + 0.42 * sum(heights) + 0.45 * len(heights)), layout="constrained")
    axes = figure.subplots(len(factors), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (key, levels) in zip(axes, factors.items(), strict=True):
        _draw_factor(axis, table, key, levels)
    axes[-1].set_xlabel(f"change of {unit(table)} from the baseline's level (○), 95 % interval")
    return figure


def _levels(table: Table, key: str) -> list[Any]:
    return distinct(row.arm.values[key] for row in table.rows)


def _draw_factor(axis: Axes, table: Table, key: str, levels: Sequence[Any]) -> None:
    reference = table.baseline.values[key]
    axis.axvline(0, color=GREY, linewidth=1, zorder=0)
    for place, level in enumerate(levels):
        if canonical(level) == canonical(reference):
            axis.plot(0, place, "o", mfc="white", color="black")
            continue
        effect = level_effect(table, key, level)
        if effect is not None:
            _draw_interval(axis, effect, place, table.scale)
    axis.set_yticks(range(len(levels)), [short(show_level(key, level)) for level in levels])
    axis.set_ylim(len(levels) - 0.5, -0.5)
    axis.set_title(table.names[key], loc="left", fontsize="medium", fontweight="bold")
    bare(axis)


def level_effect(table: Table, key: str, level: Any) -> Difference | None:
    """The mean change when the baseline's level of a factor is replaced by `level`, all other factors being equal."""

    def rest(arm: Arm) -> str:
        return canonical({name: value for name, value in arm.values.items() if name != key})

    def at(value: Any) -> dict[str, dict[int | None, float]]:
        wanted = canonical(value)
        return {rest(row.arm): row.scores for row in table.rows if canonical(row.arm.values[key]) == wanted}

    with_level, reference = at(level), at(table.baseline.values[key])
    return mean_effect([(scores, reference[other]) for other, scores in with_level.items() if other in reference])


def _draw_interval(axis: Axes, effect: Difference, place: int, scale: float) -> None:
    colour = COLOURS[0]
    if effect.n > 1:
        axis.plot([effect.low * scale, effect.high * scale], [place, place], color=colour, linewidth=2)
    axis.plot(effect.mean * scale, place, "o", color=colour)


def learning_curves(table: Table) -> Figure | None:
    """The metric over the steps, mean of the seeds, with the band from the lowest to the highest seed."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axis = figure.subplots()
    styles, drawn = arm_styles(table), False
    for row in table.rows:
        curves = [run.curve(table.metric) for run in row.arm.runs.values()]
        steps = sorted(set.intersection(*(set(curve) for curve in curves)))
        if not steps:
            continue
        values = table.scale * np.array([[curve[step] for step in steps] for curve in curves])
        style = styles[row.arm.label]
        order = 2 if style.label else 1
        marker = style.marker if len(steps) < 30 else ""
        axis.plot(
            steps,
            values.mean(0),
            style.dash,
            color=style.colour,
            label=style.label,
            zorder=order,
            marker=marker,
            markersize=3,
        )
        if style.label and len(values) > 1:
            axis.fill_between(steps, values.min(0), values.max(0), color=style.colour, alpha=0.15, linewidth=0)
        drawn = True
    axis.set_xlabel("step")
    axis.set_ylabel(unit(table))
    axis.set_title("mean of the seeds, band from the lowest to the highest", loc="left", fontsize="small")
    bare(axis)
    legend(figure, axis, others=any(style.label is None for style in styles.values()))
    return figure if drawn else None
