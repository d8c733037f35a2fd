"""Cropping and pasting of masks against the sampling of torch and torchvision."""

import torch
from torch.nn import functional as F
from torchvision.ops import roi_align

from lit_cv.ops.mask_runs import decode_masks, encode_masks
from lit_cv.ops.masks import crop_masks, paste_masks


def test_pasted_masks_match_bilinear_sampling() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(6, 28, 28, generator=generator)
    corners = torch.rand(6, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([70.0, 50.0])
    boxes = corners.flatten(1) + torch.tensor([-5.0, -5.0, 5.0, 5.0])  # some extend beyond the image
    rows, columns = torch.arange(50) + 0.5, torch.arange(70) + 0.5
    x = (columns - boxes[:, :1]) / (boxes[:, 2:3] - boxes[:, :1]) * 2 - 1
    y = (rows - boxes[:, 1:2]) / (boxes[:, 3:] - boxes[:, 1:2]) * 2 - 1
    grid = torch.stack((x[:, None].expand(-1, 50, -1), y[..., None].expand(-1, -1, 70)), dim=-1)
    expected = F.grid_sample(probabilities[:, None], grid, align_corners=False)[:, 0]
    clear = (expected - 0.5).abs() > 1e-5
    found = decode_masks(paste_masks(probabilities, boxes, (50, 70))).bool()
    assert torch.equal(found[clear], (expected >= 0.5)[clear])
    assert 0.05 < found.float().mean() < 0.95


def test_a_full_mask_fills_its_box() -> None:
    pasted = decode_masks(paste_masks(torch.ones(1, 28, 28), torch.tensor([[10.0, 20.0, 30.0, 50.0]]), (60, 40)))
    expected = torch.zeros(1, 60, 40, dtype=torch.uint8)
    expected[:, 20:50, 10:30] = 1
    assert torch.equal(pasted, expected)


def test_no_masks_paste_to_no_masks() -> None:
    pasted = paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (60, 40))
    assert decode_masks(pasted).shape == (0, 60, 40)


def test_crops_match_torchvision() -> None:
    generator = torch.Generator().manual_seed(2)
    masks = torch.rand(3, 40, 60, generator=generator) < 0.5
    index = torch.tensor([2, 0, 2, 2])
    boxes = torch.tensor([[0, 0, 60, 40], [4.5, 4, 8, 8], [10, 3, 50, 39.2], [0, 30, 9, 40]])
    rois = torch.cat((index[:, None].float(), boxes), dim=1)
    expected = roi_align(masks[:, None].float(), rois, (28, 28), 1.0)[:, 0]
    assert torch.equal(crop_masks(encode_masks(masks), index, boxes, 28), expected)
    assert crop_masks(encode_masks(masks), index[:0], boxes[:0], 28).shape == (0, 28, 28)
