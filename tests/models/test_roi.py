"""Pooling of regions against torchvision's kernels."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align, roi_pool

from lit_cv.ops.roi import pool_rois, pyramid_levels

STRIDES = [4, 8, 16]
EDGES = torch.tensor(
    [
        [0.0, -40, -30, 20, 30],  # beyond the corner
        [1, 100, 90, 200, 300],  # beyond the other corner
        [1, 300, 300, 400, 400],  # wholly outside
        [0, 0, 0, 128, 96],  # the whole image
        [0, 50, 50, 50, 50],  # without area
        [1, 127, 95, 128, 96],  # the last pixel
    ]
)


def maps_and_rois(dtype: torch.dtype = torch.float32) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(2, 6, 96 // s, 128 // s, generator=generator, dtype=dtype).requires_grad_() for s in STRIDES]
    corners = torch.rand(60, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([128.0, 96.0])
    owners = torch.randint(0, 2, (60, 1), generator=generator).float()
    return maps, torch.cat((torch.cat((owners, corners.flatten(1)), dim=1), EDGES))


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("channels_last", [False, True])
def test_align_on_one_map_is_torchvisions(level: int, channels_last: bool) -> None:
    maps, rois = maps_and_rois()
    features = maps[level].detach()
    if channels_last:
        features = features.to(memory_format=torch.channels_last)
    features.requires_grad_()
    pooled = pool_rois([features], [STRIDES[level]], rois, 7)
    expected = roi_align(features, rois, 7, 1 / STRIDES[level], sampling_ratio=2)
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn(expected.shape)
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), features)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), features)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


def test_align_on_a_pyramid_is_torchvisions() -> None:
    maps, rois = maps_and_rois()
    rois = torch.cat((rois[rois[:, 0] == 0], rois[rois[:, 0] == 1]))
    peer = MultiScaleRoIAlign(["0", "1", "2"], 7, 2)
    boxes = [rois[rois[:, 0] == image, 1:] for image in (0, 1)]
    expected = peer({str(level): features for level, features in enumerate(maps)}, boxes, [(96, 128)] * 2)
    pooled = pool_rois(maps, STRIDES, rois, 7)
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn(expected.shape)
    gradients = torch.autograd.grad((pooled * weights).sum(), maps)
    wanted = torch.autograd.grad((expected * weights).sum(), maps)
    for gradient, reference in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-4)


def test_pool_on_a_pyramid_takes_each_region_from_its_level() -> None:
    maps, rois = maps_and_rois()
    rois = rois[:60]
    levels = pyramid_levels(rois[:, 1:], STRIDES)
    pooled = pool_rois(maps, STRIDES, rois, 7, op="pool")
    for level, (features, stride) in enumerate(zip(maps, STRIDES, strict=True)):
        chosen = levels == level
        torch.testing.assert_close(pooled[chosen], roi_pool(features, rois[chosen], 7, 1 / stride))


def test_pyramid_level_of_known_boxes() -> None:
    sides = torch.tensor([10.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 2000.0])
    boxes = torch.stack((sides * 0, sides * 0, sides, sides), dim=1)
    assert pyramid_levels(boxes, [4, 8, 16, 32]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("op", ["align", "pool"])
def test_no_region_pools_to_nothing(op: str) -> None:
    maps, rois = maps_and_rois()
    pooled = pool_rois(maps, STRIDES, rois[:0], 7, op=op)
    assert pooled.shape == (0, 6, 7, 7)
    pooled.sum().backward()
    assert all(not features.grad.any() for features in maps)
