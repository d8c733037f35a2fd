"""The masks of COCO's annotations: polygons and run-length encodings become runs of pixels, as pycocotools has them."""

from collections.abc import Iterable

import hotcoco
import numpy as np
from numpy.typing import NDArray


def counts_of(text: bytes) -> NDArray[np.int64]:
    """The runs in pycocotools' compressed text (``rleFrString`` in its ``maskApi.c``), int64 (R,).

    Each number is written in digits of five bits, the lowest first, in the characters from "0" on; a sixth bit says
    that more follow. From the fourth on it is the difference to the number before the last.

    Raises:
        ValueError: If the text ends within a number or has other characters.
    """
    digits = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - ord("0")
    if not digits.size:
        return digits
    last = (digits & 32) == 0
    if not last[-1] or digits.min() < 0 or digits.max() > 63:
        raise ValueError("its RLE is no compressed text")
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    places = 5 * (np.arange(len(digits)) - np.repeat(starts, ends - starts + 1))
    if places.max() > 30:
        raise ValueError("its RLE has a number beyond 32 bits")
    numbers = np.add.reduceat((digits & 31) << places, starts)
    negative = (digits[ends] & 16) != 0
    numbers -= negative.astype(np.int64) << places[ends] + 5
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers


def polygon_runs(polygons: Iterable[NDArray[np.float64]], height: int, width: int) -> NDArray[np.int64]:
    """The runs of the union of polygons, column by column as COCO counts them, int64 (R,).

    Args:
        polygons: Each x and y of its corners in turn, float64 (2K,), in pixels, K >= 3.
        height: Of the image in pixels.
        width: Likewise.
    """
    pieces = [hotcoco.mask.fr_poly(polygon.tolist(), height, width) for polygon in polygons]
    return counts_of(hotcoco.mask.merge(pieces)["counts"])
