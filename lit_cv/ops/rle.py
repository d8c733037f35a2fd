"""COCO's compressed run-length encoding: the byte strings in which masks are stored and exchanged."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.compiled import compiled
from lit_cv.ops.mask_runs import MaskRuns

# Of each byte the low 6 bits are used: 5 of the number, and whether more follow; 48 makes it printable.
_BITS, _SIGN, _MORE, _PRINTABLE = 5, 0x10, 0x20, 48
_MOST_BYTES = 7  # of a number: 35 bits, more pixels than any image has


def compress_runs(runs: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[bytes]:
    """Encode masks as `rleToString` of the COCO API does, byte for byte.

    From the fourth run of a mask on it is the difference to the last but one that is written.

    Args:
        runs: int64 (R,), pixels of each run, see `MaskRuns`.
        lengths: int64 (N,), runs of each mask.

    Returns:
        N strings, `counts` of COCO's annotations.
    """
    text = np.empty(_MOST_BYTES * len(runs), dtype=np.uint8)
    ends = np.empty(len(lengths), dtype=np.int64)
    _compress(runs, lengths, text, ends)
    stops = ends.tolist()
    written = text[: stops[-1] if stops else 0].tobytes()
    return [written[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def decompress_runs(text: bytes) -> NDArray[np.int64]:
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


def compress_masks(masks: MaskRuns) -> list[bytes]:
    """`compress_runs` of masks in tensors, on any device."""
    return compress_runs(masks.runs.cpu().numpy(), masks.lengths.cpu().numpy())


@compiled
def _compress(
    runs: NDArray[np.int64], lengths: NDArray[np.int64], text: NDArray[np.uint8], ends: NDArray[np.int64]
) -> None:
    run = end = 0
    for mask in range(len(lengths)):
        for place in range(lengths[mask]):
            value = runs[run] - runs[run - 2] if place > 2 else runs[run]
            run += 1
            more = True
            while more:
                group = value & (2**_BITS - 1)
                value >>= _BITS
                # A number ends where what is left of it is the sign that its last group says.
                more = value != (-1 if group & _SIGN else 0)
                text[end] = group + _PRINTABLE + (_MORE if more else 0)
                end += 1
        ends[mask] = end
