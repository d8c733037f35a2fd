"""Label files in YOLO's form: a class and a box, or a class and a polygon, on each line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.defects import Defect, Report

OUTSIDE = 0.01  # share of the image by which rounded corners may lie outside; they are clipped
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOX = ("center's x", "center's y", "width", "height")


class Lines(NamedTuple):
    """The M lines of the label files of N pictures.

    Attributes:
        images: int64 (M,), index of the picture of each line, ascending.
        numbers: int64 (M,), number of the line in its file, from 1.
        classes: int64 (M,), index of the class, from 0.
        counts: int64 (M,), count of the numbers behind the class: 4 of a box, else 2 for each corner of a polygon.
        values: float64 (V,), these numbers in turn: shares of width and height; of a box, those of its center first.
        digits: int64 (N,), significant digits with which the numbers of each picture are written.
    """

    images: NDArray[np.int64]
    numbers: NDArray[np.int64]
    classes: NDArray[np.int64]
    counts: NDArray[np.int64]
    values: NDArray[np.float64]
    digits: NDArray[np.int64]


class _Words(NamedTuple):
    """The words of all lines that are not blank, in turn, and the picture, number and count of words of each line."""

    words: list[bytes]
    images: list[int]
    numbers: list[int]
    counts: list[int]
    digits: list[int]


def parse_labels(files: Sequence[str], texts: Sequence[bytes | None], names: Sequence[str], report: Report) -> Lines:
    """Read the lines of label files.

    Args:
        files: The path of the label file of each picture.
        texts: Its content; None if there is no such file.
        names: Names of the classes.
        report: Receives a defect for each line that is no label; it is then left out.
    """
    split = _split(texts)
    values, strange = _numbers(split.words)
    counts = np.array(split.counts, dtype=np.int64)
    starts = np.cumsum(counts) - counts
    classes = values[starts]
    within = values.copy()
    within[starts] = 0.5  # the class is no share of the image
    low, high = (bound.reduceat(within, starts) if len(starts) else within for bound in (np.minimum, np.maximum))
    whole = (classes == np.floor(classes)) & (classes >= 0) & (classes < len(names))
    usable = ((counts == 5) | ((counts >= 7) & (counts % 2 == 1))) & whole & (low >= -OUTSIDE) & (high <= 1 + OUTSIDE)
    for row in np.flatnonzero(~usable).tolist():
        words = split.words[starts[row] : starts[row] + counts[row]]
        file, number = files[split.images[row]], split.numbers[row]
        what = next(_faults([word.decode(errors="replace") for word in words], names, strange))
        report(Defect(Path(file), what, "unusable label", f"{file}:{number} {what}."))
    kept = np.repeat(usable, counts)
    kept[starts] = False
    return Lines(
        np.array(split.images, dtype=np.int64)[usable],
        np.array(split.numbers, dtype=np.int64)[usable],
        np.nan_to_num(classes[usable]).astype(np.int64),
        counts[usable] - 1,
        values[kept],
        np.array(split.digits, dtype=np.int64),
    )


def _split(texts: Sequence[bytes | None]) -> _Words:
    split = _Words([], [], [], [], [])
    for image, text in enumerate(texts):
        start = len(split.words)
        for number, line in enumerate(_plain(text or b"").splitlines(), 1):
            if words := line.split():
                split.words.extend(words)
                split.images.append(image)
                split.numbers.append(number)
                split.counts.append(len(words))
        split.digits.append(max((_digits(word) for word in split.words[start:]), default=0))
    return split


def _plain(text: bytes) -> bytes:
    """Return a text without its byte-order mark."""
    return text.decode("utf-16", "replace").encode() if text.startswith(_UTF16) else text.removeprefix(b"\xef\xbb\xbf")


def _digits(word: bytes) -> int:
    """Return the significant digits of a share; 0 for other numbers, whose digits do not tell the precision."""
    return len(word.lstrip(b"0.")) if word.startswith((b"0.", b".")) and b"e" not in word else 0


def _numbers(words: Sequence[bytes]) -> tuple[NDArray[np.float64], set[str]]:
    """Return words as numbers, NaN for the words that are none, and these words."""
    strange = set[str]()
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
        for word in words:
            try:
                values.append(float(word))
            except ValueError:
                values.append(np.nan)
                strange.add(word.decode(errors="replace"))
    return np.array(values, dtype=np.float64), strange


def _faults(words: list[str], names: Sequence[str], strange: set[str]) -> Iterator[str]:
    """Yield what is wrong with a line, and the fix; the first is the cause of the others."""
    count = len(words)
    for word in words:
        if word in strange:
            fix = f"write the index of the class, {names.index(word)}" if word in names else "fix the line"
            yield f"has {word!r}, which is no number: {fix}"
    if count == 6:
        yield "has 6 columns, as predictions with a confidence have: give label files, of 5 columns for each box"
    if count < 5:
        yield (
            f"has {count} columns, not 5 (index of the class, center's x and y, width, height): complete the line, "
            f"{' '.join(words)!r}"
        )
    if count % 2 == 0:
        yield f"is a polygon with an odd count of numbers, {count - 1}: an x or a y is missing; complete it"
    index = float(words[0])
    if not index.is_integer():
        yield f"has the class {words[0]}, which is no index: write a whole number"
    if not 0 <= index < len(names):
        yield (
            f"has the class {words[0]}, but the {len(names)} names in data.yaml are classes 0 to {len(names) - 1}: "
            "fix the index, or complete the names"
        )
    for place, word in enumerate(words[1:]):
        if not -OUTSIDE <= float(word) <= 1 + OUTSIDE:
            part = _BOX[place] if count == 5 else f"{'xy'[place % 2]} of corner {place // 2 + 1}"
            yield (
                f"has {word} for the {part}, which is no share of the image from 0 to 1: "
                "divide pixels by the width and height of the image"
            )
