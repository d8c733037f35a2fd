"""Speed versus accuracy, for detectors as in Huang et al. 2017 (arXiv:1611.10012, Figure 2)."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from lit_cv.ablation.plots.style import COLORS, GRAY, MARKERS, arm_styles, bare, legend, pareto, unit
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.runs.settings import distinct

NETWORK = "model.network"
SIZES = (f"{NETWORK}.size", f"{NETWORK}.min_size", f"{NETWORK}.max_size")  # image size; the smallest applies
PROPOSALS = f"{NETWORK}.rpn_post_nms_test"
SMALL, LARGE = 5.0, 11.0  # marker sizes for the smallest and the largest image, in points
LOGARITHMIC = 10.0  # minimum ratio of the slowest to the fastest arm for a logarithmic axis
FRONT = "#777777"


@dataclass(frozen=True)
class Design:
    """Design of a detector; None for a setting that its network lacks.

    Attributes:
        architecture: Class name of the network.
        backbone: Feature extractor.
        size: Pixels to which the shorter side, or both sides, of an image are resized.
        proposals: Boxes per image in the second stage of a two-stage detector.
    """

    architecture: str
    backbone: str | None
    size: int | None
    proposals: int | None


def design(row: Row) -> Design | None:
    """Read the design of an arm's network from its resolved config; None if the config names no class."""
    config = next(iter(row.arm.runs.values())).config
    path = config.get(f"{NETWORK}.class_path")
    given = [config[key] for key in SIZES if config.get(key) is not None]
    sizes = [value[-1] if isinstance(value, list) else value for value in given]  # of several, the evaluated one
    if path is None:
        return None
    name = path.rpartition(".")[2]
    return Design(name, config.get(f"{NETWORK}.backbone"), min(sizes, default=None), config.get(PROPOSALS))


def speed_accuracy(table: Table) -> Figure | None:
    """Plot the score versus milliseconds per image, one point per arm, with the Pareto front.

    If the arms have several architectures, the marker shows the architecture, its color the backbone and its size the
    image size. Otherwise, each arm has its own color and marker.
    """
    rows = [row for row in table.rows if row.ms is not None and row.scores]
    if not rows:
        return None
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axis = figure.subplots()
    front = pareto(rows, maximize=table.maximize)
    axis.step(
        [row.ms or 0 for row in front],
        [row.mean * table.scale for row in front],
        where="post",
        color=FRONT,
        linewidth=1.2,
        linestyle="--",
        zorder=1,
        label="Pareto front" if len(front) > 1 else None,
    )
    designs = {row.arm.label: found for row in rows if (found := design(row)) is not None}
    if len(designs) == len(rows) and len({found.architecture for found in designs.values()}) > 1:
        _draw_designs(figure, axis, table, designs, rows, front)
    else:
        _draw_arms(figure, axis, table, rows)
    milliseconds = [row.ms or 0 for row in rows]
    if max(milliseconds) > LOGARITHMIC * min(milliseconds) > 0:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("milliseconds per image, the shortest measurement (line: the spread)")
    axis.set_ylabel(unit(table))
    title = "mean ± standard deviation over the seeds"
    if len(front) < 2 <= len(rows):
        title += "; no Pareto front: no arm is better and slower beyond the noise"
    axis.set_title(title, loc="left", fontsize="small")
    bare(axis)
    return figure


def _draw_arms(figure: Figure, axis: Axes, table: Table, rows: Sequence[Row]) -> None:
    styles = arm_styles(table)
    others = [row for row in rows if not styles[row.arm.label].label]
    if others:
        _points(axis, table, others, marker=".", color=GRAY, zorder=1, elinewidth=0.5)
    for row in rows:
        style = styles[row.arm.label]
        if style.label:
            _points(axis, table, [row], marker=style.marker, color=style.color, label=style.label, capsize=3)
    legend(figure, axis, others=bool(others))


def _points(axis: Axes, table: Table, rows: Sequence[Row], **look: Any) -> None:
    spreads = table.scale * np.array([row.std for row in rows])
    errors = None if np.isnan(spreads).all() else spreads
    scores = [row.mean * table.scale for row in rows]
    late = [[0.0] * len(rows), [row.time.high - row.time.low if row.time else 0.0 for row in rows]]
    across = late if any(late[1]) else None
    axis.errorbar([row.ms or 0 for row in rows], scores, yerr=errors, xerr=across, linestyle="none", **look)


def _draw_designs(
    figure: Figure, axis: Axes, table: Table, designs: dict[str, Design], rows: Sequence[Row], front: Sequence[Row]
) -> None:
    markers = _looks([found.architecture for found in designs.values()], MARKERS)
    colors = _looks([found.backbone for found in designs.values()], COLORS)
    sizes = sorted({found.size for found in designs.values() if found.size is not None})
    scale = np.linspace(SMALL, LARGE, len(sizes)).tolist() if len(sizes) > 1 else []
    widths: dict[int | None, float] = dict(zip(sizes, scale, strict=False))
    counted = len({found.proposals for found in designs.values()} - {None}) > 1
    for row in rows:
        found = designs[row.arm.label]
        width = widths.get(found.size, (SMALL + LARGE) / 2)
        look = {"marker": markers[found.architecture], "color": colors[found.backbone], "markersize": width}
        _points(axis, table, [row], **look, markeredgecolor="white", markeredgewidth=0.8, zorder=3)
        if counted and found.proposals is not None:
            _write(axis, table, row, str(found.proposals), (5, -9), color=FRONT)
    members = {letter: row for letter, row in zip(string.ascii_uppercase, front, strict=False) if len(front) > 1}
    for letter, row in members.items():
        _write(axis, table, row, letter, (-4, 5), ha="right", fontweight="bold")
    groups: dict[str, list[Line2D]] = {
        "meta-architecture": [_key(name, marker=marker, color="black") for name, marker in markers.items()],
        "feature extractor": [_key(str(name), marker="o", color=color) for name, color in colors.items()],
        "image size": [_key(f"{size} px", marker="o", color=GRAY, markersize=width) for size, width in widths.items()],
        "numbers: proposals": [_key("")] if counted else [],
        "Pareto front": [_key(f"{letter}  {_name(designs[row.arm.label])}") for letter, row in members.items()],
    }
    _grouped_legend(figure, groups, axis.get_legend_handles_labels()[0])


def _write(axis: Axes, table: Table, row: Row, text: str, offset: tuple[int, int], **look: Any) -> None:
    place = (row.ms or 0, row.mean * table.scale)
    axis.annotate(text, place, offset, textcoords="offset points", fontsize=7, **look)


def _name(found: Design) -> str:
    parts = (found.architecture, found.backbone, found.size, found.proposals)
    return " ".join(str(part) for part in parts if part is not None)


def _grouped_legend(figure: Figure, groups: dict[str, list[Line2D]], front: Sequence[Artist]) -> None:
    """Put one legend beside the axes, each group below its title; the title of the front includes its line."""
    handles: list[Artist] = []
    for title, keys in groups.items():
        if keys:
            handles += [*(front if title == "Pareto front" else [_key(title)]), *keys]
    drawn = figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize="small")
    for text in drawn.get_texts():
        text.set_fontweight("bold" if text.get_text() in groups else "normal")


def _looks(values: Sequence[Any], looks: Sequence[str]) -> dict[Any, str]:
    """Map each distinct value to a look; looks repeat if there are more values than looks."""
    return {value: looks[place % len(looks)] for place, value in enumerate(distinct(values))}


def _key(label: str, **look: Any) -> Line2D:
    return Line2D([], [], linestyle="none", label=label, **look)
