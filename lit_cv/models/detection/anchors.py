"""Scales, ratios and places of anchors."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from lit_cv.errors import UserError
from lit_cv.models.images import Size, size_of
from lit_cv.models.layers.tensor_cache import TensorCache


@runtime_checkable
class Anchored(Protocol):
    """A network with anchors."""

    def anchors_on(self, pixels: Tensor) -> Tensor:
        """Return the anchors on a batch of pixels, float32 (A, 4), ``x1, y1, x2, y2`` in these pixels.

        Args:
            pixels: (B, 3, H, W), also on the device ``meta``; the anchors are on the CPU.
        """


def on_cpu(maps: Iterable[Tensor]) -> list[Tensor]:
    """Return maps of the same height and width on the CPU, with a single channel and without content."""
    return [torch.empty(1, 1, *size_of(level)) for level in maps]


class AnchorGrid:
    """The anchors of a generator at all cells of feature maps; those for recent sizes are kept.

    They are those of the generator's own ``forward`` in float32. That one would round them to the dtype of the maps and
    change the generator, which exporters do not allow.

    Args:
        generator: Shapes of the anchors.
    """

    def __init__(self, generator: AnchorGenerator) -> None:
        self._shapes: list[Tensor] = list(generator.cell_anchors)
        self._cache = TensorCache[tuple[Tensor, ...]]()

    def __call__(self, size: Size, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the anchors of each map, float32 (h * w * N, 4), row by row.

        Args:
            size: Height and width of the batch in pixels.
            maps: Feature maps (B, C, h, w) of the batch.
        """
        grids, device = [size_of(level) for level in maps], maps[0].device

        def make() -> tuple[Tensor, ...]:
            pairs = zip(self._shapes, grids, strict=True)
            return tuple(_place(shapes.to(device, torch.float32), size, grid) for shapes, grid in pairs)

        return self._cache.get((size, *grids, device), make)


def _place(shapes: Tensor, size: Size, grid: Size) -> Tensor:
    """Move anchors (N, 4) around the origin to all cells of a grid on an image of the given size."""
    rows, columns = grid
    y = torch.arange(rows, dtype=torch.int32, device=shapes.device) * (size[0] // rows)
    x = torch.arange(columns, dtype=torch.int32, device=shapes.device) * (size[1] // columns)
    corners = (x.expand(rows, -1), y[:, None].expand(-1, columns))
    cells = torch.stack(corners * 2, dim=-1).flatten(0, 1)
    return (cells[:, None] + shapes).flatten(0, 1)


def anchor_shapes(
    scales: list[float] | list[list[float]] | None, ratios: list[float], levels: int
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """Return the anchor scales and ratios of each level."""
    if scales is None:
        scales = [128.0, 256.0, 512.0] if levels == 1 else [32.0 * 2**level for level in range(levels)]
    nested = [list(scale) if isinstance(scale, list | tuple) else [scale] for scale in scales]
    if levels == 1:
        nested = [[scale for group in nested for scale in group]]
    if len(nested) != levels or len({len(group) for group in nested}) != 1 or not nested[0] or not ratios:
        raise UserError(
            f"anchor_scales={scales}, anchor_ratios={ratios}: give at least one of each, "
            f"and with this neck one scale (or one list of equal length) for each of {levels} levels."
        )
    return tuple(tuple(group) for group in nested), (tuple(ratios),) * levels
