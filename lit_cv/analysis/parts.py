"""Parts of the analyses of several tasks: numbers in words, confused classes, and the images with the largest error."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lit_cv.analysis.contract import Column, Evaluated, Figure, Shown, Table
from lit_cv.analysis.figures import matrix
from lit_cv.renderers.canvas import side_by_side

Numbers = NDArray[np.float64]
NAMED = 3  # names in a sentence
DRAWN = 6  # images with the largest error
PAIRS, CELLS = 20, 40  # rows of the table of confused classes, classes in its figure


def facts(run: Evaluated) -> str:
    """Return the line below the heading of a page."""
    return f"{len(run)} images of {run.predictions.split}, {', '.join(run.predictions.tasks[:1])}"


def percent(share: float) -> str:
    """Return a share in a sentence."""
    return f"{100 * share:.1f} %"


def lowest(names: Sequence[str], shares: Numbers) -> str:
    """Return the names with the lowest shares in a sentence; those without a share are left out."""
    return _named(names, shares, _by_share(shares)[:NAMED])


def extremes(names: Sequence[str], shares: Numbers, kind: str) -> str:
    """Return ``lowest for a (0.1 %) and b (0.2 %), highest for c (0.3 %)`` of the names that have a share.

    Args:
        names: The names.
        shares: Share of each name, or NaN.
        kind: Plural of the named, for the number of those whose share is 0.
    """
    order, zeros = _by_share(shares), int((shares == 0).sum())
    if zeros > NAMED:
        least, others = f"0 for {zeros} of {len(order)} {kind}", order[zeros:]
    else:
        least, others = f"lowest for {_named(names, shares, order[:NAMED])}", order[NAMED:]
    most = others[::-1][:NAMED]
    return f"{least}, highest for {_named(names, shares, most)}" if most else least


def _by_share(shares: Numbers) -> list[int]:
    return [place for place in np.argsort(shares, kind="stable").tolist() if np.isfinite(shares[place])]


def _named(names: Sequence[str], shares: Numbers, places: Sequence[int]) -> str:
    return listed([f"{names[place]} ({percent(shares[place])})" for place in places])


def listed(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def largest(run: Evaluated, errors: Numbers, words: Callable[[int], str], score_threshold: float = 0.0) -> list[Shown]:
    """Draw the images with the largest errors beside their targets; ties: the first.

    Args:
        run: The predictions.
        errors: float64 (N,), the error of each image; images with NaN or 0 are not drawn.
        words: Says what is wrong in the image at a place.
        score_threshold: Minimum score of the predictions that are drawn.
    """
    order = np.argsort(-np.nan_to_num(errors), kind="stable")[:DRAWN]
    renderer, shown = run.renderer(score_threshold), []
    for rank, place in enumerate(place for place in order.tolist() if errors[place] > 0):
        image_id = int(run.predictions.image_ids[place])
        image, found = run.image(image_id), run.found(image_id)
        pictures = [renderer.draw(image, objects) for objects in (run.target(image_id), found)]
        drawn = side_by_side(pictures, ["target", renderer.caption(found)])
        shown.append(Shown(f"error_{rank + 1}", f"{run.predictions.names[place]}: {words(place)}", drawn))
    return shown


def confused(labels: Sequence[str], counts: NDArray[np.int64], what: str) -> tuple[Table, Figure]:
    """Return the most frequent confusions as a table, and the matrix as a figure.

    Args:
        labels: The C names.
        counts: int64 (C, C), counts of the row's class that are predicted as the column's.
        what: Plural of what is counted, ``pixels``.
    """
    own = counts.sum(axis=1)
    shares = counts / np.maximum(own, 1)[:, None]
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = [divmod(place, len(labels)) for place in order.tolist() if wrong.flat[place]]
    total = max(int(wrong.sum()), 1)
    rows = [(labels[i], labels[j], int(wrong[i, j]), float(shares[i, j]), int(wrong[i, j]) / total) for i, j in places]
    columns = [Column("class"), Column("predicted as"), Column(what, "count"), Column("% of the class", "percent"),
               Column("% of all errors", "percent")]  # fmt: skip
    table = Table("confused", "Confused classes", f"The most frequent errors, counted in {what}.", columns, rows)
    shown = np.sort(np.argsort(-own, kind="stable")[:CELLS])
    about = f"Share of the {what} of each class (row) that are predicted as each class (column)."
    if len(shown) < len(labels):
        about += f" The {CELLS} most frequent of {len(labels)} classes."
    names = [labels[place] for place in shown.tolist()]
    figure = matrix("confusion", "Confusion matrix", about, ("predicted", "target"), names, names,
                    shares[np.ix_(shown, shown)])  # fmt: skip
    return table, figure
