"""COCO's compressed run-length encoding: the byte strings in which masks are stored and exchanged."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.compiled import compiled
from lit_cv.ops.runs import MaskRuns

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
