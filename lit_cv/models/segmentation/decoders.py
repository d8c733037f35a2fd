"""Decoders from feature maps to class scores: sums of score maps (Long et al. 2015) or a mirrored network."""

from itertools import pairwise
from math import gcd, prod

from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models.layers.upsampling import (
    Enlarge,
    FixedTransposedConvolution,
    Overlap,
    TransposedConvolution,
    Upsampling,
)
from lit_cv.ops.upsampling import max_unpool

SYMMETRIC_KERNEL = 3  # default of the transposed convolutions; with stride 2 their overlaps are uneven


class ScoreDecoder(nn.Module):
    """Sum of score maps, from coarse to fine, enlarged to pixels (Long et al. 2015, section 4.2, figure 3).

    Args:
        num_classes: Channels of each score map.
        strides: Strides of the maps, finest first. The last map is given as scores.
        channels: Channels of the other maps (the skips). Their score layers are initialized to zero.
        upsampling: ``nearest``, ``bilinear`` or ``transposed``.
        kernel: Height and width of the kernels of transposed convolutions; None: twice their stride.
        step: Factor of one enlargement of the sum; None: enlarge to pixels in one step.
        learned: If true, the transposed convolutions start as bilinear interpolation and are trained, with weights
            between all classes. Otherwise each class is interpolated by itself with fixed weights. (Long et al. train
            the transposed convolutions between maps and fix the last one.)

    Raises:
        UserError: No number of enlargements by ``step`` gives the stride of the finest map.
    """

    def __init__(
        self,
        num_classes: int,
        strides: list[int],
        channels: list[int],
        upsampling: Upsampling,
        kernel: int | None,
        step: int | None,
        learned: bool,
    ) -> None:
        super().__init__()

        def enlarge(factor: int) -> nn.Module:
            if upsampling != "transposed":
                return Enlarge(upsampling, factor)
            sides = 2 * factor if kernel is None else kernel
            if not learned:
                return FixedTransposedConvolution(factor, sides)
            layer = TransposedConvolution(num_classes, factor, sides)
            layer.start_bilinear()
            return layer

        self.scores = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for width in channels)
        for layer in self.scores:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        self.fuse = nn.ModuleList(enlarge(coarse // fine) for fine, coarse in pairwise(strides))
        factors = _factors(strides[0], step)
        self.to_pixels = nn.Sequential(*map(enlarge, factors))
        self.last_factor = factors[-1]

    def forward(self, scores: Tensor, maps: list[Tensor]) -> Tensor:
        """Return logits (B, num_classes, H, W) from the scores of the coarsest map and the other maps, finest first."""
        for level in range(len(maps) - 1, -1, -1):
            scores = self.fuse[level](scores) + self.scores[level](maps[level])
        pixels: Tensor = self.to_pixels(scores)
        return pixels


class SymmetricDecoder(nn.Module):
    """A mirrored backbone: a convolution, an upsampling and a convolution at the finer resolution for each stage.

    The design follows Zeiler & Fergus 2011 and 2014 and Noh et al. 2015. All upsamplings share the same convolutions,
    each with group norm and ReLU. Only transposed convolutions have weights of their own, which are always trained.

    Max unpooling places values at the maxima of the pooling windows in the encoder's map of the finer resolution. If
    the backbone goes from one stage to the next by that pooling, as VGG does, these are the indices of the paired
    pooling. If it uses strides or overlapping windows, an extra pooling is computed for its indices only. A decoder
    that is narrower than the encoder uses the indices of the first channels.

    Args:
        strides: Strides of the backbone's maps, finest first.
        channels: Channels of these maps.
        width: Maximum number of channels of the decoder's maps; None: the channels of the backbone's maps.
        upsampling: Any upsampling.
        kernel: Height and width of the kernels of transposed convolutions; None: 3.
        skips: Maps of the backbone with at least this stride are added to the decoder's maps of the same size, after a
            1x1 convolution.
        overlap: See ``TransposedConvolution``.

    Raises:
        UserError: ``overlap`` is ``mean``, but nothing overlaps.
    """

    def __init__(
        self,
        strides: list[int],
        channels: list[int],
        width: int | None,
        upsampling: Upsampling,
        kernel: int | None,
        skips: int,
        overlap: Overlap,
    ) -> None:
        super().__init__()
        self.unpools = upsampling == "max_unpool"
        self.factors = [coarse // fine for fine, coarse in pairwise(strides)]
        self.last_factor = self.factors[0]
        sides = kernel or SYMMETRIC_KERNEL
        if overlap == "mean" and sides <= min(self.factors):
            raise UserError(
                f"upsampling_overlap: mean has no effect: kernels of {sides} do not overlap at strides of "
                f"{min(self.factors)} and more; remove it."
            )
        widths = [fine if width is None else min(fine, width) for fine in channels[:-1]]
        self.narrow = nn.ModuleList(_block(coarse, fine) for fine, coarse in pairwise([*widths, channels[-1]]))
        self.refine = nn.ModuleList(_block(fine, fine) for fine in widths)
        levels = [level for level, stride in enumerate(strides[:-1]) if stride >= skips]
        self.skips = nn.ModuleDict({str(level): nn.Conv2d(channels[level], widths[level], 1) for level in levels})
        # Built last: with one seed, all upsamplings start from the same other weights.
        self.enlarge = nn.ModuleList()
        for fine, factor in zip(widths, self.factors, strict=True):
            if upsampling == "transposed":
                self.enlarge.append(TransposedConvolution(fine, factor, sides, overlap))
            elif upsampling != "max_unpool":
                self.enlarge.append(Enlarge(upsampling, factor))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the backbone's maps, finest first, to one map (B, C, h, w) of the size of the finest one."""
        x = maps[-1]
        for level in range(len(self.factors) - 1, -1, -1):
            x = self.narrow[level](x)
            x = _unpool(x, maps[level], self.factors[level]) if self.unpools else self.enlarge[level](x)
            if str(level) in self.skips:
                x = x + self.skips[str(level)](maps[level])
            x = self.refine[level](x)
        return x


def _unpool(x: Tensor, encoded: Tensor, factor: int) -> Tensor:
    """Unpool to the maxima of the encoder's map, using as many of its channels as ``x`` has."""
    _, indices = F.max_pool2d(encoded[:, : x.shape[1]].detach(), factor, return_indices=True)
    return max_unpool(x, indices, factor)


def _block(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(gcd(8, after), after), nn.ReLU(inplace=True))


def _factors(stride: int, step: int | None) -> list[int]:
    """Split an enlargement into at least one step of equal factors."""
    if step is None:
        return [stride]
    factors = [step]
    while step > 1 and prod(factors) < stride:
        factors.append(step)
    if prod(factors) != stride:
        raise UserError(
            f"upsampling_stride={step}: no power of it gives {stride}, the stride of the finest map that is used: "
            "choose another, or null for one step."
        )
    return factors
