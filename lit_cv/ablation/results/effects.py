"""The effects of the factors of a grid: main effects, and two-way interactions, with intervals."""

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.statistics.comparisons import contrasts
from lit_cv.ablation.statistics.difference import Difference
from lit_cv.ablation.statistics.effects import interaction, main_effect
from lit_cv.ablation.sweep.labels import show_level
from lit_cv.runs.settings import canonical, distinct

MOST_LEVELS = 12  # of a factor; ``values.png`` shows the others


@dataclass(frozen=True)
class Effect:
    """The effect of one level of a factor, or of a pair of levels of two factors.

    Attributes:
        keys: The factor, or the two factors.
        levels: Their levels, as shown in the table.
        references: Levels of the baseline, which the change is taken from.
        difference: The change of the metric.
    """

    keys: tuple[str, ...]
    levels: tuple[str, ...]
    references: tuple[str, ...]
    difference: Difference


class _Grid:
    """The levels of the arms by number, in the order of the rows, and the baseline's."""

    def __init__(self, table: Table) -> None:
        self.table, self.keys = table, list(table.names)
        known = {key: distinct([*(row.arm.values[key] for row in table.rows), table.baseline.values[key]])
                 for key in self.keys}  # fmt: skip
        numbers = {key: {canonical(value): number for number, value in enumerate(known[key])} for key in self.keys}
        self.levels = [
            tuple(numbers[key][canonical(row.arm.values[key])] for key in self.keys) for row in table.rows if row.scores
        ]
        self.places = [place for place, row in enumerate(table.rows) if row.scores]
        self.baseline = [numbers[key][canonical(table.baseline.values[key])] for key in self.keys]
        self.shown = {key: [show_level(key, value) for value in known[key]] for key in self.keys}
        self.complete = len(set(self.levels)) == np.prod([len(set(own)) for own in zip(*self.levels, strict=True)])

    def intervals(self, weights: Sequence[np.ndarray]) -> list[Difference | None]:
        spread = np.zeros((len(weights), len(self.table.rows)))
        for row, own in zip(spread, weights, strict=True):
            row[self.places] = own
        found = contrasts(self.table.pool, spread)
        return [None if estimate is None else estimate.difference for estimate in found]


def level_effects(table: Table, key: str) -> dict[str, Difference | None]:
    """Return the mean change if the baseline's level of a factor is replaced and all other factors stay equal.

    The intervals of a factor's levels hold together (Dunnett); with one factor they are those of the table.

    Returns:
        Maps each level, as shown in the table, to its effect. The effect is None for the baseline's level and if no two
        arms differ only in this factor. Empty for a factor of more than twelve levels, which ``values`` plots.
    """
    grid = _Grid(table)
    shown, factor = grid.shown[key], grid.keys.index(key)
    if len(shown) > MOST_LEVELS:
        return {}
    base = grid.baseline[factor]
    weights = [main_effect(grid.levels, factor, level, base) for level in range(len(shown))]
    return dict(zip(shown, grid.intervals(weights), strict=True))


def effects(table: Table) -> list[Effect]:
    """Return the main effects of a grid of several factors; empty for one factor, whose effects are the table's."""
    if len(table.names) < 2 or table.search:
        return []
    return [
        Effect((key,), (level,), (show_level(key, table.baseline.values[key]),), found)
        for key in table.names
        for level, found in level_effects(table, key).items()
        if found is not None
    ]


def interactions(table: Table) -> list[Effect] | None:
    """Return the two-way interactions of a complete grid of several factors; None if combinations are missing."""
    if len(table.names) < 2 or table.search or not table.rows:
        return []
    grid, effects = _Grid(table), list[Effect]()
    if not grid.complete:
        return None
    for first, second in itertools.combinations(range(len(grid.keys)), 2):
        keys = grid.keys[first], grid.keys[second]
        a, b = (grid.shown[key] for key in keys)
        if max(len(a), len(b)) > MOST_LEVELS:
            continue
        base = {factor: grid.baseline[factor] for factor in (first, second)}
        places = itertools.product(range(len(a)), range(len(b)))
        cells = [(i, j) for i, j in places if i != base[first] and j != base[second]]
        found = grid.intervals([interaction(grid.levels, {first: i, second: j}, base) for i, j in cells])
        effects += [
            Effect(keys, (a[i], b[j]), (a[base[first]], b[base[second]]), difference)
            for (i, j), difference in zip(cells, found, strict=True)
            if difference is not None
        ]
    return effects


def effects_csv(found: Sequence[Effect]) -> str:
    """Return effects as CSV in full precision and logged units; an interaction has a second factor."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["factor", "level", "reference", "factor_2", "level_2", "reference_2",
                     "effect", "low", "high", "n", "own_spread"])  # fmt: skip
    for effect in found:
        names = [part for each in zip(effect.keys, effect.levels, effect.references, strict=True) for part in each]
        own = effect.difference
        numbers = [own.mean, own.low, own.high]
        writer.writerow([*names, *[""] * (6 - len(names)), *("" if number != number else repr(number)
                         for number in numbers), own.n, int(own.own_variance)])  # fmt: skip
    return out.getvalue()
