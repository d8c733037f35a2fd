"""The page of an analysis; pictures lie beside it."""

import math
from pathlib import Path

from lit_cv.analysis.contract import Analysis, Form, Value
from lit_cv.pages.document import environment, read_markup

FOLDER = Path(__file__).parent
NOTHING = "–"


def page(analysis: Analysis) -> str:
    """Return the page as HTML, which loads the PNG files beside it and nothing else."""
    return (
        environment(FOLDER)
        .get_template("page.html.jinja")
        .render(
            title=analysis.title,
            facts=analysis.facts,
            analysis=analysis,
            shown=shown,
            style=read_markup(FOLDER / "page.css"),
        )
    )


def shown(value: Value, form: Form) -> str:
    """Return a value in its form; a dash if there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, str):
        return value
    return {"count": f"{value:,.0f}", "percent": f"{100 * value:.1f}"}.get(form, f"{value:.3g}")
