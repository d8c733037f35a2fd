"""The verdict on a claim, from the adjusted intervals of the report.

Each expected comparison allows a range of differences to the baseline: better and worse are the two sides of 0,
``within`` is the range between two numbers, a cost is lower or higher. A comparison ``against`` another arm than the
baseline takes its interval from those of all pairs. The claim is *confirmed* if every interval lies
wholly within its range, *contradicted* if one lies wholly outside, and else there is *no claim at this scale*. An arm
with seeds that diverged, or without an interval, decides nothing. Costs have no seeds: GFLOPs and parameters are exact,
and a time is the range of its rounds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.lecture.claims import CLAIMS, WITHIN, Claim, Comparison
from lit_cv.ablation.report.report import examine, find_arm
from lit_cv.ablation.report.words import facts
from lit_cv.ablation.results.cells import bounds, scaled
from lit_cv.ablation.results.metric_facts import metric_facts
from lit_cv.ablation.results.study import Arm, Study, load_study
from lit_cv.ablation.results.tables import Row, Table, make_table
from lit_cv.ablation.results.traps.traps import find_traps
from lit_cv.ablation.statistics.comparisons import all_pairs
from lit_cv.ablation.statistics.difference import Difference
from lit_cv.errors import UserError

CONFIRMED, CONTRADICTED, UNDECIDED = "confirmed", "contradicted", "no claim at this scale"
COSTS = {"gflops": ("GFLOPs", ".2f"), "params": ("parameters", ",.0f"), "ms": ("ms per image", ".1f")}
HOLDS = {True: "as claimed", False: "against the claim", None: "undecided"}


@dataclass(frozen=True)
class Outcome:
    """A comparison that was made.

    Attributes:
        holds: Whether it is as claimed; None if it is undecided.
        words: The difference with its interval, in words.
    """

    holds: bool | None
    words: str


@dataclass(frozen=True)
class Answer:
    """The answer to a claim.

    Attributes:
        study: The runs.
        tables: Table of each compared metric.
        more: Table of each further metric.
        outcomes: Outcome of each expected comparison.
        facts: Seeds, steps, commit and data in one line.
        warnings: What the report warns of.
    """

    study: Study
    tables: dict[str, Table]
    more: list[Table]
    outcomes: list[Outcome]
    facts: str
    warnings: list[str]

    @property
    def verdict(self) -> str:
        """``confirmed``, ``contradicted`` or ``no claim at this scale``."""
        return verdict([outcome.holds for outcome in self.outcomes])


def verdict(holds: Sequence[bool | None]) -> str:
    """Return the verdict on a claim from its comparisons."""
    return CONTRADICTED if False in holds else CONFIRMED if all(holds) else UNDECIDED


def decide(low: float, high: float, least: float, most: float) -> bool | None:
    """Return whether an interval lies wholly between two bounds; None if it crosses one, or is NaN."""
    if least < low and high < most:
        return True
    return False if high <= least or low >= most else None


def answer(claim: Claim, group: Path) -> Answer:
    """Answer a claim from the folders of its runs.

    Raises:
        UserError: The runs are not comparable, so that there is no verdict.
    """
    study, where = load_study([group]), f"{CLAIMS}: {claim.name}"
    baseline = find_arm(study, claim.baseline, f"{where}: `baseline`")
    tables, warnings = {}, dict[str, None]()
    for metric in claim.metrics:
        findings = examine(study, metric)
        if lost := [finding.text for finding in findings if not finding.controlled]:
            raise UserError(
                f"{group}: not controlled, so there is no verdict: {lost[0]} Fix it and run the sweep again."
            )
        tables[metric] = _table(study, metric, baseline)
        warnings |= dict.fromkeys([*(finding.text for finding in findings), *find_traps(study, tables[metric])])
    outcomes = [_outcome(one, study, tables, where) for one in claim.expect]
    more = [_table(study, metric, baseline) for metric in claim.more]
    return Answer(study, tables, more, outcomes, facts(study, tables[claim.metric], controlled=True), list(warnings))


def _table(study: Study, metric: str, baseline: Arm) -> Table:
    return make_table(study, metric, facts=metric_facts(study, metric), baseline=baseline, published=None)


def _outcome(one: Comparison, study: Study, tables: dict[str, Table], where: str) -> Outcome:
    table = tables.get(one.metric) or next(iter(tables.values()))
    arm = find_arm(study, one.arm, f"{where}: `expect.arm`")
    other = find_arm(study, one.against, f"{where}: `expect.against`") if one.against else table.baseline
    row, base = (next(row for row in table.rows if row.arm is each) for each in (arm, other))
    return _of_cost(one, row, base) if one.kind in COSTS else _of_metric(one, table, row, base)


def _of_metric(one: Comparison, table: Table, row: Row, base: Row) -> Outcome:
    found = _difference(table, base, row) if one.against else row.difference
    name, to = f"{one.metric} of {row.arm.label}", f"{base.arm.label}" if one.against else "the baseline"
    if found is None or math.isnan(found.low) or row.diverged or base.diverged:
        return Outcome(None, f"{name} has no interval to {to}")
    if one.kind == WITHIN:
        least, most, said = -one.side / table.scale, one.side / table.scale, f"within ±{one.side:g}"
    else:
        least, most = (0.0, math.inf) if (one.side == "better") == table.maximize else (-math.inf, 0.0)
        said = one.side
    holds = decide(found.low, found.high, least, most)
    points = " points" if table.percent else ""
    name += f" against {to}" if one.against else ""
    words = f"{name} differs by {scaled(table, found.mean, '+')}{points} {bounds(table, found)}, claimed {said}"
    return Outcome(holds, f"{words}: {HOLDS[holds]}")


def _difference(table: Table, first: Row, second: Row) -> Difference | None:
    """Return second − first with Tukey's interval for all pairs of arms; None without a shared seed."""
    places = [next(place for place, row in enumerate(table.rows) if row is one) for one in (first, second)]
    found = all_pairs(table.pool, range(len(table.rows))).get((min(places), max(places)))
    if found is None:
        return None
    own = found.difference
    return own if places[0] < places[1] else replace(own, mean=-own.mean, low=-own.high, high=-own.low)


def _of_cost(one: Comparison, row: Row, base: Row) -> Outcome:
    """Compare a cost; a time is the range from its shortest round to the upper quartile."""
    (low, high), (least, most) = (_range(one.kind, side) for side in (row, base))
    unit, form = COSTS[one.kind]
    if math.isnan(low + least):
        return Outcome(None, f"{unit} of {row.arm.label} were not measured")
    side = (-math.inf, 0.0) if one.side == "lower" else (0.0, math.inf)
    holds = decide(low - most, high - least, *side)
    shown = " against ".join(_shown(ends, form) for ends in ((low, high), (least, most)))
    return Outcome(holds, f"{unit} of {row.arm.label}: {shown}, claimed {one.side}: {HOLDS[holds]}")


def _range(kind: str, row: Row) -> tuple[float, float]:
    if kind == "ms":
        return (row.time.low, row.time.high) if row.time else (math.nan, math.nan)
    value = row.gflops if kind == "gflops" else row.params
    return (math.nan, math.nan) if value is None else (float(value), float(value))


def _shown(ends: tuple[float, float], form: str) -> str:
    texts = [format(end, form) for end in ends]
    return texts[0] if texts[0] == texts[1] else "–".join(texts)
