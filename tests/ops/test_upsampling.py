"""Upsampling against PyTorch's operators, explicit matrices and the Fourier transform."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_cv.models.layers.upsampling import TransposedConvolution
from lit_cv.ops.upsampling import bed_of_nails, bilinear, bilinear_kernel, checkerboard, max_unpool, nearest

FORMATS = [torch.contiguous_format, torch.channels_last]


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("memory_format", FORMATS)
def test_values_by_hand_in_either_memory_format(memory_format: torch.memory_format) -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(2, 3, 2, 2).contiguous(memory_format=memory_format)
    repeated = torch.tensor([[1.0, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]])
    nails = torch.tensor([[1.0, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]])
    row = torch.tensor([1.0, 1.25, 1.75, 2.0])
    linear = torch.stack([row, row + 0.5, row + 1.5, row + 2])
    for result, expected in ((nearest(x, 2), repeated), (bed_of_nails(x, 2), nails), (bilinear(x, 2), linear)):
        assert torch.equal(result, expected.expand(2, 3, 4, 4))
        assert result.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("factor", [2, 3])
def test_bed_of_nails_is_the_transpose_of_taking_every_nth_value(
    factor: int, memory_format: torch.memory_format
) -> None:
    x = random(2, 4, 3, 5).contiguous(memory_format=memory_format).requires_grad_()
    larger = random(2, 4, 3 * factor, 5 * factor)
    (gradient,) = torch.autograd.grad((bed_of_nails(x, factor) * larger).sum(), x)
    assert torch.equal(gradient, larger[..., ::factor, ::factor])


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("factor", [2, 3])
def test_max_unpooling_equals_torch_exactly_and_is_deterministic(
    factor: int, memory_format: torch.memory_format
) -> None:
    encoded = random(2, 8, 4 * factor, 3 * factor).relu().round(decimals=1)  # many equal values, whole windows of zeros
    _, indices = F.max_pool2d(encoded.contiguous(memory_format=memory_format), factor, return_indices=True)
    x, weights = random(2, 8, 4, 3), random(*encoded.shape)
    results = []
    for unpool in (
        lambda x: max_unpool(x, indices, factor),
        lambda x: F.max_unpool2d(x, indices, factor, output_size=encoded.shape[-2:]),
    ):
        leaf = x.contiguous(memory_format=memory_format).requires_grad_()
        result = unpool(leaf)
        (result * weights).sum().backward()
        results.append((result.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][0].is_contiguous(memory_format=memory_format)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(max_unpool(x, indices, factor), results[0][0])
    finally:
        torch.use_deterministic_algorithms(False)


def test_max_unpooling_restores_the_position_of_each_maximum() -> None:
    x = random(1, 3, 6, 8).abs()
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    unpooled = max_unpool(pooled, indices, 2)
    assert torch.equal(unpooled[unpooled > 0], x[unpooled > 0])
    assert (unpooled > 0).sum() == pooled.numel()


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (4, 2, 1), (2, 2, 0), (3, 1, 1)])
def test_transposed_convolution_is_the_transpose_of_the_convolution_matrix(
    kernel: int, stride: int, padding: int
) -> None:
    height, width = 7 if kernel == 3 else 8, 5 if kernel == 3 else 6  # sizes that the windows cover exactly
    weight = random(2, 3, kernel, kernel)  # 3 channels to 2
    cells = torch.zeros(3, height + 2 * padding, width + 2 * padding)
    rows = []
    for channel in range(2):
        for top in range(0, height + 2 * padding - kernel + 1, stride):
            for left in range(0, width + 2 * padding - kernel + 1, stride):
                row = cells.clone()
                row[:, top : top + kernel, left : left + kernel] = weight[channel]
                rows.append(row[:, padding : padding + height, padding : padding + width].flatten())
    matrix = torch.stack(rows)
    x = random(1, 3, height, width)
    y = F.conv2d(x, weight, stride=stride, padding=padding)
    torch.testing.assert_close(matrix @ x.flatten(), y.flatten())
    transposed = F.conv_transpose2d(y, weight, stride=stride, padding=padding)
    torch.testing.assert_close(matrix.T @ y.flatten(), transposed.flatten())


def test_overlaps_of_a_transposed_convolution_are_summed() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    result = F.conv_transpose2d(x[None, None], torch.ones(1, 1, 3, 3), stride=2)[0, 0]
    expected = [[1, 1, 3, 2, 2], [1, 1, 3, 2, 2], [4, 4, 10, 6, 6], [3, 3, 7, 4, 4], [3, 3, 7, 4, 4]]
    assert torch.equal(result, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize(("kernel", "factor"), [(3, 2), (4, 2), (5, 3), (2, 3)])
def test_the_mean_of_overlaps_divides_by_the_stamps_that_reach_a_cell(kernel: int, factor: int) -> None:
    summing, averaging = (TransposedConvolution(2, factor, kernel, overlap) for overlap in ("sum", "mean"))
    averaging.load_state_dict(summing.state_dict())
    x, padding = random(1, 2, 4, 5), summing.padding[0]
    counts = torch.zeros(4 * factor + 2 * kernel, 5 * factor + 2 * kernel)
    for row in range(4):  # the definition: each value stamps its kernel
        for column in range(5):
            counts[row * factor : row * factor + kernel, column * factor : column * factor + kernel] += 1
    counts = counts[padding : padding + 4 * factor, padding : padding + 5 * factor]
    torch.testing.assert_close(averaging(x), summing(x) / counts.clamp(min=1))
    assert (counts.max() > 1) == (kernel > factor)


@pytest.mark.parametrize("factor", [2, 8])
def test_bilinear_kernel_interpolates_except_at_the_edges(factor: int) -> None:
    x = random(1, 1, 6, 7)
    kernel = bilinear_kernel(2 * factor)[None, None]
    result = F.conv_transpose2d(x, kernel, stride=factor, padding=factor // 2)
    inside = slice(factor, -factor)
    torch.testing.assert_close(result[..., inside, inside], bilinear(x, factor)[..., inside, inside])


def test_bilinear_kernels_by_hand() -> None:
    even, odd = torch.tensor([0.25, 0.75, 0.75, 0.25]), torch.tensor([0.5, 1.0, 0.5])
    assert torch.equal(bilinear_kernel(4), torch.outer(even, even))
    assert torch.equal(bilinear_kernel(3), torch.outer(odd, odd))


@pytest.mark.parametrize("stride", [2, 3, 8])
def test_checkerboard_is_the_energy_at_the_harmonics(stride: int) -> None:
    scores = random(2, 3, 24, 48) + 5 * random(1, 3, stride, stride).repeat(1, 1, 24 // stride, 48 // stride) + 3
    spectrum = torch.fft.fft2((scores - scores.mean(dim=(-2, -1), keepdim=True)).double()).abs().square()
    at_harmonics = spectrum[..., :: 24 // stride, :: 48 // stride].sum(dim=(-2, -1))
    expected = (at_harmonics / spectrum.sum(dim=(-2, -1))).mean()
    assert 0.5 < expected < 1
    torch.testing.assert_close(checkerboard(scores, stride).double(), expected, rtol=1e-5, atol=0)
    rest = F.pad(scores, (0, stride - 1, 0, stride - 1), value=100.0)
    assert torch.equal(checkerboard(rest, stride), checkerboard(scores, stride))


def test_checkerboard_of_constant_maps_and_without_upsampling_is_zero() -> None:
    assert checkerboard(torch.full((2, 3, 16, 16), 0.1), 4) == 0
    assert checkerboard(random(2, 3, 16, 16), 1) == 0
    assert checkerboard(torch.eye(2).repeat(1, 1, 8, 8), 2) == 1


def test_uneven_overlaps_leave_a_checkerboard() -> None:
    x = F.interpolate(random(4, 1, 5, 5) + 2, size=(32, 32), mode="bicubic")  # smooth
    shares = {}
    for kernel in (2, 3, 4):
        weight = bilinear_kernel(4) if kernel == 4 else torch.ones(kernel, kernel)
        larger = F.conv_transpose2d(x, weight[None, None], stride=2)[..., 2:-2, 2:-2]  # without the edges
        shares[kernel] = checkerboard(larger, 2).item()
    assert shares[3] > 0.4
    assert max(shares[2], shares[4]) < 0.01
