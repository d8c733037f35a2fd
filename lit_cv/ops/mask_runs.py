"""Binary masks in COCO's run-length encoding, stored as tensors on any device."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class MaskRuns(NamedTuple):
    """N masks of one image as runs of equal pixels in column-major order, as in COCO.

    Attributes:
        runs: int64 (R,), run lengths in pixels. In each mask, runs of zeros and ones alternate, starting with zeros
            (its length may be 0).
        lengths: int64 (N,), number of runs of each mask; the sum is R.
        size: Height and width in pixels.
    """

    runs: Tensor
    lengths: Tensor
    size: tuple[int, int]


def encode_masks(masks: Tensor) -> MaskRuns:
    """Encode masks (N, H, W), bool or with values 0 and 1; N may be 0."""
    count, height, width = masks.shape
    pixels = masks.bool().transpose(1, 2).flatten(1)
    edge = pixels.new_ones(count, 1)
    # A run begins where a pixel differs from the previous one; the pixel before the first counts as 0.
    changes = torch.cat((pixels[:, :1], pixels[:, 1:] != pixels[:, :-1], edge), dim=1)
    place = _true_places(changes.flatten())
    owner = place.div(changes.shape[1], rounding_mode="floor")
    end = place - owner * changes.shape[1]
    begin = end.roll(1).masked_fill(owner != owner.roll(1), 0)
    begin[:1] = 0
    return MaskRuns(end - begin, owner.bincount(minlength=count), (height, width))


def decode_masks(masks: MaskRuns) -> Tensor:
    """Decode masks to uint8 (N, H, W) with values 0 and 1."""
    height, width = masks.size
    first = masks.lengths.cumsum(0) - masks.lengths
    place = torch.arange(len(masks.runs), device=masks.runs.device) - first.repeat_interleave(masks.lengths)
    pixels = _repeated((place % 2).to(torch.uint8), masks.runs, len(masks.lengths) * height * width)
    return pixels.view(-1, width, height).transpose(1, 2)


def _true_places(flags: Tensor) -> Tensor:
    if flags.device.type == "cpu":  # numpy is ten times faster here
        return torch.from_numpy(np.flatnonzero(flags.numpy()))
    return flags.nonzero().squeeze(1)


def _repeated(values: Tensor, times: Tensor, total: int) -> Tensor:
    if values.device.type == "cpu":  # numpy is thirty times faster here
        return torch.from_numpy(np.repeat(values.numpy(), times.numpy()))
    return values.repeat_interleave(times, output_size=total)


def select_masks(masks: MaskRuns, index: Tensor) -> MaskRuns:
    """Select the masks at int64 (K,) positions in 0..N-1, in that order; positions may repeat."""
    lengths = masks.lengths[index]
    first = (masks.lengths.cumsum(0) - masks.lengths)[index]
    offset = first - (lengths.cumsum(0) - lengths)
    rows = torch.arange(int(lengths.sum()), device=lengths.device) + offset.repeat_interleave(lengths)
    return MaskRuns(masks.runs[rows], lengths, masks.size)
