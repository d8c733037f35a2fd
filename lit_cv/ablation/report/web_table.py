"""The tables of the page: the arms, and all runs with links to their files."""

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lit_cv.ablation.results.study import GROUP, Run, Study, Unfinished
from lit_cv.ablation.results.tables import NOTHING, Table, cells, scaled
from lit_cv.ablation.sweep.labels import duration, level
from lit_cv.runs.files import read_curve

FILES = {"log.txt": "log", "config.yaml": "config", "metrics.csv": "metrics", "pictures": "pictures"}
RANGES, MOST_OPTIONS = 4, 30


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: Shown text.
        number: Sort key, NaN for a missing value; None: the cell is sorted by its text.
        links: (text, address) of the links after the text.
    """

    text: str
    number: float | None = None
    links: Sequence[tuple[str, str]] = ()


Line = tuple[str, list[Cell]]  # CSS class of a row, and its cells, factors first


def arms_table(table: Table) -> str:
    """Return the HTML table of the arms."""
    (header, *lines), body = cells(table), []
    for row, line in zip(table.rows, lines, strict=True):
        change = row.difference.mean if row.difference else 0.0 if row.arm is table.baseline else None
        numbers: list[float | None] = [row.mean, change, *([row.published] if "published" in header else [])]
        numbers += [row.params, row.gflops, row.ms, row.gigabytes]
        levels = [_level(key, row.arm.values[key]) for key in table.names]
        rest = [Cell(text, _number(value)) for text, value in zip(line[len(levels) :], numbers, strict=True)]
        body.append(("baseline" if row.arm is table.baseline else "", [*levels, *rest]))
    return _html("arms", header, len(table.names), body)


def runs_table(study: Study, table: Table, folder: Path) -> str:
    """Return the HTML table of all runs.

    Args:
        study: The runs.
        table: The metric and its presentation.
        folder: Folder of the page; links are relative to it.
    """
    header = [*table.names.values(), "run", "seed", "state", table.metric, "step", "training", "files"]
    lines: list[Line] = []
    for arm, run in study.runs:
        step, value, seconds = run.result["steps"], run.metrics[table.metric], run.result.get("fit_seconds")
        spent = Cell(NOTHING if seconds is None else duration(seconds), _number(seconds))
        lines.append(("", _run(run, arm.values, "finished", (step, value), spent, table, folder)))
    for waiting in study.unfinished:
        values = {GROUP: waiting.folder.parent.name, **waiting.values}
        latest = max(read_curve(waiting.folder, table.metric).items(), default=(None, None))
        spent = Cell(NOTHING, math.nan)
        lines.append(("open", _run(waiting, values, waiting.state, latest, spent, table, folder)))
    return _html("runs", header, len(table.names), lines)


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
    links = [(text, f"{place}/{name}") for name, text in FILES.items() if (run.folder / name).exists()]
    if isinstance(run, Run) and run.result.get("wandb_url"):
        links.append(("W&B", run.result["wandb_url"]))
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


def _html(name: str, header: Sequence[str], factors: int, lines: Sequence[Line]) -> str:
    """Return a table in a scrollable box, with buttons as headers."""
    left = {i for i in range(len(header)) if i < factors or all(line[i].number is None for _, line in lines)}
    kinds = [' class="text"' if i in left else "" for i in range(len(header))]
    top = "".join(
        f'<th scope="col"{kind}><button type="button">{escape(text)}</button></th>'
        for kind, text in zip(kinds, header, strict=True)
    )
    rows = "\n".join(f"<tr{kind and f' class={kind}'}>{''.join(map(_cell, kinds, line))}</tr>" for kind, line in lines)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table id="{name}">'
        f"<thead><tr>{top}</tr></thead><tbody>\n{rows}\n</tbody></table></div>"
    )


def _cell(kind: str, cell: Cell) -> str:
    value = "" if cell.number is None else ' data-v=""' if math.isnan(cell.number) else f' data-v="{cell.number!r}"'
    links = " ".join(f'<a href="{escape(address)}">{escape(text)}</a>' for text, address in cell.links)
    return f"<td{kind}{value}>{escape(cell.text)}{links}</td>"


def filters(study: Study, table: Table) -> str:
    """Return a form that filters both tables by text and by the level, or the range of numbers, of each factor."""
    values = [arm.values for arm in study.arms] + [run.values for run in study.unfinished]
    selects = [
        f'<label>{escape(short)}<select name="factor{column}" data-column="{column}"><option value="">all</option>'
        f"{_options([_level(key, own[key]) for own in values if key in own])}</select></label>"
        for column, (key, short) in enumerate(table.names.items())
    ]
    return (
        '<form><label>filter<input name="text" type="search" placeholder="words in any column"></label>'
        f'{"".join(selects)}<button type="reset">show all</button><output aria-live="polite"></output></form>'
    )


def _options(levels: Sequence[Cell]) -> str:
    texts = list(dict.fromkeys(cell.text for cell in levels))
    numbers = sorted({cell.number for cell in levels if cell.number is not None and not math.isnan(cell.number)})
    if len(texts) <= MOST_OPTIONS or len(numbers) < MOST_OPTIONS:
        return "".join(f"<option>{escape(text)}</option>" for text in texts)
    bounds = [numbers[i * (len(numbers) - 1) // RANGES] for i in range(RANGES + 1)]
    return "".join(
        f'<option data-low="{low!r}" data-high="{high!r}" value="{low!r}_{high!r}">{low:.3g} to {high:.3g}</option>'
        for low, high in itertools.pairwise(bounds)
    )
