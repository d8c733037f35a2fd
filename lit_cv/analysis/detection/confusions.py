"""The classes that are taken for each other, with the background as one more."""

from collections.abc import Sequence

import numpy as np

from lit_cv.analysis import figures
from lit_cv.analysis.contract import Column, Figure, Table
from lit_cv.analysis.detection.matches import NOBODY, Detections, Flags, Integers
from lit_cv.analysis.detection.tide import FOREGROUND

LARGEST = 20  # classes of the figure
BACKGROUND = "background"


def confusion_matrix(found: Detections, ignored: Flags, threshold: float, classes: int) -> Integers:
    """Return the numbers of objects of each class that are taken for each class, int64 (C + 1, C + 1).

    In descending order of scores, each detection of at least the threshold takes the free target with the largest IoU,
    at least 0.5, of any class. The last column counts targets that nobody takes, the last row detections without one.

    Args:
        found: The detections.
        ignored: bool (M,), detections within crowds; they do not count without a target.
        threshold: Smallest score.
        classes: Number of classes C.
    """
    chosen = found.scores >= threshold
    matched = found.match(FOREGROUND, chosen, ~found.crowd)
    right = matched != NOBODY
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    labels = found.wanted["labels"] - 1
    np.add.at(matrix, (labels[matched[right]], found.labels[right] - 1), 1)
    matrix[classes, :-1] = np.bincount(found.labels[chosen & ~right & ~ignored] - 1, minlength=classes)
    lost = ~found.wanted["iscrowd"]
    lost[matched[right]] = False
    matrix[:-1, classes] = np.bincount(labels[lost], minlength=classes)
    return matrix


def confusion_figure(prefix: str, title: str, matrix: Integers, names: Sequence[str], threshold: float) -> Figure:
    """Return the matrix as a figure, of many classes those that are confused most."""
    mixed = matrix[:-1, :-1] - np.diag(np.diagonal(matrix)[:-1])
    order = np.argsort(-(mixed.sum(axis=0) + mixed.sum(axis=1)), kind="stable")[:LARGEST]
    chosen = [*sorted(order.tolist()), len(names)]
    total = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shown = (matrix / total)[np.ix_(chosen, chosen)]
    labels = [[*names, BACKGROUND][place] for place in chosen]
    some = f" The {LARGEST} classes that are confused most are shown." if len(names) > LARGEST else ""
    about = (
        f"Each row: the objects of a class, by the class of the detection that covers them (IoU 0.5, score at least "
        f"{threshold:.2f}, where F1 is best), in percent. Background: objects without a detection; the last row, "
        f"detections without an object.{some}"
    )
    return figures.matrix(f"{prefix}confusion", title, about, ("taken for", "object"), labels, labels, shown)


def confusion_table(prefix: str, title: str, matrix: Integers, names: Sequence[str]) -> Table:
    """Return all entries of the matrix beside its diagonal."""
    columns = [Column("object"), Column("taken for"), Column("number", "count"), Column("of all %", "percent")]
    about = (
        "Objects that a detection of another class covers, with their share of all objects of the class; then objects "
        "without a detection, and detections without an object."
    )
    return Table(f"{prefix}confusions", title, about, columns, [list(pair) for pair in confusions(matrix, names)])


def confusions(matrix: Integers, names: Sequence[str]) -> list[tuple[str, str, int, float]]:
    """Return object, class it is taken for, number, and share of its row; two classes first, then by number."""
    labels, most = [*names, BACKGROUND], len(names)
    mixed = matrix - np.diag(np.diagonal(matrix))
    rows, columns = np.nonzero(mixed)
    with_background = (rows == most) | (columns == most)
    totals = matrix.sum(axis=1)
    found = []
    for place in np.lexsort((-mixed[rows, columns], with_background)).tolist():
        row, column = int(rows[place]), int(columns[place])
        number = int(mixed[row, column])
        found.append((labels[row], labels[column], number, number / int(totals[row])))
    return found
