"""Pooling of regions against torchvision's kernels."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align, roi_pool

from lit_cv.ops.roi import RoIOp, pool_rois, pyramid_levels

STRIDES = [4, 8, 16]
OPS = ["align", "align_half_pixel", "pool"]  # with a reference in torchvision
ALL = [*OPS, "bilinear"]
EDGES = torch.tensor(
    [
        [0.0, -40, -30, 20, 30],  # beyond the corner
        [1, 100, 90, 200, 300],  # beyond the other corner
        [1, 300, 300, 400, 400],  # completely outside
        [0, 0, 0, 128, 96],  # the whole image
        [0, 50, 50, 50, 50],  # without area
        [1, 127, 95, 128, 96],  # the last pixel
        [0, 8, 24, 40, 56],  # halves of cells at stride 16: 0.5, 1.5, 2.5, 3.5
        [1, -8, -24, 8, 40],
    ]
)


def maps_and_rois(dtype: torch.dtype = torch.float32) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(2, 6, 96 // s, 128 // s, generator=generator, dtype=dtype).requires_grad_() for s in STRIDES]
    corners = torch.rand(60, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([128.0, 96.0])
    owners = torch.randint(0, 2, (60, 1), generator=generator).float()
    return maps, torch.cat((torch.cat((owners, corners.flatten(1)), dim=1), EDGES))


def kernel(features: torch.Tensor, rois: torch.Tensor, stride: int, op: RoIOp) -> torch.Tensor:
    """Call the reference kernel of torchvision."""
    if op == "pool":
        return roi_pool(features, rois, 7, 1 / stride)
    return roi_align(features, rois, 7, 1 / stride, sampling_ratio=2, aligned=op == "align_half_pixel")


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("channels_last", [False, True])
def test_pooling_from_one_map_matches_torchvision(op: RoIOp, level: int, channels_last: bool) -> None:
    maps, rois = maps_and_rois()
    features = maps[level].detach()
    if channels_last:
        features = features.to(memory_format=torch.channels_last)
    features.relu_().requires_grad_()  # many cells of a region hold its maximum
    pooled = pool_rois([features], [STRIDES[level]], rois, 7, op)
    expected = kernel(features, rois, STRIDES[level], op)
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn(expected.shape)
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), features)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), features)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


def test_align_on_a_pyramid_matches_torchvision() -> None:
    maps, rois = maps_and_rois()
    rois = torch.cat((rois[rois[:, 0] == 0], rois[rois[:, 0] == 1]))
    reference_op = MultiScaleRoIAlign(["0", "1", "2"], 7, 2)
    boxes = [rois[rois[:, 0] == image, 1:] for image in (0, 1)]
    expected = reference_op({str(level): features for level, features in enumerate(maps)}, boxes, [(96, 128)] * 2)
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
    weights = torch.randn(pooled.shape)
    gradients = torch.autograd.grad((pooled * weights).sum(), maps)
    for level, (features, stride, gradient) in enumerate(zip(maps, STRIDES, gradients, strict=True)):
        chosen = levels == level
        expected = roi_pool(features, rois[chosen], 7, 1 / stride)
        torch.testing.assert_close(pooled[chosen], expected)
        (wanted,) = torch.autograd.grad((expected * weights[chosen]).sum(), features)
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


def test_pool_of_a_region_worked_by_hand() -> None:
    features = torch.tensor([[[[1.0, 7.0, 2.0], [3.0, 4.0, 5.0], [9.0, 0.0, 6.0]]]], requires_grad=True)
    # The region covers columns 0 to 2 and rows 0 to 1: 2 x 2 bins, where the two bin columns share column 1.
    pooled = pool_rois([features], [16], torch.tensor([[0.0, 0, 0, 32, 16]]), 2, "pool")
    assert pooled.tolist() == [[[[7, 7], [4, 5]]]]
    pooled.sum().backward()
    assert features.grad.tolist() == [[[[0, 2, 0], [0, 1, 1], [0, 0, 0]]]]


@pytest.mark.parametrize("op", ALL)
def test_gradient_matches_finite_differences(op: RoIOp) -> None:
    generator = torch.Generator().manual_seed(2)
    # Distinct integers: a small perturbation does not change the maxima.
    values = torch.randperm(2 * 2 * 5 * 6, generator=generator).double().view(2, 2, 5, 6)
    rois = torch.tensor([[0, 3.0, 5, 70, 60], [1, -20, 10, 50, 200], [1, 40, 40, 41, 41]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda maps: pool_rois([maps], [16], rois, 3, op), values.requires_grad_())


@pytest.mark.parametrize("op", OPS)
def test_gradient_is_deterministic(op: RoIOp) -> None:
    maps, rois = maps_and_rois()
    weights = torch.randn(len(rois), 6, 7, 7)
    threads = torch.get_num_threads()
    gradients = []
    for number in (1, 2, 2):
        torch.set_num_threads(number)
        pooled = pool_rois(maps, STRIDES, rois, 7, op)
        gradients.append(torch.autograd.grad((pooled * weights).sum(), maps))
    torch.set_num_threads(threads)
    for repeated in gradients[1:]:
        assert all(torch.equal(one, two) for one, two in zip(gradients[0], repeated, strict=True))


@pytest.mark.parametrize("op", ALL)
def test_half_precision_pools_in_single(op: RoIOp) -> None:
    maps, rois = maps_and_rois()
    halves = [level.detach().bfloat16().requires_grad_() for level in maps]
    pooled = pool_rois(halves, STRIDES, rois, 7, op)
    assert pooled.dtype == torch.bfloat16
    expected = pool_rois([level.float() for level in halves], STRIDES, rois, 7, op)
    assert torch.equal(pooled, expected.bfloat16())
    pooled.float().sum().backward()
    assert all(level.grad.dtype == torch.bfloat16 for level in halves)


def test_bilinear_points_by_hand() -> None:
    features = torch.arange(24.0).view(2, 1, 3, 4)  # column + 4 row, + 12 in the second image; centers at 8, 24, ...
    rois = torch.tensor([[1, 8.0, 8, 40, 24], [0, 24, 40, 24, 40], [1, -99, 0, 8, 1000]])
    pooled = pool_rois([features], [16], rois, 3, "bilinear")
    first = [[12, 13, 14], [14, 15, 16], [16, 17, 18]]  # cell centers and midpoints
    assert pooled[0, 0].tolist() == first
    assert pooled[1, 0].tolist() == [[9.0] * 3] * 3  # a point
    assert pooled[2, 0].tolist() == [[12.0] * 3, [20.0] * 3, [20.0] * 3]  # points outside are clamped to the edge
    region = torch.tensor([[0.0, 10, 10, 38, 22]], requires_grad=True)
    pool_rois([features], [16], region, 3, "bilinear").sum().backward()
    # Moving an edge by one pixel moves three points by 1 / 16 of a cell, three by half of that and three by 0.
    torch.testing.assert_close(region.grad[0, 1:], torch.tensor([1.0, 4, 1, 4]) * 4.5 / 16)


def test_pyramid_level_of_known_boxes() -> None:
    sides = torch.tensor([10.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 2000.0])
    boxes = torch.stack((sides * 0, sides * 0, sides, sides), dim=1)
    assert pyramid_levels(boxes, [4, 8, 16, 32]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("op", ALL)
def test_no_region_pools_to_nothing(op: RoIOp) -> None:
    maps, rois = maps_and_rois()
    pooled = pool_rois(maps, STRIDES, rois[:0], 7, op=op)
    assert pooled.shape == (0, 6, 7, 7)
    pooled.sum().backward()
    assert all(not features.grad.any() for features in maps)
