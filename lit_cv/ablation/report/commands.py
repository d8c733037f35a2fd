"""The commands that make the numbers of a report, as a reader can type them."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_cv.ablation.results.cells import NOTHING, STOPS, score
from lit_cv.ablation.results.study import Arm, Run, Study
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.runs.settings import distinct

PROGRAM = "litcv"
OF_ALL_RUNS, OF_ONE_RUN, MEASURED = (STOPS, "GB"), ("params", "GFLOPs"), "ms/image"


def of_run(run: Run) -> str:
    """Return the command of a run, quoted for a shell."""
    return shlex.join([PROGRAM, *run.result["command"]])


def of_report(folders: Sequence[Path], options: Mapping[str, Any]) -> str:
    """Return the command of a report.

    Args:
        folders: Group folders.
        options: Options by name, without dashes. Those that are None or false are left out.
    """
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    words = [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items()]
    return shlex.join([PROGRAM, "report", *map(str, folders), *words])


def of_cell(table: Table, row: Row, column: str, report: str) -> list[str]:
    """Return the commands that make a cell: those of the arm's runs, or that of the report.

    Args:
        table: The table.
        row: The arm.
        column: Header of the cell.
        report: The command of the report.
    """
    runs = list(row.arm.runs.values())
    if column == table.title or column in OF_ALL_RUNS:
        return [of_run(run) for run in runs]
    if column in OF_ONE_RUN:
        return [of_run(run) for run in runs[:1]]
    return [f"{report} --measure" if column == MEASURED else report]


def as_text(study: Study, table: Table, report: str) -> str:
    """Return all commands as a text that a shell can run: one for each run, arm by arm, then that of the report."""
    runs = [run for _, run in study.runs]
    commits = distinct(run.result["git"].get("commit") or "unknown" for run in runs)
    lines = [
        f"# {study.title}",
        "# The commands of this report, one for each run. Call them in the folder of the project.",
        f"# code: commit {' or '.join(commits)}; data: {' or '.join(distinct(map(_data, runs)))}",
    ]
    scores = {id(row.arm): score(table, row) for row in table.rows}
    for arm in study.arms:
        lines += ["", _comment(f"{arm.label}: {table.title} {scores.get(id(arm), NOTHING)}"), *_of_arm(arm)]
    return "\n".join([*lines, "", "# the report", report]) + "\n"


def _data(run: Run) -> str:
    return str(run.result["data"]["fingerprint"])


def _of_arm(arm: Arm) -> list[str]:
    return [of_run(run) for run in arm.runs.values()]


def _comment(text: str) -> str:
    return f"# {' '.join(text.split())}"
