"""COCO's compressed run-length encoding: the byte strings in which masks are stored and exchanged."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.runs import MaskRuns

# Of each byte the low 6 bits are used: 5 of the number, and whether more follow; 48 makes it printable.
_BITS, _SIGN, _MORE, _PRINTABLE = 5, 0x10, 0x20, 48


def compress_runs(runs: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[bytes]:
    """Encode masks as `rleToString` of the COCO API does, byte for byte.

    From the fourth run of a mask on it is the difference to the last but one that is written.

    Args:
        runs: int64 (R,), pixels of each run, see `MaskRuns`.
        lengths: int64 (N,), runs of each mask.

    Returns:
        N strings, `counts` of COCO's annotations.
    """
    if not len(runs):
        return [b""] * len(lengths)
    ends = lengths.cumsum()
    place = np.arange(len(runs)) - np.repeat(ends - lengths, lengths)
    values = runs.copy()
    values[2:] -= np.where(place[2:] > 2, runs[:-2], 0)
    groups, used = [], []
    more = np.ones(len(values), bool)
    while more.any():
        used.append(more)
        group = values & (2**_BITS - 1)
        values = values >> _BITS
        # A number ends where what is left of it is the sign that its last group says.
        more = more & (values != np.where(group & _SIGN, -1, 0))
        groups.append(group + _PRINTABLE + more * _MORE)
    written = np.stack(used, axis=1)
    text = np.stack(groups, axis=1)[written].astype(np.uint8).tobytes()
    stops = written.sum(axis=1).cumsum()[ends - 1].tolist()
    return [text[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def compress_masks(masks: MaskRuns) -> list[bytes]:
    """`compress_runs` of masks in tensors, on any device."""
    return compress_runs(masks.runs.cpu().numpy(), masks.lengths.cpu().numpy())
