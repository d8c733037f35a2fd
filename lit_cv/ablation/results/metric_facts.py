"""Properties of a metric: its unit and its direction, as recorded by the runs that logged it."""

from collections.abc import Sequence
from dataclasses import dataclass

from lit_cv.ablation.results.study import Run, Study
from lit_cv.errors import UserError


@dataclass(frozen=True)
class MetricFacts:
    """Unit and direction of a metric.

    Attributes:
        percent: Whether logged values are fractions that are shown in percent.
        higher_is_better: Whether a higher value is better.
        warning: Sentence about facts that the runs do not record; empty if all are known.
        trivial: Score that a predictor without any training can reach; None if it is not known.
    """

    percent: bool
    higher_is_better: bool
    warning: str = ""
    trivial: float | None = None


def metric_facts(study: Study, metric: str) -> MetricFacts:
    """Return the facts about a metric of a study.

    The goal of the sweep's own metric has priority. Otherwise the facts are those in ``metric_facts`` of the runs'
    ``result.json``. Older runs lack this entry: their values are shown as logged, and the direction is the one in which
    the best checkpoint was selected by this metric, or else higher is better. A warning names the missing facts.

    Raises:
        UserError: The runs record different facts about the metric.
    """
    runs = [run for _, run in study.runs]
    recorded = {facts for run in runs if (facts := _recorded(run, metric))}
    if len(recorded) > 1:
        folder = study.folders[0]
        raise UserError(f"{folder}: its runs disagree about percent or direction of {metric}; report them apart.")
    directions = [facts.higher_is_better for facts in recorded] or _checkpoint_directions(runs, metric)
    if study.metric and study.metric.name == metric:
        directions = [study.metric.goal == "maximize"]
    warning = "" if recorded or not runs else _warning(metric, known_direction=bool(directions))
    trivial = next((facts.trivial for facts in recorded), None)
    return MetricFacts(any(facts.percent for facts in recorded), all(directions), warning, trivial)


def _recorded(run: Run, metric: str) -> MetricFacts | None:
    facts = run.result.get("metric_facts", {}).get(metric)
    return MetricFacts(facts["percent"], facts["higher_is_better"], trivial=facts.get("trivial")) if facts else None


def _checkpoint_directions(runs: Sequence[Run], metric: str) -> list[bool]:
    """Return whether the runs selected their best checkpoint by a high value; empty if it was not by this metric."""
    selected = [run.result.get("best") or {} for run in runs]
    return [best["mode"] == "max" for best in selected if best.get("metric") == metric]


def _warning(metric: str, *, known_direction: bool) -> str:
    direction = "" if known_direction else ", and not whether higher or lower is better (higher is assumed)"
    return f"The runs do not record whether {metric} is in percent (it is shown as logged){direction}."
