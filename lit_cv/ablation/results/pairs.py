"""All pairs of the arms of a table, with Tukey's intervals."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.statistics.comparisons import all_pairs
from lit_cv.ablation.statistics.difference import NO_CLAIM, Difference

MOST_ARMS = 20


@dataclass(frozen=True)
class Pair:
    """Two arms, and the difference second − first."""

    first: Row
    second: Row
    difference: Difference
    claim: str


def paired_rows(table: Table) -> list[Row]:
    """Return the rows whose pairs are compared: all with a score, or the best ones and the baseline."""
    best = table.ranked if len(table.ranked) <= MOST_ARMS else table.ranked[:MOST_ARMS]
    chosen = {id(row) for row in best}
    return [row for row in table.rows if id(row) in chosen or (row.arm is table.baseline and row.scores)]


def pairs(table: Table) -> list[Pair]:
    """Return the pairs with a shared seed; there is no claim about an arm with seeds that have diverged."""
    chosen = {id(row) for row in paired_rows(table)}
    places = [place for place, row in enumerate(table.rows) if id(row) in chosen]
    found = []
    for (one, other), estimate in all_pairs(table.pool, places).items():
        first, second, difference = table.rows[one], table.rows[other], estimate.difference
        claim = NO_CLAIM if first.diverged or second.diverged else difference.claim(maximize=table.maximize)
        found.append(Pair(first, second, difference, claim))
    return found


def pairs_csv(table: Table, found: Sequence[Pair]) -> str:
    """Return pairs as CSV in full precision and logged units."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["arm", "minus", "difference", "low", "high", "n", "own_spread", "claim"])
    for pair in found:
        own = pair.difference
        numbers = ["" if number != number else repr(number) for number in (own.mean, own.low, own.high)]
        row = [pair.second.arm.label, pair.first.arm.label, *numbers, own.n, int(own.own_variance), pair.claim]
        writer.writerow(row)
    return out.getvalue()
