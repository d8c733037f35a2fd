"""What can be wrong with a data set, and what its reader says of it to `litcv doctor`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lit_cv.errors import UserError

_ROUNDING = 0.05  # pixels: corners that are sums of rounded numbers may lie so far outside


class Defect(NamedTuple):
    """One defect.

    Attributes:
        file: The file that has it.
        what: What is wrong and how to mend it, without the name of the file.
        kind: Short name, by which defects are counted: `missing file`, `box without area`, `leak`, ...
    """

    file: Path
    what: str
    kind: str

    @classmethod
    def of(cls, error: UserError, file: Path, kind: str) -> "Defect":
        """What a reader that stopped has said of a file."""
        text = str(error)
        named = text.startswith((f"{file} ", f"{file}:"))
        return cls(file, text.removeprefix(str(file)).lstrip(" :") if named else text, kind)


class Listed(NamedTuple):
    """An image that a split lists.

    Attributes:
        path: The file, which need not be there.
        size: Its width and height in pixels as annotated; None where the annotations do not say.
        source: The annotation file.
    """

    path: Path
    size: tuple[int, int] | None
    source: Path


class Survey(NamedTuple):
    """A split, read past its defects.

    Attributes:
        images: Each image once, in the order of the split.
        defects: Those of the annotations; of the images themselves nothing is known yet.
    """

    images: list[Listed]
    defects: list[Defect]


def box_defects(file: Path, names: Sequence[str], boxes: ArrayLike, size: tuple[int, int]) -> list[Defect]:
    """The boxes of an image that are not finite, have no area within it, or reach outside.

    Args:
        file: The annotation file.
        names: What each box is called, for instance `object 2 (dog)`.
        boxes: (N, 4) xyxy in pixels.
        size: Width and height of the image in pixels.
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    limits = np.tile(np.array(size, dtype=np.float64), 2)
    clipped = np.clip(corners, 0, limits)
    finite = np.all(np.isfinite(corners), axis=1)
    empty = np.any(clipped[:, 2:] <= clipped[:, :2], axis=1)
    outside = np.any(np.abs(clipped - corners) > _ROUNDING, axis=1)
    defects = []
    for index in np.flatnonzero(~finite | empty | outside).tolist():
        box = "({:g}, {:g}, {:g}, {:g})".format(*corners[index].tolist())
        if not finite[index]:
            kind, what = "box not finite", "is not finite: mend or remove it"
        elif empty[index]:
            kind, what = "box without area", "has no area within it and is dropped: mend or remove it"
        else:
            kind, what = "box outside the image", "reaches outside and is clipped: mend it"
        defects.append(Defect(file, f"the box {box} of {names[index]} in {size[0]}x{size[1]} pixels {what}", kind))
    return defects
