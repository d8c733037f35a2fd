"""Scales and ratios of anchors."""

from lit_cv.errors import UserError


def _anchor_shapes(
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
