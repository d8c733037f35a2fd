"""Upsampling operators as layers."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.ops.upsampling import bed_of_nails, bilinear, bilinear_kernel, nearest

Upsampling = Literal["nearest", "bilinear", "bed_of_nails", "max_unpool", "transposed"]
Overlap = Literal["sum", "mean"]

OPERATORS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "nearest": nearest,
    "bilinear": bilinear,
    "bed_of_nails": bed_of_nails,
}


class Enlarge(nn.Module):
    """Upsampling without weights and without pooling indices.

    Args:
        upsampling: ``nearest``, ``bilinear`` or ``bed_of_nails``.
        factor: Factor for height and width.
    """

    def __init__(self, upsampling: Upsampling, factor: int) -> None:
        super().__init__()
        self.upsampling, self.factor = upsampling, factor

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h * factor, w * factor)."""
        return OPERATORS[self.upsampling](x, self.factor)


class TransposedConvolution(nn.ConvTranspose2d):
    """A transposed convolution without bias whose output is exactly ``factor`` times as large as its input.

    Args:
        channels: Number of input and output channels.
        factor: Stride of the convolution.
        kernel: Height and width of the kernel. A kernel smaller than the stride leaves gaps of zeros.
        overlap: ``sum`` adds the kernels where they overlap; ``mean`` divides each sum by the number of kernels in it.
    """

    def __init__(self, channels: int, factor: int, kernel: int, overlap: Overlap = "sum") -> None:
        padding, output_padding = exact_padding(kernel, factor)
        super().__init__(channels, channels, kernel, factor, padding, output_padding, bias=False)
        self.overlap, self.places = overlap, (factor, padding, output_padding)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (B, C, h, w) to (B, C, h * factor, w * factor)."""
        summed = super().forward(x, output_size)
        if self.overlap == "sum":
            return summed
        ones, kernel = torch.ones_like(x[:1, :1]), torch.ones_like(self.weight[:1, :1])
        counts = F.conv_transpose2d(ones, kernel, None, *self.places)
        return summed / counts.clamp(min=1)

    def start_bilinear(self) -> None:
        """Initialize to bilinear interpolation of each channel by itself (Long et al. 2015, section 3.3)."""
        with torch.no_grad():
            self.weight.zero_()
            self.weight.diagonal().copy_(bilinear_kernel(self.kernel_size[0])[..., None])


class FixedTransposedConvolution(nn.Module):
    """A transposed convolution of each channel by itself with fixed bilinear weights.

    Args:
        factor: Stride of the convolution.
        kernel: Height and width of the kernel.
    """

    kernel: Tensor

    def __init__(self, factor: int, kernel: int) -> None:
        super().__init__()
        self.factor = factor
        self.padding, self.output_padding = exact_padding(kernel, factor)
        self.register_buffer("kernel", bilinear_kernel(kernel), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h * factor, w * factor)."""
        weight = self.kernel.expand(x.shape[1], 1, *self.kernel.shape)
        return F.conv_transpose2d(x, weight, None, self.factor, self.padding, self.output_padding, groups=x.shape[1])


def exact_padding(kernel: int, stride: int) -> tuple[int, int]:
    """Return padding and output padding with which a transposed convolution enlarges exactly ``stride`` times."""
    padding = max(0, -(-(kernel - stride) // 2))
    return padding, 2 * padding - (kernel - stride)
