"""Further tables of a report: the effects of several factors, and all pairs of arms."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lit_cv.ablation.report.web_table import Cell, Line, WebTable
from lit_cv.ablation.results.cells import change, padded
from lit_cv.ablation.results.effects import MOST_LEVELS, Effect, effects, effects_csv, interactions
from lit_cv.ablation.results.pairs import MOST_ARMS, paired_rows, pairs, pairs_csv
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.statistics.difference import NO_CLAIM

COMPARE_BASELINE, COMPARE_ALL = "baseline", "all"
MOST_INTERACTIONS = 20


@dataclass(frozen=True)
class Listing:
    """A table of its own with a title, the sentences below it, and its CSV file; no row: the sentences alone."""

    title: str
    table: WebTable
    notes: Sequence[str]
    file: str = ""
    csv: str = field(default="", repr=False)

    @property
    def markdown(self) -> str:
        """The listing as Markdown."""
        rows = [self.table.header, *([cell.text for cell in line.cells] for line in self.table.lines)]
        table = [padded(rows)] if self.table.lines else []
        return "\n".join([f"## {self.title}\n", *table, *(f"{note}\n" for note in self.notes)])


def listings(table: Table, compare: str) -> list[Listing]:
    """Return the effects of a grid of several factors, and all pairs of arms if ``compare`` is ``all``."""
    return [*_effects(table), *([_pairs(table)] if compare == COMPARE_ALL else [])]


def _effects(table: Table) -> list[Listing]:
    main, mixed = effects(table), interactions(table)
    if not any(effect.difference.low == effect.difference.low for effect in main):  # NaN: without an interval
        return []
    shown = mixed or []
    if len(shown) > MOST_INTERACTIONS:
        shown = [effect for effect in shown if effect.difference.beyond]
    notes = [
        "Effect: change of the metric from the baseline's level, averaged over the settings of the other factors. "
        "Interaction (×): how much the first factor's effect changes with the second factor's level. The intervals of "
        "one factor, and of one pair of factors, hold together in 95 % of studies; they are not adjusted for the "
        "number of factors. effects.png has the same intervals."
    ]
    if mixed is None:
        notes.append("Interactions are left out: the grid is not complete, some combinations of levels have no score.")
    elif len(shown) < len(mixed):
        left = len(mixed) - len(shown)
        notes.append(f"{left} of {len(mixed)} interactions whose interval has 0 inside are in effects.csv only.")
    if any(row.diverged for row in table.rows):
        notes.append("No effect is claimed, since seeds of some arms have diverged.")
    if np.isnan(table.pool.table).any():
        notes.append("An effect needs a seed that all of its arms have; those without one are left out.")
    if any(len({str(row.arm.values[key]) for row in table.rows}) > MOST_LEVELS for key in table.names):
        notes.append(f"Factors of more than {MOST_LEVELS} levels are left out.")
    header = ["factor", "level", "from", "effect [95 %]", "claim"]
    lines = [_effect_line(table, effect) for effect in [*main, *shown]]
    web = WebTable("effects", header, 3, 3, lines, filtered=False)
    return [Listing("Effects of the factors", web, notes, "effects.csv", effects_csv([*main, *(mixed or [])]))]


def _effect_line(table: Table, effect: Effect) -> Line:
    names = " × ".join(table.names[key] for key in effect.keys)
    levels = (" × ".join(effect.levels), " × ".join(effect.references))
    own, mixed = effect.difference, len(effect.keys) > 1
    claim = "changes" if mixed and own.beyond else own.claim(maximize=table.maximize)
    claim = NO_CLAIM if any(row.diverged for row in table.rows) else claim
    return Line("", [Cell(names), *map(Cell, levels), Cell(change(table, own), own.mean), Cell(claim)])


def _pairs(table: Table) -> Listing:
    chosen, found = paired_rows(table), [] if table.search else pairs(table)
    header = ["arm", "minus", f"difference [95 %, {len(found)} pairs compared]", "claim"]
    lines = [
        Line("", [Cell(pair.second.arm.label), Cell(pair.first.arm.label),
                  Cell(change(table, pair.difference), pair.difference.mean), Cell(pair.claim)])
        for pair in found
    ]  # fmt: skip
    if table.search:
        notes = ["A search has one run of each arm, so no pair has an interval and nothing is claimed."]
    elif not found:
        notes = ["No two arms share a seed with a finite value, so there is no pair."]
    else:
        notes = [
            f"Tukey's intervals: all {len(found)} hold together in 95 % of studies. Better or worse: the first arm "
            "against the second."
        ]
    if len(chosen) < len(table.ranked):
        left = len(table.ranked) - len(chosen)
        notes.append(f"Pairs of the best {MOST_ARMS} arms and the baseline; {left} other arms are left out.")
    return Listing("All pairs", WebTable("pairs", header, 2, 2, lines, filtered=False), notes,
                   "pairs.csv", pairs_csv(table, found))  # fmt: skip
