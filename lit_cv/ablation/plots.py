"""The pictures of a report. Colours are Okabe and Ito's, which colour-blind readers can tell apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_cv.ablation.results import Arm
from lit_cv.ablation.statistics import Difference, mean_effect
from lit_cv.ablation.tables import Row, Table
from lit_cv.ablation.values import canonical, distinct, show

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", "-", "--", "-.")
GREY = "#BBBBBB"
LABEL_LENGTH = 60


@dataclass(frozen=True)
class Style:
    """How one arm looks in every picture; arms beyond the number of colours are grey and have no legend entry."""

    colour: str
    marker: str
    dash: str
    label: str | None


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
    axes[-1].set_xlabel(f"change of {_unit(table)} from the baseline's level (○), 95 % interval")
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
    axis.set_yticks(range(len(levels)), [_short(show(level)) for level in levels])
    axis.set_ylim(len(levels) - 0.5, -0.5)
    axis.set_title(table.names[key], loc="left", fontsize="medium", fontweight="bold")
    _bare(axis)


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


def speed_accuracy(table: Table) -> Figure | None:
    """Score against milliseconds per image, one point per arm, with the arms that no other beats in both."""
    rows = [row for row in table.rows if row.ms is not None]
    if not rows:
        return None
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axis = figure.subplots()
    styles = arm_styles(table)
    front = pareto(rows, maximize=table.maximize)
    axis.step(
        [row.ms or 0 for row in front],
        [row.mean * table.scale for row in front],
        where="post",
        color="#777777",
        linewidth=1,
        linestyle=":",
        zorder=1,
        label="Pareto front" if len(front) > 1 else None,
    )
    for row in rows:
        style = styles[row.arm.label]
        axis.errorbar(
            [row.ms or 0],
            [row.mean * table.scale],
            yerr=None if np.isnan(row.std) else [row.std * table.scale],
            fmt=style.marker,
            color=style.colour,
            label=style.label,
            capsize=3,
            zorder=2 if style.label else 1,
        )
    axis.set_xlabel("milliseconds per image")
    axis.set_ylabel(_unit(table))
    axis.set_title("mean ± standard deviation over the seeds", loc="left", fontsize="small")
    _bare(axis)
    _legend(figure, axis, others=any(style.label is None for style in styles.values()))
    return figure


def pareto(rows: Sequence[Row], *, maximize: bool) -> list[Row]:
    """The rows that no other row beats in both time and score, from the fastest to the slowest."""
    sign = 1 if maximize else -1
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.ms or 0, -sign * row.mean)):
        if not front or sign * row.mean > sign * front[-1].mean:
            front.append(row)
    return front


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
    axis.set_ylabel(_unit(table))
    axis.set_title("mean of the seeds, band from the lowest to the highest", loc="left", fontsize="small")
    _bare(axis)
    _legend(figure, axis, others=any(style.label is None for style in styles.values()))
    return figure if drawn else None


def arm_styles(table: Table) -> dict[str, Style]:
    """A colour for the baseline, the best arm, the Pareto front and the next best, as far as colours go; else grey."""
    timed = [row for row in table.rows if row.ms is not None]
    ranked = sorted(table.rows, key=lambda row: -row.mean if table.maximize else row.mean)
    important = [ranked[0], *pareto(timed, maximize=table.maximize), *ranked]
    chosen = list(dict.fromkeys([table.baseline.label, *(row.arm.label for row in important)]))[: len(COLOURS)]
    named = [row.arm.label for row in table.rows if row.arm.label in chosen]
    styles = {row.arm.label: Style(GREY, ".", "-", None) for row in table.rows}
    for label, colour, marker, dash in zip(named, COLOURS, MARKERS, DASHES, strict=False):
        styles[label] = Style(colour, marker, dash, _short(label))
    return styles


def _unit(table: Table) -> str:
    return f"{table.metric} (×100)" if table.percent else table.metric


def _short(text: str) -> str:
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"


def _bare(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#EEEEEE", zorder=0)
    axis.set_axisbelow(True)


def _legend(figure: Figure, axis: Axes, *, others: bool) -> None:
    if others:
        axis.plot([], [], color=GREY, marker=".", label="other arms")
    handles, labels = axis.get_legend_handles_labels()
    columns = 1 if max(map(len, labels), default=0) > 35 else 2
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
