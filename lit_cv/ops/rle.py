"""COCO's compressed run-length encoding, the byte strings used to store and exchange masks."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.compiled import compiled
from lit_cv.ops.mask_runs import MaskRuns

# Each byte uses its low 6 bits: 5 bits of the number and a continuation flag. Adding 48 makes it printable.
_BITS, _SIGN, _MORE, _PRINTABLE = 5, 0x10, 0x20, 48
_MOST_BYTES = 7  # per number: 35 bits, more than the pixel count of any image


def compress_runs(runs: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[bytes]:
    """Encode masks byte for byte like ``rleToString`` of the COCO API.

    From the fourth run of a mask, the difference to the run two places earlier is written.

    Args:
        runs: int64 (R,), pixels of each run, see ``MaskRuns``.
        lengths: int64 (N,), number of runs of each mask.

    Returns:
        N byte strings, the ``counts`` of COCO's annotations.
    """
    text = np.empty(_MOST_BYTES * len(runs), dtype=np.uint8)
    ends = np.empty(len(lengths), dtype=np.int64)
    _compress(runs, lengths, text, ends)
    stops = ends.tolist()
    written = text[: stops[-1] if stops else 0].tobytes()
    return [written[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def decompress_runs(text: bytes) -> NDArray[np.int64]:
    """Decode the runs of one mask, int64 (R,), like ``rleFrString`` in ``maskApi.c`` of pycocotools.

    Each number is written in digits of five bits, lowest first, as characters starting at "0". A sixth bit says that
    more digits follow. From the fourth number, the difference to the number two places earlier is stored.

    Raises:
        ValueError: If the text ends within a number, has an invalid character or a number of more than seven digits.
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
        raise ValueError("its RLE has a number of more than 32 bits")
    numbers = np.add.reduceat((digits & 31) << places, starts)
    negative = (digits[ends] & 16) != 0
    numbers -= negative.astype(np.int64) << places[ends] + 5
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers


def compress_masks(masks: MaskRuns) -> list[bytes]:
    """Apply ``compress_runs`` to masks in tensors on any device."""
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
                # A number ends when the remaining bits are only the sign extension of the last group.
                more = value != (-1 if group & _SIGN else 0)
                text[end] = group + _PRINTABLE + (_MORE if more else 0)
                end += 1
        ends[mask] = end
