"""Plots of the factors: the effect of each level, or the metric versus the values if there are many."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_cv.ablation.plots.style import COLORS, GRAY, bare, short, unit
from lit_cv.ablation.results.effects import MOST_LEVELS, level_effects
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.statistics.difference import Difference
from lit_cv.ablation.sweep.labels import show_level
from lit_cv.runs.settings import canonical, distinct

COLUMNS = 3
DECADES = 100  # minimum ratio of the largest to the smallest value for a logarithmic axis


def effects(table: Table) -> Figure | None:
    """Plot the effect of each level of a factor relative to the baseline's level, averaged over the other factors."""
    factors = {key: found for key in table.names if any((found := level_effects(table, key)).values())}
    if not factors:
        return None
    heights = [len(found) for found in factors.values()]
    figure = Figure(figsize=(7, 0.9 + 0.42 * sum(heights) + 0.45 * len(heights)), layout="constrained")
    axes = figure.subplots(len(factors), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (key, found) in zip(axes, factors.items(), strict=True):
        _draw_factor(axis, table, key, found)
    axes[-1].set_xlabel(f"change of {unit(table)} from the baseline's level (○), 95 % interval")
    return figure


def _draw_factor(axis: Axes, table: Table, key: str, found: Mapping[str, Difference | None]) -> None:
    reference = show_level(key, table.baseline.values[key])
    axis.axvline(0, color=GRAY, linewidth=1, zorder=0)
    for place, (level, effect) in enumerate(found.items()):
        if level == reference:
            axis.plot(0, place, "o", mfc="white", color="black")
        elif effect is not None:
            _draw_interval(axis, effect, place, table.scale)
    axis.set_yticks(range(len(found)), [short(level) + _count(table, effect) for level, effect in found.items()])
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.set_title(table.names[key], loc="left", fontsize="medium", fontweight="bold")
    bare(axis)


def _count(table: Table, effect: Difference | None) -> str:
    return "" if effect is None or effect.n == table.seeds else f" (n={effect.n})"


def _draw_interval(axis: Axes, effect: Difference, place: int, scale: float) -> None:
    color = COLORS[0]
    if effect.n > 1:
        axis.plot([effect.low * scale, effect.high * scale], [place, place], color=color, linewidth=2)
    axis.plot(effect.mean * scale, place, "o", color=color)


def values(table: Table) -> Figure | None:
    """Plot the metric versus the values of the factors without plotted effects, one point per arm.

    These are factors with many values, or whose arms differ in several factors at once, as in a search. Factors with
    more than twelve non-numeric values are omitted.
    """
    factors = {key: levels for key in table.names if (levels := _scattered(table, key))}
    if not factors:
        return None
    columns = min(COLUMNS, len(factors))
    rows = -(-len(factors) // columns)
    figure = Figure(figsize=(0.6 + 3.1 * columns, 0.4 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis, (key, levels) in zip(grid.flat, factors.items(), strict=False):
        _scatter(axis, table, key, levels)
    for axis in grid.flat[len(factors) :]:
        axis.set_axis_off()
    for axis in grid[:, 0]:
        axis.set_ylabel(unit(table))
    grid[0, 0].set_title("one point per arm, ○ baseline", loc="left", fontsize="small")
    return figure


def _scattered(table: Table, key: str) -> list[Any]:
    """Return the levels of a factor that ``values`` plots; empty if it is not plotted."""
    levels = distinct(row.arm.values[key] for row in table.rows)
    numeric = all(_is_number(level) for level in levels if level is not None)
    shown = len(levels) > 1 and (numeric or len(levels) <= MOST_LEVELS) and not any(level_effects(table, key).values())
    return levels if shown else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scatter(axis: Axes, table: Table, key: str, levels: Sequence[Any]) -> None:
    """Draw one point per arm: numbers at their value, other levels at equal distances."""
    numbers = {canonical(level): level for level in levels if level is not None}
    numeric = all(_is_number(level) for level in numbers.values())
    levels = sorted(levels, key=lambda level: show_level(key, level))  # the rows of a search are sorted by the metric
    places = numbers if numeric else {canonical(level): place for place, level in enumerate(levels)}
    if not numeric:
        axis.set_xticks(range(len(levels)), [short(show_level(key, level)) for level in levels])
        axis.tick_params(axis="x", rotation=30 if sum(len(show_level(key, level)) for level in levels) > 30 else 0)
        axis.set_xlim(-0.5, len(levels) - 0.5)
    elif _logarithmic(table, key, list(numbers.values())):
        axis.set_xscale("log")
    rows = [row for row in table.rows if canonical(row.arm.values[key]) in places]
    across = [places[canonical(row.arm.values[key])] for row in rows]
    axis.plot(across, [row.mean * table.scale for row in rows], "o", color=COLORS[0], alpha=0.5, markersize=4)
    for place, row in zip(across, rows, strict=True):
        if row.arm is table.baseline:
            axis.plot(place, row.mean * table.scale, "o", mfc="white", color="black")
    left = len(table.rows) - len(rows)
    axis.set_xlabel(table.names[key] + (f" ({left} arms with null not shown)" if left else ""))
    bare(axis)


def _logarithmic(table: Table, key: str, numbers: Sequence[float]) -> bool:
    """Return whether a factor has a logarithmic axis: if its distribution has, or else if it spans two decades."""
    return min(numbers) > 0 and table.logarithmic.get(key, max(numbers) >= DECADES * min(numbers))
