"""Finds runs whose last validation is far below their best one.

Rule: the difference is at least a tenth of the progress from the start of the run to its best validation.
"""

from lit_cv.ablation.results.cells import scaled
from lit_cv.ablation.results.identical import few
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.results.traps.course import Course


def find(table: Table, courses: dict[int, Course | None]) -> list[str]:
    """Return a sentence with the runs whose best and last validation are far apart.

    Args:
        table: The rows.
        courses: Course of each run, by the identity of the run.
    """
    sign, texts = 1.0 if table.maximize else -1.0, list[str]()
    runs = [run for row in table.rows for run in row.arm.runs.values()]
    for run in runs:
        found = courses.get(id(run))
        if found is None:
            continue
        best = int(found.values.argmax())
        top, last = float(found.values[best]), float(found.values[-1])
        if found.notable(top - last, top):
            at = f"{scaled(table, sign * top)} at step {found.steps[best] + 1}"  # the log counts from 0
            texts.append(f"{run.name} {scaled(table, sign * last)} after {at}")
    if not texts:
        return []
    return [
        f"In {len(texts)} of {len(runs)} runs the last validation is worse than the best one by at least a tenth of "
        f"the progress ({table.metric}: {few(texts, '; ')}). The numbers depend on the moment of the end: use a lower "
        "learning rate or fewer steps, and do not choose the moment on these images."
    ]
