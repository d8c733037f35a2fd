"""The HTML page of a report: tables, pictures and findings."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from lit_cv.ablation.report.listings import Listing
from lit_cv.ablation.report.web_table import Filter, WebTable
from lit_cv.pages.document import embedded, environment, read_markup

FOLDER = Path(__file__).parent
LARGE = 4_000_000  # bytes; a picture of this size or more is not embedded
CAPTIONS = {
    "effects.png": "Effect of each factor: mean over the settings of the other factors, with the interval from the "
    "common spread, adjusted for the levels of the factor. With several factors it is no single Δ of the table.",
    "values.png": "Metric versus values of the factors",
    "speed_accuracy.png": "Speed versus accuracy",
    "curves.png": "Learning curves",
    "gallery.png": "Predictions of the arms at the last validation (of many arms: the baseline and the best ones)",
}


def page(
    *,
    title: str,
    facts: str,
    filters: Sequence[Filter],
    arms: WebTable,
    runs: WebTable,
    boxes: Sequence[tuple[str, Sequence[str]]],
    notes: Sequence[str],
    listings: Sequence[Listing],
    pictures: Sequence[Path],
    better: Markup = Markup(),  # noqa: B008  (immutable)
    refresh: int | None = None,
) -> str:
    """Return the whole page, with tables that can be sorted and filtered.

    Args:
        title: Heading.
        facts: Line under the heading.
        filters: Filters of the tables.
        arms: First table.
        runs: Last table.
        boxes: (CSS class, sentences) of each box above the tables.
        notes: Sentences under the first table.
        listings: Further tables, after the notes.
        pictures: PNG files beside the page, shown between the tables.
        better: Section on what got better; empty without analyses.
        refresh: Seconds until the page reloads itself; never by default.
    """
    return (
        environment(FOLDER)
        .get_template("report.html.jinja")
        .render(
            title=title,
            facts=facts,
            filters=filters,
            arms=arms,
            runs=runs,
            boxes=boxes,
            notes=notes,
            listings=listings,
            pictures=[(_address(file), CAPTIONS[file.name]) for file in pictures],
            better=better,
            style=read_markup(FOLDER / "page.css"),
            script=read_markup(FOLDER / "page.js"),
            refresh=refresh,
        )
    )


def _address(file: Path) -> str:
    return embedded(file.read_bytes(), "png") if file.stat().st_size < LARGE else file.name
