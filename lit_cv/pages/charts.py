"""Charts in HTML and SVG that compare the splits of a data set; they need no script and fit a phone."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lit_cv.pages.document import FOLDER, environment, read_markup

SHOWN = 25  # bars of a chart; the others unfold
WIDEST = 55.0  # percent of the width that the longest bar takes, so that its numbers fit beside it

Numbers = NDArray[np.float64]
BySplit = Mapping[str, Numbers]


def style() -> Markup:
    """Return the CSS of the charts."""
    return read_markup(FOLDER / "charts.css")


def legend(splits: Sequence[str]) -> Markup:
    """Return the colors of the splits."""
    return _macro("legend", list(splits))


def table(splits: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Markup:
    """Return a table with a column for each split."""
    return _macro("table", list(splits), rows)


def bars(title: str, about: str, labels: Sequence[str], counts: BySplit, bases: Mapping[str, float]) -> Markup:
    """Return a bar for each label and split, as long as its share.

    Args:
        title: Heading.
        about: Line below it.
        labels: The L names.
        counts: (L,) of each split.
        bases: The number of each split that counts are shares of.
    """
    shares = {split: numbers / max(bases[split], 1) for split, numbers in counts.items()}
    most = max((float(found.max()) for found in shares.values() if len(found)), default=0.0) or 1.0
    rows = [
        (label, [(f"{WIDEST * shares[s][k] / most:.2f}", f"{counts[s][k]:,.0f} · {shares[s][k]:.1%}") for s in counts])
        for k, label in enumerate(labels)
    ]
    return _macro("bars", title, about, rows, SHOWN)


def histogram(title: str, about: str, ticks: Sequence[str], counts: BySplit, medians: Mapping[str, float]) -> Markup:
    """Return the outline of each split's shares over the bins.

    Args:
        title: Heading.
        about: Line below it.
        ticks: Text at each of the B + 1 edges of the bins, or at each of the B bins; empty for none.
        counts: (B,) of each split.
        medians: The median of each split.
    """
    bins = len(next(iter(counts.values())))
    shift = 0.5 if len(ticks) == bins else 0.0
    shares = {split: numbers / max(numbers.sum(), 1) for split, numbers in counts.items()}
    most = max(float(found.max()) for found in shares.values()) or 1.0
    paths = [_steps(98 - 96 * found / most) for found in shares.values()]
    places = [(f"{100 * (place + shift) / bins:.2f}", text) for place, text in enumerate(ticks) if text]
    middle = ", ".join(f"{split} {value:.3g}" for split, value in medians.items() if np.isfinite(value))
    notes = f"Median: {middle}. The highest bin has {most:.1%}." if middle else "No values."
    return _macro("histogram", title, about, paths, bins, places, notes)


def heat_map(title: str, about: str, values: BySplit) -> Markup:
    """Return a square map of each split, (G, G) from the top left; the largest value has the full color."""
    grids = []
    for split, grid in values.items():
        most = float(grid.max())
        filled = np.argwhere(grid > most / 100) if most else np.zeros((0, 2), dtype=np.int64)
        cells = [(x, y, f"{grid[y, x] / most:.2f}") for y, x in filled.tolist()]
        grids.append((split, cells, f"{most:.3g}"))
    side = len(next(iter(values.values())))
    return _macro("maps", title, about, grids, side)


def matrix(title: str, about: str, labels: Sequence[str], values: Numbers) -> Markup:
    """Return a table of shares (L, L) from 0 to 1, as colors and as percent; the diagonal is left out."""
    rows = [
        (label, [(0, "") if k == n else (f"{100 * share:.0f}", _percent(share)) for k, share in enumerate(row)])
        for n, (label, row) in enumerate(zip(labels, values.tolist(), strict=True))
    ]
    return _macro("matrix", title, about, list(labels), rows)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.005 else ""


def _steps(heights: Numbers) -> str:
    """Return the path of a closed outline: bin k is level at ``heights[k]`` from k to k + 1."""
    points = "".join(f"V{height:.1f}H{place + 1}" for place, height in enumerate(heights.tolist()))
    return f"M0 100{points}V100Z"


def _macro(name: str, *values: object) -> Markup:
    template = environment().get_template("charts.html.jinja")
    return Markup(getattr(template.module, name)(*values))
