"""Defects of a data set, as readers report them to `litcv doctor`."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lit_cv.errors import UserError

ROUNDING = 0.05  # pixels: corners that are sums of rounded numbers may lie outside by this much
LARGEST = 1e9  # pixels: no image has coordinates beyond


class Defect(NamedTuple):
    """One defect.

    Attributes:
        file: The defective file.
        what: The problem and its fix, without the name of the file.
        kind: Short name, by which defects are counted: `missing file`, `box without area`, `leak`, ...
        inner: Whether ``what`` begins with the name of a part of the file, such as an annotation.
    """

    file: Path
    what: str
    kind: str
    inner: bool = False

    @classmethod
    def of(cls, error: UserError, file: Path, kind: str) -> "Defect":
        """Return the defect that corresponds to a reader's error about a file."""
        text = str(error).removesuffix(".")
        named = text.startswith((f"{file} ", f"{file}:"))
        return cls(file, text.removeprefix(str(file)).lstrip(" :") if named else text, kind)

    @property
    def error(self) -> UserError:
        """The error of a reader that refuses the file because of this defect."""
        return UserError(f"{self.file}{':' * self.inner} {self.what}.")


class Finding(NamedTuple):
    """The rows of a table that break one rule.

    Attributes:
        rows: bool (N,), whether each row breaks the rule.
        kind: Short name of the defect.
        what: Returns the problem of row n and its fix, as the predicate of a sentence.
    """

    rows: NDArray[np.bool_]
    kind: str
    what: Callable[[int], str]


def found_defects(file: Path, name: Callable[[int], str], findings: Iterable[Finding]) -> Iterator[Defect]:
    """Yield a defect for each row of each finding.

    Args:
        file: The file that the rows are from.
        name: Returns the name of row n, the subject of the sentence.
        findings: The rules that are broken.
    """
    for rows, kind, what in findings:
        for row in np.flatnonzero(rows).tolist():
            yield Defect(file, f"{name(row)} {what(row)}", kind, inner=True)


def stop_at(defects: Iterable[Defect]) -> None:
    """Raise the first defect as an error.

    Raises:
        UserError: If there is a defect.
    """
    for defect in defects:
        raise defect.error


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
        defects: Defects of the annotations; the image files are not checked.
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


def box_defects(file: Path, name: Callable[[int], str], boxes: ArrayLike, sizes: ArrayLike) -> list[Defect]:
    """Return the boxes that are not finite, have no area within their image, or reach outside.

    Args:
        file: The annotation file.
        name: Returns the name of box number n, for example `object 2 (dog)`.
        boxes: (N, 4) xyxy in pixels.
        sizes: Width and height in pixels: (2,) of one image for all boxes, or (N, 2) for each box.
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    limits = np.broadcast_to(np.tile(np.asarray(sizes), 2), corners.shape)
    clipped = np.clip(corners, 0, limits)
    finite = finite_boxes(corners)
    empty = np.any(clipped[:, 2:] <= clipped[:, :2], axis=1)
    outside = np.any(np.abs(clipped - corners) > ROUNDING, axis=1)
    defects = []
    for index in np.flatnonzero(~finite | empty | outside).tolist():
        box = "({:g}, {:g}, {:g}, {:g})".format(*corners[index].tolist())
        if not finite[index]:
            kind, what = "box not finite", "is not finite: fix or remove it"
        elif empty[index]:
            kind, what = "box without area", "has no area within it and is dropped: fix or remove it"
        else:
            kind, what = "box outside the image", "reaches outside and is clipped: fix it"
        width, height = limits[index, :2].tolist()
        subject = f"the box {box} of {name(index)} in {width:g}x{height:g} pixels"
        defects.append(Defect(file, f"{subject} {what}", kind, inner=True))
    return defects


Report = Callable[[UserError], None]


def stop(error: UserError) -> None:
    """Raise the error: the `Report` of a reader that stops at the first defect."""
    raise error
