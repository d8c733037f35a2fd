"""Defects of a data set, and notes about it, as readers report them to ``litcv doctor``."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import ArrayLike, NDArray

from datamodules.boxes.packed_boxes import clip_boxes
from lit_cv.errors import UserError

ROUNDING = 0.05  # pixels: corners that are sums of rounded numbers may lie outside by this much
LARGEST = 1e9  # pixels: no image has coordinates beyond


class Defect(NamedTuple):
    """One defect, or one note.

    A defect is a fault of the data that has to be fixed: ``litcv doctor`` exits with 1. A note says what is done with
    data that may be right as it is, for example that phrases of more than ``max_words`` are left out: exit code 0.

    Attributes:
        file: The defective file.
        what: The problem and its fix, without the name of the file.
        kind: Short name, by which defects are counted: ``missing file``, ``box without area``, ``leak``, ...
        sentence: The whole as a sentence, if it is not just file and problem.
        note: Whether it is a note.
    """

    file: Path
    what: str
    kind: str
    sentence: str = ""
    note: bool = False

    @classmethod
    def of(cls, error: UserError, file: Path, kind: str) -> "Defect":
        """Return the defect that corresponds to a reader's error about a file."""
        text = str(error)
        named = text.startswith((f"{file} ", f"{file}:"))
        return cls(file, text.removeprefix(str(file)).lstrip(" :") if named else text, kind, text)

    @classmethod
    def inside(cls, file: Path, part: str, what: str, kind: str, note: bool = False) -> "Defect":
        """Return the defect or note of a part of a file, such as an annotation."""
        return cls(file, f"{part} {what}", kind, f"{file}: {part} {what}.", note)

    @property
    def error(self) -> UserError:
        """The error of a reader that refuses the file because of this defect."""
        return UserError(self.sentence or f"{self.file} {self.what}.")


Report = Callable[[Defect], None]
"""Receives the defects of a file, which the reader then leaves out."""


def stop(defect: Defect) -> None:
    """Raise the defect as an error: the ``Report`` of a reader that stops at the first one."""
    raise defect.error


def stop_at(defects: Iterable[Defect]) -> None:
    """Raise the first defect as an error; notes pass.

    Raises:
        UserError: If there is a defect.
    """
    for defect in defects:
        if not defect.note:
            raise defect.error


@rank_zero_only
def tell(notes: Iterable[str]) -> None:
    """Print notes about the data on standard error, on the first process only."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)


class Finding(NamedTuple):
    """The rows of a table that break one rule.

    Attributes:
        rows: bool (N,), whether each row breaks the rule.
        kind: Short name of the defect.
        what: Returns the problem of row n and its fix, as the predicate of a sentence.
        note: Whether the rows are notes, not defects.
    """

    rows: NDArray[np.bool_]
    kind: str
    what: Callable[[int], str]
    note: bool = False


def found_defects(file: Path, name: Callable[[int], str], findings: Iterable[Finding]) -> Iterator[Defect]:
    """Yield a defect for each row of each finding.

    Args:
        file: The file that the rows are from.
        name: Returns the name of row n, the subject of the sentence.
        findings: The rules that are broken.
    """
    for rows, kind, what, note in findings:
        for row in np.flatnonzero(rows).tolist():
            yield Defect.inside(file, name(row), what(row), kind, note)


class Listed(NamedTuple):
    """An image that a split lists.

    Attributes:
        path: The file, which need not exist.
        size: Its width and height in pixels as annotated; None if the annotations do not say.
        source: The annotation file.
    """

    path: Path
    size: tuple[int, int] | None
    source: Path


class Survey(NamedTuple):
    """The images of a split and the defects of its annotations.

    Attributes:
        images: Each image once, in the order of the split.
        defects: Defects of the annotations, and notes; the image files are not checked.
    """

    images: list[Listed]
    defects: list[Defect]


def repeated(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of the values (N,) repeat an earlier one, bool (N,)."""
    again = np.ones(len(values), dtype=np.bool_)
    again[np.unique(values, return_index=True)[1]] = False
    return again


def finite_boxes(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which boxes (N, 4) have four numbers, bool (N,); absurdly large ones count as damaged."""
    finite: NDArray[np.bool_] = np.all(np.abs(boxes) < LARGEST, axis=1)
    return finite


def looks_normalized(values: NDArray[np.floating[Any]]) -> bool:
    """Return whether coordinates, of any shape, are shares of the image and not pixels: all lie between 0 and 1."""
    return bool(values.size and np.all((values >= -ROUNDING) & (values <= 1 + ROUNDING)))


def outside_in_words(corners: NDArray[np.floating[Any]], clipped: NDArray[np.floating[Any]]) -> str:
    """Return a note on the boxes that lose more than a pixel at the border of their image; empty if there is none.

    Args:
        corners: (N, 4) xyxy in pixels, as they are annotated.
        clipped: (N, 4), the same boxes within their images.
    """
    count = int((np.abs(corners - clipped) > 1).any(axis=1).sum())
    if not count:
        return ""
    reason = ", as if their size were written as corners, or the other way round" if 4 * count > len(corners) else ""
    return f"{count} of {len(corners)} boxes reach outside their image and are clipped{reason}"


def box_defects(file: Path, name: Callable[[int], str], boxes: ArrayLike, sizes: ArrayLike) -> list[Defect]:
    """Return the boxes that are not finite, have no area within their image, or reach outside.

    Args:
        file: The annotation file.
        name: Returns the name of box number n, for example ``object 2 (dog)``.
        boxes: (N, 4) xyxy in pixels.
        sizes: Width and height in pixels: (2,) of one image for all boxes, or (N, 2) for each box.
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    limits = np.broadcast_to(np.asarray(sizes), (len(corners), 2))
    finite = finite_boxes(corners)
    clipped, solid = clip_boxes(corners, limits)
    outside = np.any(np.abs(clipped - corners) > ROUNDING, axis=1)
    defects = []
    for index in np.flatnonzero(~finite | ~solid | outside).tolist():
        box = "({:g}, {:g}, {:g}, {:g})".format(*corners[index].tolist())
        if not finite[index]:
            kind, what = "box not finite", "is not finite: fix or remove it"
        elif not solid[index]:
            kind, what = "box without area", "has no area within it and is dropped: fix or remove it"
        else:
            kind, what = "box outside the image", "reaches outside and is clipped: fix it"
        width, height = limits[index].tolist()
        subject = f"the box {box} of {name(index)} in {width:g}x{height:g} pixels"
        defects.append(Defect.inside(file, subject, what, kind))
    return defects
