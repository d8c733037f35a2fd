"""Regions of Visual Genome with nearly the same box and phrase."""

import numpy as np
from numpy.typing import NDArray

from datamodules.visual_genome.files import Regions
from datamodules.visual_genome.packed_regions import expand
from lit_cv.ops.iou import pairwise_iou

SAME_BOX = 0.7  # minimum IoU at which the evaluation of dense captions merges boxes (Johnson et al. 2016, section 4)
SAME_WORDS = 0.75  # share of the distinct words of two phrases that both contain

Rows = NDArray[np.int64]


def near_duplicates(regions: Regions, rows: Rows, owners: Rows) -> Rows:
    """Find regions that nearly repeat an earlier region of the same image, in box and words.

    Args:
        regions: All regions.
        rows: int64 (N,), the compared regions, image by image.
        owners: int64 (N,), the image of each one.

    Returns:
        int64 (N,), for each row the position of the first earlier row that it repeats, or -1.
    """
    found = np.full(len(rows), -1, dtype=np.int64)
    edges = np.flatnonzero(np.diff(owners, prepend=-1, append=-1))
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        own = rows[start:end]
        boxes = np.nan_to_num(regions.boxes[own].astype(np.float64), posinf=0, neginf=0)  # damaged boxes have no area
        alike = np.tril((pairwise_iou(boxes, boxes) >= SAME_BOX) & (_shared(regions, own) >= SAME_WORDS), -1)
        twice = np.flatnonzero(alike.any(axis=1))
        found[start + twice] = start + alike[twice].argmax(axis=1)
    return found


def _shared(regions: Regions, rows: Rows) -> NDArray[np.float64]:
    """Return the share of the distinct words of two phrases that both contain, (N, N)."""
    lengths = regions.word_offsets[rows + 1] - regions.word_offsets[rows]
    _, words = np.unique(regions.words[expand(regions.word_offsets[rows], lengths)], return_inverse=True)
    has = np.zeros((len(rows), words.max(initial=0) + 1))
    has[np.repeat(np.arange(len(rows)), lengths), words] = 1
    both, counts = has @ has.T, has.sum(axis=1)
    share: NDArray[np.float64] = both / np.maximum(counts[:, None] + counts - both, 1)
    return share
