"""All traps of a report, found in one place."""

from lit_cv.ablation.results.study import Study
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.results.traps import checkpoints, chosen, improving, leaks, rates, worst
from lit_cv.ablation.results.traps.course import course


def find_traps(study: Study, table: Table) -> list[str]:
    """Return one sentence for each trap that the runs have fallen into.

    Arms and seeds that are bit-identical are found by ``lit_cv.ablation.results.identical``.
    """
    courses = {id(run): course(run, table) for _, run in study.runs}
    return [
        # runs that have learned nothing have no progress to judge
        *(worst.find(table) or [*improving.find(table, courses), *checkpoints.find(table, courses)]),
        *chosen.find(study, table),
        *rates.find(study, table),
        *leaks.find(study),
    ]
