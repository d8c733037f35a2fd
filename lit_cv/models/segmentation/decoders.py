"""From the maps of a backbone to class scores: sums of score maps (Long et al. 2015), or a mirrored network."""

from itertools import pairwise
from math import gcd, prod

from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models.layers.upsampling import Enlarge, FixedTransposedConvolution, TransposedConvolution, Upsampling
from lit_cv.ops.upsampling import max_unpool

SYMMETRIC_KERNEL = 3  # of transposed convolutions: with stride 2 the overlaps are uneven


class ScoreDecoder(nn.Module):
    """Sum score maps, coarse to fine, and enlarge the sum to pixels (Long et al. 2015, section 4.2, figure 3).

    Args:
        num_classes: Channels of every score map.
        strides: Of the maps, finest first; the last one comes as scores.
        channels: Of the maps that are skipped to, all but the last; their score layers start at zero.
        upsampling: ``nearest``, ``bilinear`` or ``transposed``.
        kernel: Of transposed convolutions; None: twice their stride.
        step: Factor of one enlargement of the sum; None: to pixels in one.
        learned: Train the transposed convolutions, each class from all, which start as bilinear interpolation; else
            each class is interpolated by itself. (Long et al. train those between maps and fix the last one.)

    Raises:
        UserError: ``step`` does not lead to pixels.
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
        """Return logits (B, num_classes, H, W) of scores of the coarsest map and the maps to skip to, finest first."""
        for level in range(len(maps) - 1, -1, -1):
            scores = self.fuse[level](scores) + self.scores[level](maps[level])
        pixels: Tensor = self.to_pixels(scores)
        return pixels


class SymmetricDecoder(nn.Module):
    """Mirror the backbone: from stage to stage a convolution, an upsampling and a convolution at the finer resolution.

    Zeiler & Fergus 2011 and 2014, Noh et al. 2015. The convolutions, each with group norm and ReLU, are the same
    whatever the upsampling, to which a transposed convolution alone adds weights; these are always learned.

    Max unpooling puts values where the encoder's map of the finer resolution has the maxima of its windows. Where the
    backbone goes from one stage to the next by that pooling, as VGG does, these are the places of the paired pooling;
    where it goes by strides or overlapping windows, the pooling is one beside the layer, and only its places are used.
    A decoder narrower than the encoder uses the places of the first channels.

    Args:
        strides: Of the maps of the backbone, finest first.
        channels: Of these maps.
        width: Most channels of the decoder's own maps; None: as many as the backbone's.
        upsampling: Any.
        kernel: Of transposed convolutions; None: 3.
        skips: Maps at this stride and coarser are added to the decoder's own of the same size, after a 1x1 convolution.
    """

    def __init__(
        self,
        strides: list[int],
        channels: list[int],
        width: int | None,
        upsampling: Upsampling,
        kernel: int | None,
        skips: int,
    ) -> None:
        super().__init__()
        self.unpools = upsampling == "max_unpool"
        self.factors = [coarse // fine for fine, coarse in pairwise(strides)]
        self.last_factor = self.factors[0]
        widths = [fine if width is None else min(fine, width) for fine in channels[:-1]]
        self.narrow = nn.ModuleList(_block(coarse, fine) for fine, coarse in pairwise([*widths, channels[-1]]))
        self.refine = nn.ModuleList(_block(fine, fine) for fine in widths)
        levels = [level for level, stride in enumerate(strides[:-1]) if stride >= skips]
        self.skips = nn.ModuleDict({str(level): nn.Conv2d(channels[level], widths[level], 1) for level in levels})
        # Last, so that with one seed all upsamplings start from the same other weights.
        self.enlarge = nn.ModuleList()
        for fine, factor in zip(widths, self.factors, strict=True):
            if upsampling == "transposed":
                self.enlarge.append(TransposedConvolution(fine, factor, kernel or SYMMETRIC_KERNEL))
            elif upsampling != "max_unpool":
                self.enlarge.append(Enlarge(upsampling, factor))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the maps of the backbone, finest first, to one (B, C, h, w) of the finest one's size."""
        x = maps[-1]
        for level in range(len(self.factors) - 1, -1, -1):
            x = self.narrow[level](x)
            x = _unpool(x, maps[level], self.factors[level]) if self.unpools else self.enlarge[level](x)
            if str(level) in self.skips:
                x = x + self.skips[str(level)](maps[level])
            x = self.refine[level](x)
        return x


def _unpool(x: Tensor, encoded: Tensor, factor: int) -> Tensor:
    """Unpool to the places of the maxima of the encoder's map, of as many channels as there are to unpool."""
    _, indices = F.max_pool2d(encoded[:, : x.shape[1]].detach(), factor, return_indices=True)
    return max_unpool(x, indices, factor)


def _block(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(gcd(8, after), after), nn.ReLU(inplace=True))


def _factors(stride: int, step: int | None) -> list[int]:
    """Split an enlargement into equal steps, at least one."""
    if step is None:
        return [stride]
    factors = [step]
    while step > 1 and prod(factors) < stride:
        factors.append(step)
    if prod(factors) != stride:
        raise UserError(
            f"upsampling_stride={step}: no repetition of it gives {stride}, the stride of the finest map that is used: "
            "choose another, or null for one step."
        )
    return factors
