"""Run-length encoding of masks against pycocotools."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from lit_cv.ops.mask_runs import MaskRuns, decode_masks, encode_masks, select_masks


def _masks(density: float, count: int = 5, size: tuple[int, int] = (7, 11)) -> torch.Tensor:
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(1)) < density


@pytest.mark.parametrize("density", [0.0, 0.3, 0.7, 1.0])
def test_runs_match_coco(density: float) -> None:
    masks = _masks(density)
    encoded = encode_masks(masks)
    counts = torch.split(encoded.runs, encoded.lengths.tolist())
    assert encoded.size == (7, 11)
    for mask, runs in zip(masks, counts, strict=True):
        ours = coco_mask.frPyObjects({"size": [7, 11], "counts": runs.tolist()}, 7, 11)
        assert ours == coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
    assert torch.equal(decode_masks(encoded), masks.to(torch.uint8))


def test_a_mask_by_hand() -> None:
    mask = torch.tensor([[[0, 1], [1, 1], [1, 0]]])  # columns 0 1 1 and 1 1 0
    encoded = encode_masks(mask)
    assert encoded.runs.tolist() == [1, 4, 1]
    assert encoded.lengths.tolist() == [3]


def test_no_mask() -> None:
    encoded = encode_masks(torch.zeros(0, 4, 6, dtype=torch.bool))
    assert decode_masks(encoded).shape == (0, 4, 6)
    assert decode_masks(select_masks(encoded, torch.zeros(0, dtype=torch.int64))).shape == (0, 4, 6)


def test_selected_masks_keep_their_order() -> None:
    masks = _masks(0.4)
    index = torch.tensor([3, 0, 3, 1])
    chosen: MaskRuns = select_masks(encode_masks(masks), index)
    assert torch.equal(decode_masks(chosen), masks[index].to(torch.uint8))
