"""The numbers of a report: one row per arm."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lit_cv.ablation.results.evidence import Evidence, evidence, order
from lit_cv.ablation.results.intervals import Order, mean_std
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.published import Published
from lit_cv.ablation.results.scores import LAST, final_values
from lit_cv.ablation.results.study import Arm, Study
from lit_cv.ablation.results.timing import Time, times
from lit_cv.ablation.statistics.difference import NO_CLAIM, Difference, Probability
from lit_cv.ablation.statistics.pool import Pool, make_pool
from lit_cv.ablation.sweep.labels import short_names


@dataclass(frozen=True)
class Row:
    """One arm.

    Attributes:
        arm: The arm.
        values: Value of the metric by seed, as logged; None if it is not finite (the run has diverged).
        difference: Difference to the baseline over the seeds, its interval adjusted for the number of arms compared;
            None for the baseline itself and without shared seeds.
        published: Published number in its own unit.
        params: Number of parameters of the network.
        gflops: GFLOPs per image.
        time: Time per image, shared by all arms whose networks have the same structure.
        gigabytes: Largest peak memory over the seeds.
        p: Exact sign-flip p of the paired differences, Holm-adjusted for the number of arms compared; None without one.
        superiority: Probability that the arm is better than the baseline on a new seed; None without an interval.
        images: Difference to the baseline over resampled images; None without predictions.
        combined: Difference to the baseline over seeds and images; None without predictions.
        claim: ``better``, ``worse`` or ``no claim``, from ``difference``; None for the baseline.
    """

    arm: Arm
    values: dict[int | None, float | None]
    difference: Difference | None
    published: float | None
    params: float | None
    gflops: float | None
    time: Time | None
    gigabytes: float | None
    p: float | None = None
    superiority: Probability | None = None
    images: Difference | None = None
    combined: Difference | None = None
    claim: str | None = None

    @property
    def scores(self) -> dict[int | None, float]:
        """Finite values of the metric by seed."""
        return {seed: value for seed, value in self.values.items() if value is not None}

    @property
    def diverged(self) -> int:
        """Number of seeds whose value is not finite."""
        return len(self.values) - len(self.scores)

    @property
    def stops(self) -> list[int]:
        """Steps at which runs ended before their budget, in order."""
        early = [run.result for run in self.arm.runs.values() if run.result.get("stopped_early")]
        return sorted(result["steps"] for result in early)

    @property
    def mean(self) -> float:
        """Mean score over the seeds, as logged; NaN if every seed has diverged."""
        return mean_std(list(self.scores.values()))[0]

    @property
    def std(self) -> float:
        """Sample standard deviation over the seeds; NaN for less than two seeds."""
        return mean_std(list(self.scores.values()))[1]

    @property
    def ms(self) -> float | None:
        """Milliseconds per image, the shortest measured."""
        return self.time.low if self.time else None


@dataclass(frozen=True)
class Table:
    """The rows and their presentation.

    Attributes:
        metric: The compared metric.
        facts: Unit and direction of the metric.
        names: Maps each swept key to its short name.
        baseline: The arm that all others are compared with.
        rows: One row per arm.
        seeds: Number of seeds that every arm should have; 1 for a search.
        value: Value of a run that counts: ``last`` or ``best``.
        logarithmic: Maps each swept key with a distribution to whether it is one of logarithms.
        search: Whether the arms are the trials of a search, with one run each.
    """

    metric: str
    facts: MetricFacts
    names: dict[str, str]
    baseline: Arm
    rows: list[Row]
    seeds: int = 1
    value: str = LAST
    logarithmic: dict[str, bool] = field(default_factory=dict)
    search: bool = False

    @cached_property
    def pool(self) -> Pool:
        """The scores of the rows and their common spread."""
        return make_pool([row.scores for row in self.rows])

    @property
    def stopped_early(self) -> bool:
        """Whether a run ended before its budget."""
        return any(row.stops for row in self.rows)

    @property
    def maximize(self) -> bool:
        """Whether a higher value is better."""
        return self.facts.higher_is_better

    @property
    def percent(self) -> bool:
        """Whether the metric is shown in percent, with one decimal, or as logged."""
        return self.facts.percent

    @property
    def scale(self) -> float:
        """Factor between the logged and the shown value."""
        return 100.0 if self.percent else 1.0

    @property
    def title(self) -> str:
        """The metric, and the value of a run if it is not the last one."""
        return self.metric if self.value == LAST else f"{self.metric} ({self.value})"

    @property
    def ranked(self) -> list[Row]:
        """The rows with a score, from best to worst."""
        return ranked(self.rows, maximize=self.maximize)

    @property
    def no_better(self) -> list[Row]:
        """The rows that are not better than a predictor without any training."""
        trivial, sign = self.facts.trivial, 1 if self.maximize else -1
        return [] if trivial is None else [row for row in self.rows if row.scores and sign * (row.mean - trivial) <= 0]

    @property
    def order(self) -> Order | None:
        """Agreement with the published order; None with fewer than two published values above the trivial score."""
        useless = {id(row) for row in self.no_better}
        rows = {place: row.published for place, row in enumerate(self.rows) if id(row) not in useless}
        known = {place: number for place, number in rows.items() if number is not None}
        found = order(self.pool, list(known), list(known.values()))
        return found if found.pairs else None


def make_table(
    study: Study,
    metric: str,
    *,
    facts: MetricFacts,
    baseline: Arm,
    published: Published | None,
    value: str = LAST,
) -> Table:
    """Reduce the runs of a study to one row per arm; the rows of a search are sorted from best to worst."""
    arms = [arm for arm in study.arms if arm.runs]
    grid = study.method == "grid"
    values = [final_values(arm, metric, facts, value) for arm in arms]
    rows = []
    known = _evidence(values, arms, baseline, maximize=facts.higher_is_better)
    for arm, own, found, time in zip(arms, values, known, times(study, arms), strict=True):
        rows.append(
            Row(
                arm=arm,
                values=own,
                difference=found.difference,
                published=published.of(arm) if published else None,
                params=_middle(arm, "params"),
                gflops=_middle(arm, "gflops"),
                time=time,
                gigabytes=max(_numbers(arm, "peak_memory_gb"), default=None),
                p=found.p,
                superiority=found.superiority,
                claim=found.claim if grid else None,
            )
        )
    if not grid:
        best = ranked(rows, maximize=facts.higher_is_better)
        rows = [*best, *(row for row in rows if math.isnan(row.mean))]
    seeds = len(study.seeds) if grid else 1
    names = short_names(study.swept)
    return Table(metric, facts, names, baseline, rows, seeds, value, study.logarithmic, search=not grid)


def _evidence(
    values: Sequence[Mapping[int | None, float | None]], arms: Sequence[Arm], baseline: Arm, *, maximize: bool
) -> list[Evidence]:
    """Return the evidence of each arm against the baseline, which may have no run yet."""
    scores = [{seed: value for seed, value in own.items() if value is not None} for own in values]
    place = next((place for place, arm in enumerate(arms) if arm is baseline), None)
    if place is None:
        return [Evidence(claim=NO_CLAIM) for _ in arms]
    lost = [len(own) < len(every) for own, every in zip(scores, values, strict=True)]
    return evidence(make_pool(scores), scores, place, lost=lost, maximize=maximize)


def ranked(rows: Sequence[Row], *, maximize: bool) -> list[Row]:
    """Return the rows with a score, from best to worst."""
    scored = [row for row in rows if not math.isnan(row.mean)]
    return sorted(scored, key=lambda row: row.mean, reverse=maximize)


def _numbers(arm: Arm, name: str) -> list[float]:
    return [run.result[name] for run in arm.runs.values() if run.result.get(name) is not None]


def _middle(arm: Arm, name: str) -> float | None:
    numbers = _numbers(arm, name)
    return statistics.median(numbers) if numbers else None
