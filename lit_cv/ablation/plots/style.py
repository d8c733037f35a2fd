"""Style of the plots. Colors are those of Okabe and Ito, which color-blind readers can distinguish."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_cv.ablation.results.tables import Row, Table

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", "-", "--", "-.")
GRAY = "#BBBBBB"
LABEL_LENGTH = 60
LONG_NUMBER = re.compile(r"\d+\.\d{5,}(e[+-]?\d+)?")


@dataclass(frozen=True)
class Style:
    """Look of one arm in every plot; arms beyond the number of colors are gray and have no legend entry."""

    color: str
    marker: str
    dash: str
    label: str | None


def pareto(rows: Sequence[Row], *, maximize: bool) -> list[Row]:
    """Return the rows that no other row beats in both time and score, from the fastest to the slowest.

    Differences below the noise do not count: of rows whose ranges of measured times overlap, only the best is kept, and
    a slower row has to be better by more than the spread over the seeds.
    """
    sign = 1 if maximize else -1
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.ms or 0, -sign * row.mean)):
        if not front:
            front.append(row)
            continue
        last = front[-1]
        gain = sign * (row.mean - last.mean)
        if (row.ms or 0) <= (last.time.high if last.time else 0):
            front[-1] = row if gain > 0 else last
        elif gain > max([0.0, *(std for std in (row.std, last.std) if not math.isnan(std))]):
            front.append(row)
    return front


def arm_styles(table: Table) -> dict[str, Style]:
    """Give colors to the baseline, the best arm, the Pareto front and the next best arms; all others are gray."""
    ranked = table.ranked
    timed = [row for row in ranked if row.ms is not None]
    important = [*ranked[:1], *pareto(timed, maximize=table.maximize), *ranked]
    chosen = list(dict.fromkeys([table.baseline.label, *(row.arm.label for row in important)]))[: len(COLORS)]
    named = [row.arm.label for row in table.rows if row.arm.label in chosen]
    styles = {row.arm.label: Style(GRAY, ".", "-", None) for row in table.rows}
    for label, color, marker, dash in zip(named, COLORS, MARKERS, DASHES, strict=False):
        styles[label] = Style(color, marker, dash, short(label))
    return styles


def unit(table: Table) -> str:
    """Return the axis label of the metric."""
    return f"{table.title} (×100)" if table.percent else table.title


def short(text: str) -> str:
    """Return a label of bounded length, with four digits per number."""
    text = few_digits(text)
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"


def few_digits(text: str) -> str:
    """Round long decimal numbers in a text, such as those of a search, to four digits."""
    return LONG_NUMBER.sub(lambda match: f"{float(match[0]):.4g}", text)


def bare(axis: Axes) -> None:
    """Remove decoration that does not help to read the axes."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#EEEEEE", zorder=0)
    axis.set_axisbelow(True)


def legend(figure: Figure, axis: Axes, *, others: bool) -> None:
    """Put the legend of the arms below the axes; ``others``: some arms are gray and have no entry."""
    if others:
        axis.plot([], [], color=GRAY, marker=".", label="other arms")
    handles, labels = axis.get_legend_handles_labels()
    columns = 1 if max(map(len, labels), default=0) > 35 else 2
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
