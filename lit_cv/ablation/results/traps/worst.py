"""Finds a metric that is at its worst in all runs: nothing was learned, or the evaluation does not fit the data."""

from lit_cv.ablation.results.cells import scaled
from lit_cv.ablation.results.tables import Table


def find(table: Table) -> list[str]:
    """Return a sentence if no run is better than the worst value, or than a predictor without training."""
    worst, values = _worst(table), [value for row in table.rows for value in row.scores.values()]
    if worst is None or not values or any((value > worst) == table.maximize and value != worst for value in values):
        return []
    known = "the score of a predictor without training" if table.facts.trivial is not None else "its worst value"
    runs = "the only run" if len(values) == 1 else f"all {len(values)} runs"
    bound = "not above" if table.maximize else "not below"
    return [
        f"{table.metric} is {bound} {scaled(table, worst)}, {known}, in {runs}: nothing was learned, or classes or "
        "units of predictions and labels do not fit; nothing can be compared."
    ]


def _worst(table: Table) -> float | None:
    """Return the score of a predictor without training, or the worst value of a metric in percent; None if unknown."""
    if table.facts.trivial is not None:
        return table.facts.trivial
    return None if not table.percent else 0.0 if table.maximize else 1.0
