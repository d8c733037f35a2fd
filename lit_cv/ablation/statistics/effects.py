"""Main effects and two-way interactions of factors, as contrasts of the arms of a blocked design."""

from collections.abc import Sequence

import numpy as np

from lit_cv.ablation.statistics.blocked import Array


def main_effect(levels: Sequence[Sequence[int]], factor: int, level: int, reference: int) -> Array:
    """Return the weights of a main effect: the change from one level to another, averaged over the other factors.

    Args:
        levels: Level of each factor, by arm.
        factor: The factor.
        level: Its level.
        reference: Its level that the change is taken from.

    Returns:
        (A,) weights: ±1 / m for the m pairs of arms that differ in these two levels alone; 0 without such a pair.
    """
    return _paired(levels, {factor: level}, {factor: reference})


def interaction(levels: Sequence[Sequence[int]], at: dict[int, int], reference: dict[int, int]) -> Array:
    """Return the weights of an interaction: how much the effect of one factor's level changes with the other's level.

    It is [(a, b) − (a₀, b)] − [(a, b₀) − (a₀, b₀)], averaged over the other factors.

    Args:
        levels: Level of each factor, by arm.
        at: The two factors and their levels a and b.
        reference: The same factors and their levels a₀ and b₀.
    """
    (first, second) = at
    mixed = {first: reference[first], second: at[second]}
    return _paired(levels, at, mixed) - _paired(levels, mixed | at | {second: reference[second]}, reference)


def _paired(levels: Sequence[Sequence[int]], upper: dict[int, int], lower: dict[int, int]) -> Array:
    arms = {tuple(own): place for place, own in enumerate(levels)}
    weights = np.zeros(len(levels))
    for own, place in arms.items():
        if all(own[factor] == level for factor, level in upper.items()):
            partner = arms.get(tuple(lower.get(factor, level) for factor, level in enumerate(own)))
            if partner not in (None, place):
                weights[[place, partner]] = 1, -1
    return weights / max(1.0, float(weights.clip(0).sum()))
