"""The content of the page's tables: the arms, and all runs with links to their files; and of its filters."""

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from lit_cv.ablation.results.cells import NOTHING, cells, columns, scaled
from lit_cv.ablation.results.study import GROUP, Run, Study, Unfinished
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.sweep.labels import duration, level
from lit_cv.runs.files import read_curve

FILES = {"log.txt": "log", "config.yaml": "config", "metrics.csv": "metrics", "pictures": "pictures"}
RANGES, MOST_OPTIONS = 4, 30


class Link(NamedTuple):
    """A link: its text and its address."""

    text: str
    address: str


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: Shown text.
        number: Sort key, NaN for a missing value; None: the cell is sorted by its text.
        links: Links after the text.
    """

    text: str
    number: float | None = None
    links: Sequence[Link] = ()

    @property
    def sort_key(self) -> str | None:
        """The number as text, empty if missing; None: the cell is sorted by its text."""
        return None if self.number is None else "" if math.isnan(self.number) else repr(self.number)


class Line(NamedTuple):
    """A row: its CSS class (may be empty) and its cells, factors first."""

    kind: str
    cells: list[Cell]


@dataclass(frozen=True)
class WebTable:
    """A table of the page.

    Attributes:
        name: Id of the table.
        header: Texts of the first row.
        factors: Number of leading columns that are factors.
        metric: Column of the metric, which comes first on a narrow screen.
        lines: The rows.
        filtered: Whether the form filters it: its first columns are the factors.
    """

    name: str
    header: Sequence[str]
    factors: int
    metric: int
    lines: Sequence[Line]
    filtered: bool = True

    def css(self, column: int) -> Markup:
        """Attribute with the CSS class of the cells of a column."""
        name = "metric" if column == self.metric else "text" if self.left[column] else ""
        return Markup(' class="{}"').format(name) if name else Markup()

    @cached_property
    def left(self) -> list[bool]:
        """Whether each column is aligned left: factors, and columns without numbers."""
        columns = range(len(self.header))
        return [i < self.factors or all(line.cells[i].number is None for line in self.lines) for i in columns]


@dataclass(frozen=True)
class Filter:
    """A choice that filters the tables by a factor.

    Attributes:
        label: Name of the factor.
        column: Its column.
        levels: Texts to choose from; empty if there are ranges.
        ranges: (lowest, highest) number of each range to choose from.
    """

    label: str
    column: int
    levels: Sequence[str]
    ranges: Sequence[tuple[float, float]]


def arms_table(table: Table) -> WebTable:
    """Return the table of the arms."""
    header, shown, body = cells(table)[0], columns(table), []
    for row in table.rows:
        levels = [_level(key, row.arm.values[key]) for key in table.names]
        rest = [Cell(column.text(row), _number(column.number(row))) for column in shown]
        body.append(Line("baseline" if row.arm is table.baseline else "", [*levels, *rest]))
    return WebTable("arms", header, len(table.names), len(table.names), body)


def runs_table(study: Study, table: Table, folder: Path) -> WebTable:
    """Return the table of all runs.

    Args:
        study: The runs.
        table: The metric and its presentation.
        folder: Folder of the page; links are relative to it.
    """
    header = [*table.names.values(), "run", "seed", "state", table.title, "step", "training", "files"]
    lines: list[Line] = []
    known = {id(run): row.values.get(seed) for row in table.rows for seed, run in row.arm.runs.items()}
    for arm, run in study.runs:
        step, value, seconds = run.result["steps"], known[id(run)], run.result.get("fit_seconds")
        state = "diverged" if value is None and table.metric in run.metrics else "finished"
        spent = Cell(NOTHING if seconds is None else duration(seconds), _number(seconds))
        lines.append(Line("", _run(run, arm.values, state, (step, value), spent, table, folder)))
    for waiting in study.unfinished:
        values = {GROUP: waiting.folder.parent.name, **waiting.values}
        latest = max(read_curve(waiting.folder, table.metric).items(), default=(None, None))
        spent = Cell(NOTHING, math.nan)
        lines.append(Line("open", _run(waiting, values, waiting.state, latest, spent, table, folder)))
    return WebTable("runs", header, len(table.names), header.index(table.title), lines)


def _run(
    run: Run | Unfinished,
    values: dict[str, Any],
    state: str,
    latest: tuple[int | None, float | None],
    spent: Cell,
    table: Table,
    folder: Path,
) -> list[Cell]:
    step, value = latest
    place = quote(Path(os.path.relpath(run.folder, folder)).as_posix())
    links = [Link(text, f"{place}/{name}") for name, text in FILES.items() if (run.folder / name).exists()]
    if isinstance(run, Run) and run.result.get("wandb_url"):
        links.append(Link("W&B", run.result["wandb_url"]))
    return [
        *(_level(key, values[key]) if key in values else Cell(NOTHING, math.nan) for key in table.names),
        Cell(run.folder.name),
        Cell(NOTHING if run.seed is None else str(run.seed), _number(run.seed)),
        Cell(state),
        Cell(NOTHING if value is None else scaled(table, value), _number(value)),
        Cell(NOTHING if step is None else str(step), _number(step)),
        spent,
        Cell("", None, links),
    ]


def _level(key: str, value: Any) -> Cell:
    numeric = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return Cell(level(key, value), _number(value) if numeric else None)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def make_filters(study: Study, table: Table) -> list[Filter]:
    """Return one filter per factor: by its levels, or by ranges of numbers if there are many levels."""
    values = [arm.values for arm in study.arms] + [run.values for run in study.unfinished]
    return [
        _filter(short, column, [_level(key, own[key]) for own in values if key in own])
        for column, (key, short) in enumerate(table.names.items())
    ]


def _filter(label: str, column: int, levels: Sequence[Cell]) -> Filter:
    texts = list(dict.fromkeys(cell.text for cell in levels))
    numbers = sorted({cell.number for cell in levels if cell.number is not None and not math.isnan(cell.number)})
    if len(texts) <= MOST_OPTIONS or len(numbers) < MOST_OPTIONS:
        return Filter(label, column, texts, [])
    bounds = [numbers[i * (len(numbers) - 1) // RANGES] for i in range(RANGES + 1)]
    return Filter(label, column, [], list(itertools.pairwise(bounds)))
