"""The line of a report that says how small a difference its design can show, and how many seeds another one needs."""

from lit_cv.ablation.results.study import Study
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.results.traps.course import points
from lit_cv.ablation.statistics.blocked import BlockedFit
from lit_cv.ablation.statistics.resolution import MOST_SEEDS, Design
from lit_cv.ablation.sweep.stages import recorded
from lit_cv.errors import UserError

ROUND = (1.0, 0.5, 0.2, 0.1)  # percent points that the line names without --resolve


def about_resolution(study: Study, table: Table, wanted: float | None) -> list[str]:
    """Return the line, or nothing for runs that have no spread over seeds.

    Args:
        study: The runs.
        table: The rows.
        wanted: Difference of ``--resolve``, in the unit that the table shows; None: a round one below the smallest.

    Raises:
        UserError: A difference is wanted, and the runs do not tell their spread.
    """
    if reason := _unusable(study, table):
        if wanted is None:
            return []
        raise UserError(f"{study.folders[0]}: --resolve {wanted:g} needs the spread over seeds, and {reason}.")
    scored = [row.scores for row in table.rows if row.scores]
    shared = min(len(row.scores) for row in table.rows if row.scores)
    design = Design(len(scored), shared, _common_spread(table).sigma)
    unequal = ", the fewest of an arm" if len({len(scores) for scores in scored}) > 1 else ""
    text = (
        f"This design ({len(scored)} arms, {shared} seeds{unequal}) can show a difference of "
        f"{points(table, design.smallest)} with 80 % power"
    )
    named = [wanted] if wanted is not None else [one for one in ROUND if table.percent and one < 100 * design.smallest]
    needed = _needed(table, design, named[0]) if named else ""
    return [f"{text}{needed}.{_about_own_spread(table)}{_about_first(study)}"]


def _about_first(study: Study) -> str:
    """Return why the line and the intervals of a sweep in two stages may differ: they rest on different seeds."""
    if study.stages is None:
        return ""
    return f" This is from the spread of all seeds; the intervals are from that of the first {len(study.stages.first)}."


def _common_spread(table: Table) -> BlockedFit:
    """Return the fit that gives the common spread, or that of all arms if the others differ by constants."""
    return table.pool.fit if table.pool.fit.has_spread else table.pool.whole


def _about_own_spread(table: Table) -> str:
    """Return for which differences the line does not hold: intervals of an own spread are wider."""
    own = [row for row, marked in zip(table.rows, table.pool.own, strict=True) if marked]
    if any(row.arm is table.baseline for row in own):
        return " This is for a baseline of the common spread; this one varies more, so only larger differences show."
    return " This is for arms of the common spread; for the others, only larger differences show." if own else ""


def _needed(table: Table, design: Design, wanted: float) -> str:
    seeds = design.needed(wanted / table.scale)
    unit = "" if not table.percent else " point" if wanted == 1 else " points"
    return f"; for {wanted:g}{unit} it would need {f'{seeds:,}' if seeds else f'more than {MOST_SEEDS:,}'} seeds"


def _unusable(study: Study, table: Table) -> str:
    """Return why the runs do not tell the spread over seeds; empty if they do."""
    scored = [row.scores for row in table.rows if row.scores]
    if study.method != "grid":
        return f"a {study.method} search has one run of each trial"
    if len(scored) < 2:
        return f"only {len(scored)} arm has values of {table.metric}" if scored else f"no arm has {table.metric}"
    if min(map(len, scored)) < 2:
        return f"an arm has one seed only ({table.rows[0].arm.label if len(study.seeds) < 2 else _single(table)})"
    found = _common_spread(table)
    if not found.has_spread:
        return "the differences between arms are the same at every seed" if found.df > 0 else "arms share no seeds"
    return ""


def _single(table: Table) -> str:
    return next(row.arm.label for row in table.rows if len(row.scores) == 1)


def about_stages(study: Study, table: Table) -> list[str]:
    """Return how the seeds of a sweep in two stages were counted, and which intervals follow; empty for others."""
    stages = study.stages
    if stages is None:
        staged = [folder.name for folder in study.folders if recorded(folder)]
        return [
            f"The seeds of {name} were counted by their spread (--resolve), and this report of several groups uses the "
            f"spread of all seeds, which is then too small: take the intervals from the report of {name} alone."
            for name in staged
        ]
    wanted = points(table, stages.wanted) if stages.metric == table.metric else f"{stages.wanted:g} as logged"
    short = f"; {stages.needed:,} would be needed, and --max-seeds allowed {len(stages.seeds)}"
    return [
        f"The number of seeds follows from the spread of the first {len(stages.first)} by Stein's two-stage rule, for "
        f"intervals of {stages.metric} of at most ± {wanted}{'' if stages.reached else short}. So all intervals use "
        f"the spread of seeds {', '.join(map(str, stages.first))} alone."
    ]
