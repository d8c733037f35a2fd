"""How every picture of a report looks. Colours are Okabe and Ito's, which colour-blind readers can tell apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_cv.ablation.results.tables import Row, Table

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", "-", "--", "-.")
GREY = "#BBBBBB"
LABEL_LENGTH = 60
LONG_NUMBER = re.compile(r"\d+\.\d{5,}(e[+-]?\d+)?")


@dataclass(frozen=True)
class Style:
    """How one arm looks in every picture; arms beyond the number of colours are grey and have no legend entry."""

    colour: str
    marker: str
    dash: str
    label: str | None


def pareto(rows: Sequence[Row], *, maximize: bool) -> list[Row]:
    """The rows that no other row beats in both time and score, from the fastest to the slowest."""
    sign = 1 if maximize else -1
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.ms or 0, -sign * row.mean)):
        if not front or sign * row.mean > sign * front[-1].mean:
            front.append(row)
    return front


def arm_styles(table: Table) -> dict[str, Style]:
    """A colour for the baseline, the best arm, the Pareto front and the next best, as far as colours go; else grey."""
    timed = [row for row in table.rows if row.ms is not None]
    ranked = sorted(table.rows, key=lambda row: -row.mean if table.maximize else row.mean)
    important = [ranked[0], *pareto(timed, maximize=table.maximize), *ranked]
    chosen = list(dict.fromkeys([table.baseline.label, *(row.arm.label for row in important)]))[: len(COLOURS)]
    named = [row.arm.label for row in table.rows if row.arm.label in chosen]
    styles = {row.arm.label: Style(GREY, ".", "-", None) for row in table.rows}
    for label, colour, marker, dash in zip(named, COLOURS, MARKERS, DASHES, strict=False):
        styles[label] = Style(colour, marker, dash, short(label))
    return styles


def unit(table: Table) -> str:
    """The metric as an axis names it."""
    return f"{table.metric} (×100)" if table.percent else table.metric


def short(text: str) -> str:
    """A label of bounded length, its numbers with four digits."""
    text = few_digits(text)
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"


def few_digits(text: str) -> str:
    """A text whose long decimal numbers, as a search draws them, are rounded to four digits."""
    return LONG_NUMBER.sub(lambda match: f"{float(match[0]):.4g}", text)


def bare(axis: Axes) -> None:
    """Leave only what helps to read the axes."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#EEEEEE", zorder=0)
    axis.set_axisbelow(True)


def legend(figure: Figure, axis: Axes, *, others: bool) -> None:
    """Put the legend of the arms under the axes; `others`: some arms are grey and have no entry."""
    if others:
        axis.plot([], [], color=GREY, marker=".", label="other arms")
    handles, labels = axis.get_legend_handles_labels()
    columns = 1 if max(map(len, labels), default=0) > 35 else 2
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
