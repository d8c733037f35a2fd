"""Bilinear resizing for ``torch.export`` with the digits of PyTorch's own on CPUs, also in other runtimes.

ONNX's operator rounds the places of the samples in another way: pixels would differ by up to 0.01 of 255.
"""

import torch
from torch import Tensor


def traced_resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps float32 (..., H, W) to a size, like ``interpolate`` with ``mode="bilinear"`` and its defaults.

    Sizes may be symbols of an export.
    """
    low, high, share = _neighbors(maps.shape[-1], size[1])
    maps = maps[..., low] * (1 - share) + maps[..., high] * share
    low, high, share = _neighbors(maps.shape[-2], size[0])
    share = share[:, None]
    return maps[..., low, :] * (1 - share) + maps[..., high, :] * share


def _neighbors(old: int, new: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two cells around each of ``new`` samples of ``old`` cells, int64, and the weight of the second one."""
    before, after = (torch.scalar_tensor(length, dtype=torch.float32) for length in (old, new))
    # PyTorch computes places in float32 with fused multiplications, whose result is that of float64 rounded once.
    place = ((torch.arange(new) + 0.5).double() * (before / after).double() - 0.5).float().clamp(min=0)
    last = torch.scalar_tensor(old - 1, dtype=torch.int64)
    low = torch.minimum(place.long(), last)
    return low, torch.minimum(low + 1, last), (place - low).clamp(0, 1)
