"""Intervals of a sweep in two stages: from the spread of its first seeds, as Stein's rule asks for."""

from dataclasses import replace

from lit_cv.ablation.results.scores import LAST
from lit_cv.ablation.results.study import Arm, Study
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.results.traps.course import points
from lit_cv.ablation.statistics.difference import Difference


def with_stages(study: Study, table: Table) -> Table:
    """Return the table with the intervals of the first stage, if its seeds were counted for just this table."""
    return (
        table
        if _not_meant(study, table)
        else replace(
            table, rows=[replace(row, difference=_of_first_stage(study, row.arm, row.difference)) for row in table.rows]
        )
    )


def about_stages(study: Study, table: Table) -> list[str]:
    """Return how the seeds were counted and which intervals follow; empty without stages."""
    stages = study.stages
    if stages is None:
        return []
    first, seeds = len(stages.first), len(stages.seeds)
    text = (
        f"The number of seeds follows from the spread of the first {first} by Stein's two-stage rule, for intervals of "
        f"{stages.metric} of at most ± {points(table, stages.wanted)}"
    )
    if reason := _not_meant(study, table):
        return [
            f"{text}. This table is another one ({reason}), so its intervals are the usual ones and may be too narrow."
        ]
    done = "" if stages.reached else f"; {stages.needed:,} would be needed, and --max-seeds has ended at {seeds}"
    return [f"{text}{done}. So all intervals use the spread of seeds {', '.join(map(str, stages.first))} alone."]


def _not_meant(study: Study, table: Table) -> str:
    """Return why the stages are not those of this table; empty if they are, and "no stages" without."""
    if study.stages is None:
        return "no stages"
    if table.metric != study.stages.metric:
        return f"of {table.metric}"
    if table.value != LAST:
        return f"of the {table.value} value"
    return "" if table.baseline.half == 0.0 else "with another baseline"


def _of_first_stage(study: Study, arm: Arm, difference: Difference | None) -> Difference | None:
    if difference is None or study.stages is None or arm.half is None:
        return difference
    half = study.stages.narrowed(arm.half, difference.n)
    return replace(difference, low=difference.mean - half, high=difference.mean + half)
