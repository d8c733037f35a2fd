"""A report as a page: its table, its pictures, and what speaks against it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from lit_cv.html import document, figure

_STYLE = """
.refused { border-left: 4px solid #D55E00; padding: 0.2rem 1rem; background: #fdf3ec; }
.warned { border-left: 4px solid #E69F00; padding: 0.2rem 1rem; background: #fdf8ec; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 0.35rem 0.8rem; text-align: right; border-bottom: 1px solid #e5e5e5; }
th { border-bottom: 2px solid #222; }
th.factor, td.factor { text-align: left; }
tr.baseline { background: #f4f7fa; }
"""
CAPTIONS = {
    "effects.png": "Effect of each factor",
    "speed_accuracy.png": "Speed against accuracy",
    "curves.png": "Learning curves",
    "gallery.png": "Predictions of the arms at the last validation (the baseline and the best, where they are many)",
}


def page(
    *,
    title: str,
    facts: str,
    lines: Sequence[Sequence[str]],
    factors: int,
    boxes: Sequence[tuple[str, Sequence[str]]],
    notes: Sequence[str],
    pictures: Sequence[Path],
) -> str:
    """The whole page.

    Args:
        title: heading.
        facts: the line under the heading.
        lines: header and rows of the table.
        factors: how many leading columns name the arm.
        boxes: (CSS class, sentences) set apart above the table.
        notes: sentences under the table.
        pictures: PNG files.
    """
    callouts = "".join(f'<div class="{kind}">{_items(texts)}</div>' for kind, texts in boxes if texts)
    body = f"""{callouts}
<div class="scroll"><table>{_table(lines, factors)}</table></div>
<div class="notes">{"".join(f"<p>{escape(note)}</p>" for note in notes)}</div>
{"".join(map(_figure, pictures))}"""
    return document(title=title, facts=facts, body=body, style=_STYLE)


def _items(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def _table(lines: Sequence[Sequence[str]], factors: int) -> str:
    header, *rows = lines
    body = "".join(f"<tr{_row_class(row, factors)}>{_cells('td', row, factors)}</tr>" for row in rows)
    return f"<thead><tr>{_cells('th', header, factors)}</tr></thead><tbody>{body}</tbody>"


def _row_class(row: Sequence[str], factors: int) -> str:
    return ' class="baseline"' if "baseline" in row[factors:] else ""


def _cells(tag: str, line: Sequence[str], factors: int) -> str:
    kinds = [' class="factor"' if i < factors else "" for i in range(len(line))]
    return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, line, strict=True))


def _figure(file: Path) -> str:
    return figure(file.read_bytes(), "png", CAPTIONS[file.name])
