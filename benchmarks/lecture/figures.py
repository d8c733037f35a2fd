"""The figure of a claim: the scores of all seeds, and the differences to the baseline with their adjusted intervals.

A figure keeps the numbers that it shows in its metadata, so that a check needs neither its fonts nor its renderer.
"""

import json
import math
import re
import textwrap
from html import unescape
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.lecture.verdicts import Answer
from lit_cv.ablation.plots.style import COLORS, GRAY, bare, unit
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.statistics.difference import BETTER, WORSE
from lit_cv.runs.files import replaced

CLAIM_COLORS = {BETTER: COLORS[2], WORSE: COLORS[1]}
DIGITS = 4
WIDTH, LINE = 5.6, 26  # inches, and letters of a line of an arm's name
DESCRIPTION = re.compile(r"<dc:description>(.*?)</dc:description>", re.DOTALL)


def numbers(answer: Answer) -> str:
    """Return the numbers that a figure shows, as JSON."""
    return json.dumps({metric: [_numbers(table, row) for row in table.rows] for metric, table in answer.tables.items()})


def _numbers(table: Table, row: Row) -> list[object]:
    found = row.difference
    ends = [found.mean, found.low, found.high] if found and row.arm is not table.baseline else []
    scores, ends = ([_rounded(table.scale * value) for value in values] for values in (row.scores.values(), ends))
    return [row.arm.label, scores, ends]


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")


def drawn_numbers(file: Path) -> str:
    """Return the numbers that a figure on disk shows; empty without a figure."""
    found = DESCRIPTION.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return unescape(found[1]) if found else ""


def draw(answer: Answer, file: Path) -> None:
    """Write the figure of an answer as SVG: for each metric its scores and, below, its differences."""
    tables = list(answer.tables.values())
    heights = [
        1.0 + sum(0.2 + 0.17 * _label(row).count("\n") for row in table.rows) for table in tables for _ in range(2)
    ]
    with matplotlib.rc_context({"svg.hashsalt": file.stem}):
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        axes = figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
        for place, table in enumerate(tables):
            _scores(axes[2 * place], table)
            _differences(axes[2 * place + 1], table)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced(file) as temporary:
            data = {"Date": None, "Description": numbers(answer)}
            figure.savefig(temporary, format="svg", metadata=data, facecolor="white")


def _scores(axis: Axes, table: Table) -> None:
    """Draw a dot for each seed and a line at their mean."""
    for place, row in enumerate(table.rows):
        values = [table.scale * value for value in row.scores.values()]
        axis.plot(values, [place] * len(values), "o", color=COLORS[0], alpha=0.5, markersize=5, markeredgewidth=0)
        axis.plot([table.scale * row.mean], [place], "|", color="black", markersize=13)
    axis.set_xlabel(f"{unit(table)}: seeds and mean")
    _name_arms(axis, table)


def _differences(axis: Axes, table: Table) -> None:
    """Draw each difference to the baseline with its interval, in the color of its claim."""
    axis.axvline(0, color=GRAY, linewidth=1)
    for place, row in enumerate(table.rows):
        found = row.difference
        if row.arm is table.baseline:
            axis.annotate("baseline", (0, place), xytext=(4, 4), textcoords="offset points", fontsize="small")
        elif found and not math.isnan(found.low):
            color = CLAIM_COLORS.get(row.claim or "", "#555555")
            ends = [table.scale * end for end in (found.low, found.high)]
            axis.plot(ends, [place, place], color=color, linewidth=2)
            axis.plot([table.scale * found.mean], [place], "o", color=color, markersize=6)
    axis.set_xlabel(f"difference, adjusted 95 % interval ({'→' if table.maximize else '←'} better)")
    _name_arms(axis, table)


def _name_arms(axis: Axes, table: Table) -> None:
    axis.set_yticks(range(len(table.rows)), [_label(row) for row in table.rows], fontsize="small")
    axis.set_ylim(len(table.rows) - 0.5, -0.5)
    bare(axis)


def _label(row: Row) -> str:
    """Return the arm in short lines."""
    return "\n".join(textwrap.wrap(row.arm.label, LINE))
