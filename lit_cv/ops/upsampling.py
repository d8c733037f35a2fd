"""Operators for in-network upsampling of feature maps, and a measure of the checkerboard pattern they may leave.

All maps are (B, C, H, W); results keep the memory format of the input.
"""

import torch
from torch import Tensor
from torch.nn import functional


def nearest(x: Tensor, factor: int) -> Tensor:
    """Repeat each value ``factor`` times along both axes: (B, C, H, W) to (B, C, H * factor, W * factor)."""
    return functional.interpolate(x, scale_factor=factor, mode="nearest")


def bilinear(x: Tensor, factor: int) -> Tensor:
    """Interpolate bilinearly with ``align_corners=False``; edge values are repeated outside the map.

    The backward pass is not deterministic on GPU (atomic additions).

    Args:
        x: (B, C, H, W).
        factor: Scale factor of height and width.

    Returns:
        (B, C, H * factor, W * factor).
    """
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def bed_of_nails(x: Tensor, factor: int) -> Tensor:
    """Place each value in the upper left corner of a cell of zeros (Zeiler & Fergus' unpooling without switches).

    This is the transpose of subsampling every ``factor``-th value.

    Args:
        x: (B, C, H, W).
        factor: Side length of a cell.

    Returns:
        (B, C, H * factor, W * factor).
    """
    batch, channels, height, width = x.shape
    gap = factor - 1
    if _is_channels_last(x):
        cells = x.permute(0, 2, 3, 1)[:, :, None, :, None]
        rows = functional.pad(cells, (0, 0, 0, gap, 0, 0, 0, gap))
        return rows.view(batch, height * factor, width * factor, channels).permute(0, 3, 1, 2)
    rows = functional.pad(x[:, :, :, None, :, None], (0, gap, 0, 0, 0, gap))
    return rows.view(batch, channels, height * factor, width * factor)


def max_unpool(x: Tensor, indices: Tensor, factor: int) -> Tensor:
    """Place each value at the maximum of its window, zeros elsewhere (Zeiler & Fergus 2014; Noh et al. 2015).

    Equal to ``torch.nn.functional.max_unpool2d``, which PyTorch rejects under ``torch.use_deterministic_algorithms``
    because overlapping windows could write to one position twice. Windows of pooling with
    ``kernel_size = stride = factor`` do not overlap, so this function is deterministic on every device, forward and
    backward.

    Args:
        x: (B, C, H, W).
        indices: int64 (B, C, H, W), flat position of each maximum in the larger map, as returned by
            ``max_pool2d(larger, factor, return_indices=True)``.
        factor: Side length of a window.

    Returns:
        (B, C, H * factor, W * factor).
    """
    batch, channels, height, width = x.shape
    height, width = height * factor, width * factor
    if _is_channels_last(x):
        # One scatter over the flattened values keeps adjacent memory adjacent.
        channel = torch.arange(channels, device=x.device)
        places = torch.add(channel, indices.permute(0, 2, 3, 1), alpha=channels)
        values = x.permute(0, 2, 3, 1).flatten(1)
        flat = x.new_zeros(batch, height * width * channels).scatter_(1, places.flatten(1), values)
        return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)
    flat = x.new_zeros(batch, channels, height * width).scatter_(2, indices.flatten(2), x.flatten(2))
    return flat.view(batch, channels, height, width)


def bilinear_kernel(size: int) -> Tensor:
    """Return the weights of a transposed convolution that interpolates bilinearly (Long et al. 2015, section 3.3).

    With ``size = 2 * stride`` and ``padding = stride / 2`` the convolution upsamples by ``stride``; edges fade to zero.

    Args:
        size: Side length of the kernel, a tent of half-width (size + 1) // 2.

    Returns:
        float32 (size, size) with values in (0, 1].
    """
    half = (size + 1) // 2
    center = half - 1 if size % 2 else half - 0.5
    tent = 1 - (torch.arange(size) - center).abs() / half
    return torch.outer(tent, tent)


def checkerboard(scores: Tensor, stride: int) -> Tensor:
    """Measure the pattern of period ``stride`` left by upsampling (Odena, Dumoulin & Olah 2016).

    The measure is the share of each map's spectral energy, without the mean, that lies exactly at the harmonics of
    frequency 1 / ``stride`` along both axes. By Parseval's theorem this equals the variance of the means of the stride²
    phases divided by the variance of the map, so no Fourier transform is needed.

    Args:
        scores: Maps (B, C, H, W), cropped at the right and the bottom to a multiple of ``stride``.
        stride: Period of the pattern in cells; 1 without upsampling.

    Returns:
        float32 scalar in [0, 1], the mean over images and channels; constant maps count as 0.
    """
    height, width = (side // stride for side in scores.shape[-2:])
    channels_last = scores.is_contiguous(memory_format=torch.channels_last)
    shares = []
    for maps in scores[..., : height * stride, : width * stride]:  # one by one: a whole batch exceeds the cache
        maps = maps.permute(1, 2, 0)[None] if channels_last else maps[..., None]  # memory order: (., H, W, .)
        maps = (maps - maps[:, :1, :1]).float()  # otherwise rounding gives constant maps a variance
        rows = maps.unflatten(1, (height, stride)).sum(dim=1)
        phases = rows.unflatten(2, (width, stride)).sum(dim=2) / (height * width)
        squares = maps.square_().sum(dim=1).sum(dim=1) / (height * width * stride**2)
        variance = squares - phases.mean(dim=(1, 2)).square()
        shares.append(torch.where(variance > 0, phases.var(dim=(1, 2), correction=0) / variance, 0))
    return torch.stack(shares).mean()


def _is_channels_last(x: Tensor) -> bool:
    if torch.compiler.is_exporting():  # contiguous, and the sizes that tell so may be unknown
        return False
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
