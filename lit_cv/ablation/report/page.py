"""The HTML page of a report: tables, pictures and findings."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from lit_cv.ablation.report.html_page import document, figure, linked_figure

LARGE = 4_000_000  # bytes; a picture of this size or more is not embedded
CAPTIONS = {
    "effects.png": "Effect of each factor",
    "values.png": "Metric versus values of the factors",
    "speed_accuracy.png": "Speed versus accuracy",
    "curves.png": "Learning curves",
    "gallery.png": "Predictions of the arms at the last validation (of many arms: the baseline and the best ones)",
}


def page(
    *,
    title: str,
    facts: str,
    controls: str,
    tables: Sequence[tuple[str, str]],
    boxes: Sequence[tuple[str, Sequence[str]]],
    notes: Sequence[str],
    pictures: Sequence[Path],
    refresh: int | None = None,
) -> str:
    """Return the whole page, with tables that can be sorted and filtered.

    Args:
        title: Heading.
        facts: Line under the heading.
        controls: HTML of the form that filters the tables.
        tables: (heading, HTML) of each table.
        boxes: (CSS class, sentences) of each box above the tables.
        notes: Sentences under the first table.
        pictures: PNG files beside the page.
        refresh: Seconds until the page reloads itself; never by default.
    """
    callouts = "".join(f'<div class="{kind}">{_items(texts)}</div>' for kind, texts in boxes if texts)
    first, *others = (f"<h2>{escape(heading)}</h2>\n{html}\n" for heading, html in tables)
    body = f"""{callouts}
{controls}
{first}
<div class="notes">{"".join(f"<p>{escape(note)}</p>" for note in notes)}</div>
{"".join(map(_figure, pictures))}{"".join(others)}"""
    style, script = (
        files("lit_cv.ablation.report").joinpath(name).read_text("utf-8") for name in ("page.css", "page.js")
    )
    return document(title=title, facts=facts, body=body, style=style, script=script, refresh=refresh)


def _items(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def _figure(file: Path) -> str:
    caption = CAPTIONS[file.name]
    small = file.stat().st_size < LARGE
    return figure(file.read_bytes(), "png", caption) if small else linked_figure(file.name, caption)
