"""The metric of a report and its value in each run."""

import difflib
import math

from lit_cv.ablation.results.identical import few
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.study import Arm, Run, Study
from lit_cv.errors import UserError

LAST, BEST = "last", "best"


def choose_metric(study: Study, wanted: str | None) -> str:
    """Return the metric of the report: the wanted one, the sweep's, or the one that selected the best checkpoint.

    Raises:
        UserError: No run has logged the metric, or no metric is known.
    """
    runs = [run for _, run in study.runs]
    selected = [str(run.result["best"]["metric"]) for run in runs if run.result.get("best")]
    known = {name: None for run in runs for name in run.metrics}  # in their order
    name = wanted or (study.metric.name if study.metric else next(iter(selected), None))
    if runs and not known:
        raise UserError(
            f"{study.folders[0]}: no run has reached a validation ({_lengths(runs[0])}), so there is nothing to "
            "compare; validate earlier or train longer."
        )
    if name is None:
        raise UserError(
            f"{runs[0].folder / 'result.json'}: no metric has selected a best checkpoint, so the metric of the report "
            f"is not known; choose --metric from {', '.join(list(known)[:5])}."
        )
    if runs and name not in known:
        close = difflib.get_close_matches(name, known, n=3) or sorted(known)
        raise UserError(
            f"{runs[0].folder / 'result.json'}: has no metric '{name}'; choose --metric from {', '.join(close)}."
        )
    return name


def _lengths(run: Run) -> str:
    every = run.config.get("trainer.val_check_interval")
    return f"{run.name} ended at step {run.result['steps']}, trainer.val_check_interval is {every}"


def without_metric(study: Study, metric: str) -> list[str]:
    """Return one sentence per arm with runs that have no finite value of the metric, or none at all."""
    texts = []
    for arm in study.arms:
        missing = [run for run in arm.runs.values() if metric not in run.metrics]
        if missing:
            reason = "" if missing[0].metrics else f" (no validation: {_lengths(missing[0])})"
            named = few(f"{run.name} (seed {run.seed})" for run in missing)
            texts.append(f"Arm {arm.label}: {named} has no {metric}{reason}; it is left out.")
        lost = [str(run.seed) for run in arm.runs.values() if run.metrics.get(metric, 0.0) is None]
        if lost:
            texts.append(
                f"Arm {arm.label} has diverged in {len(lost)} of {len(arm.runs)} seeds (seed {few(lost)}): "
                f"{metric} is not finite; the means leave them out."
            )
    return texts


def final_values(arm: Arm, metric: str, facts: MetricFacts, value: str = LAST) -> dict[int | None, float | None]:
    """Return the metric by seed; None if it is not finite.

    Args:
        arm: The runs; those without the metric are left out.
        metric: Logged name.
        facts: Direction of the metric.
        value: ``last``: of the last validation. ``best``: the best one of all validations.
    """
    runs = {seed: run for seed, run in arm.runs.items() if metric in run.metrics}
    if value == LAST:
        return {seed: run.metrics[metric] for seed, run in runs.items()}
    return {seed: _best(run, metric, maximize=facts.higher_is_better) for seed, run in runs.items()}


def _best(run: Run, metric: str, *, maximize: bool) -> float | None:
    logged = [value for value in [*run.curve(metric).values(), run.metrics[metric]] if value is not None]
    finite = [value for value in logged if math.isfinite(value)]
    return (max if maximize else min)(finite, default=None)
