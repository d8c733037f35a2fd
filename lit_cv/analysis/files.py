"""An analysis as a folder: its page, all numbers as JSON, the tables as CSV, figures and pictures as PNG."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from lit_cv.analysis.contract import Analysis, Number, Table
from lit_cv.errors import UserError
from lit_cv.runs.files import replaced, write_json

FOLDER = "analysis"
PAGE, NUMBERS, SCORES = "index.html", "analysis.json", "images.csv"
IDENTITY = ("weights", "data", "step")  # facts about predictions by which an analysis of them is known
VERSION = 1


def write_analysis(folder: Path, analysis: Analysis, record: Mapping[str, Any]) -> Path:
    """Write an analysis; return its page. ``analysis.json`` comes last, so that it stands for a complete folder.

    Args:
        folder: The folder; it is created.
        analysis: The analysis.
        record: What it is of: the fingerprints of weights and data, the split, the run.

    Raises:
        UserError: The folder cannot be written, or holds something else.
    """
    from matplotlib.figure import Figure as Canvas

    from lit_cv.analysis.figures import DPI
    from lit_cv.analysis.page import page
    from lit_cv.renderers.canvas import write_png

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose another --output.")
    if (folder / PAGE).exists() and not (folder / NUMBERS).exists():
        raise UserError(f"{folder}: has an {PAGE} that is of no analysis; choose another --output.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table in analysis.tables:
            _write_text(folder / f"{table.name}.csv", _csv(table))
        for figure in analysis.figures:
            canvas = Canvas(figsize=figure.size, layout="constrained")
            figure.draw(canvas)
            canvas.savefig(folder / f"{figure.name}.png", dpi=DPI, facecolor="white")
        for image in analysis.images:
            write_png(folder / f"{image.name}.png", image.pixels)
        rows = [f"{image_id},{value!r}\n" for image_id, value in analysis.scores.items()]
        _write_text(folder / SCORES, "".join([f"image_id,{analysis.score_words or 'score'}\n", *rows]))
        _write_text(folder / PAGE, page(analysis))
        write_json(folder / NUMBERS, {"version": VERSION, **record, **_content(analysis)})
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another --output.") from None
    return folder / PAGE


def read_numbers(folder: Path) -> tuple[dict[str, Number], dict[str, Any]] | None:
    """Return the numbers of an analysis by name, and its record; None if there is no readable one of this version."""
    try:
        content = orjson.loads((folder / NUMBERS).read_bytes())
        if content["version"] != VERSION:
            return None
        numbers = {
            name: Number(math.nan if own["value"] is None else own["value"], own["words"], own["form"], own["better"])
            for name, own in content["numbers"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return numbers, content


def is_current(run: Path, record: Mapping[str, Any]) -> bool:
    """Tell whether an analysis is of the predictions that a run now has, by the record of the analysis."""
    try:
        meta = orjson.loads((run / "predictions" / str(record["split"]) / "meta.json").read_bytes())
        return all(record[name] == meta.get(name) for name in IDENTITY)
    except (OSError, ValueError, KeyError):
        return False


def _content(analysis: Analysis) -> dict[str, Any]:
    numbers = {
        name: {"value": own.value, "words": own.words, "form": own.form, "better": own.higher_is_better}
        for name, own in analysis.numbers.items()
    }
    tables = {
        table.name: {"columns": [column.name for column in table.columns], "rows": table.rows}
        for table in analysis.tables
    }
    return {"title": analysis.title, "sentences": analysis.sentences, "numbers": numbers, "tables": tables}


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows(
        ["" if value is None or (isinstance(value, float) and math.isnan(value)) else value for value in row]
        for row in table.rows
    )
    return text.getvalue()


def _write_text(file: Path, text: str) -> None:
    with replaced(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
