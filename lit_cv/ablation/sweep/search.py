"""The trials of a random or Bayesian sweep, each a pure function of the sweep and of earlier results.

A random trial depends only on its number. A Bayesian trial depends on the results of the trials that had to end before
it. The only stored state is the list of trials in the sweep's folder: the sampler is rebuilt for each trial.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_cv.ablation.sweep.changes import refuse_changes
from lit_cv.ablation.sweep.distributions import Continuous, Coordinate, Distribution
from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.sweep_file import Sweep, Trial
from lit_cv.errors import UserError
from lit_cv.runs.folder import run_folder
from lit_cv.runs.records import BEGUN, PLAN, read_record
from lit_cv.runs.settings import canonical, merged_arguments

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Point = tuple[Coordinate, ...]  # one coordinate per axis of `Sweep.axes`

STARTUP = 8  # number of results before the first model
SERVER_SWEEP = "wandb_sweep.json"  # file in a group's folder that records its sweep on W&B's server
ATTEMPTS = 1000  # to find a new random trial, after which the space counts as exhausted
RANDOM_BITS = 52


class Trials:
    """The trials of a search in order, all at different points.

    Args:
        sweep: A sweep with the method ``random`` or ``bayes``.
        points: The existing trials.
    """

    def __init__(self, sweep: Sweep, points: Sequence[Point] = ()) -> None:
        self.sweep = sweep
        self.points = list(points)
        self._seen = {self._values(point) for point in points}

    def add_random(self) -> bool:
        """Add the next random trial; return False if the whole space has been tried.

        It depends only on the sweep's parameters and the trial's number.
        """
        number = len(self.points)
        return any(self._add(_random_point(self.sweep, number, attempt)) for attempt in range(ATTEMPTS))

    def add_best(self, scores: Sequence[float | None]) -> bool:
        """Add the trial with the greatest expected improvement; return False if the whole space has been tried.

        A random trial is added before there are ``STARTUP`` results, and if the model chooses an existing trial.

        Args:
            scores: Results of the first trials, None for a failed one; later trials count as active.
        """
        if sum(score is not None for score in scores) >= STARTUP and self._add(_ask(self.sweep, self.points, scores)):
            return True
        return self.add_random()

    def _add(self, point: Point) -> bool:
        values = self._values(point)
        if values in self._seen:
            return False
        self._seen.add(values)
        self.points.append(point)
        return True

    def _values(self, point: Point) -> str:
        return canonical([part.value(at) for (_, part), at in zip(self.sweep.axes, point, strict=True)])


def _random_point(sweep: Sweep, number: int, attempt: int) -> Point:
    source = random.Random(f"{sweep.search_seed}/{number}/{attempt}")
    return tuple(part.sample((source.getrandbits(RANDOM_BITS) + 0.5) / 2**RANDOM_BITS) for _, part in sweep.axes)


def _ask(sweep: Sweep, points: Sequence[Point], scores: Sequence[float | None]) -> Point:
    """Return the next point by Gaussian process and expected improvement, as in W&B's own search.

    A failed trial counts as the worst result so far (W&B's ``impute: worst``), so that its neighborhood is avoided.
    """
    import optuna  # imported here because its sampler imports torch, which a grid does not need

    assert sweep.metric is not None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    maximize = sweep.metric.goal == "maximize"
    worst = (min if maximize else max)(score for score in scores if score is not None)
    axes = {".".join(place): _axis(part) for place, part in sweep.axes}
    seed = random.Random(f"{sweep.search_seed}/{len(points)}").getrandbits(32)
    study = optuna.create_study(
        direction="maximize" if maximize else "minimize",
        sampler=optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False),
    )
    outcomes = [worst if score is None else score for score in scores]
    for number, point in enumerate(points):
        ended = number < len(outcomes)
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if ended else optuna.trial.TrialState.RUNNING,
                params=dict(zip(axes, point, strict=True)),
                distributions=axes,
                value=outcomes[number] if ended else None,
            )
        )
    chosen = study.ask(axes).params
    return tuple(chosen[name] for name in axes)


def _axis(part: Distribution) -> "BaseDistribution":
    from optuna import distributions

    if isinstance(part, Continuous):
        return distributions.FloatDistribution(0, 1)
    if part.ordered:
        return distributions.IntDistribution(0, len(part.values) - 1)
    return distributions.CategoricalDistribution(range(len(part.values)))


def first_trial(sweep: Sweep) -> Trial:
    """Return the first trial of a search whose trials are chosen on this machine."""
    first = Trials(sweep)
    first.add_random()
    return sweep.trial_at(first.points[0])


def most_runs(sweep: Sweep) -> int:
    """Return the maximum number of runs of a search.

    Raises:
        UserError: Nothing limits the number.
    """
    if sweep.run_cap is None:
        raise UserError(f"{sweep.path}: a {sweep.method} search has no end; set --runs N or a `run_cap`.")
    return sweep.run_cap


def searched_trials(sweep: Sweep) -> list[Trial]:
    """Return the trials that need no further results: all random ones, or the existing ones of a Bayesian sweep.

    Raises:
        UserError: Nothing limits their number, or the sweep has changed since its runs were started.
    """
    most, group = most_runs(sweep), run_folder(first_trial(sweep).args).parent
    refuse_changes(sweep, group)
    trials = Trials(sweep, _recorded(sweep, group))
    wanted = most if sweep.method == "random" else min(STARTUP, most)
    while len(trials.points) < wanted and trials.add_random():
        pass
    return [sweep.trial_at(point) for point in trials.points]


def trials_of_server(sweep: Sweep) -> list[Trial]:
    """Return the trials started by W&B agents, in this order, read from the runs' folders.

    The list is empty if the trials are chosen on this machine.

    Raises:
        UserError: The sweep has changed since its runs were started.
    """
    first = first_trial(sweep)
    group = run_folder(first.args).parent
    if not (group / SERVER_SWEEP).exists():
        return []
    refuse_changes(sweep, group)
    return begun_trials(first)


def begun_trials(first: Trial) -> list[Trial]:
    """Return the trials started in the group of ``first``, in this order, with the parameters of ``first``."""
    group = run_folder(first.args).parent
    records = [read_record(file, BEGUN) for file in group.glob("*/run.json")]
    runs = sorted(records, key=lambda run: (run["started"], run["id"]))
    given = [merged_arguments(run["command"]) for run in runs]
    return [
        Trial(first.program, run["command"], {key: values.get(key) for key in first.values})
        for run, values in zip(runs, given, strict=True)
    ]


def refuse_other_search(sweep: Sweep, *, on_server: bool) -> None:
    """Refuse to continue a search in a place that did not choose its trials.

    Args:
        sweep: A search.
        on_server: Whether W&B's server is about to choose the trials; otherwise this machine is.

    Raises:
        UserError: The existing runs were chosen in the other place.
    """
    group = run_folder(first_trial(sweep).args).parent
    by_server = (group / SERVER_SWEEP).exists()
    if by_server != on_server and any(group.glob("*/run.json")):
        where, option = ("W&B's server", "with") if by_server else ("this machine", "without")
        raise UserError(
            f"{sweep.path}: {where} chooses the trials in {group}; "
            f"continue {option} --executor wandb, or set another --run.group."
        )


def _recorded(sweep: Sweep, group: Path) -> list[Point]:
    """Return the trials in ``sweep.json``, up to ``run_cap`` or the last started one."""
    file = group / "sweep.json"
    former = read_record(file, PLAN) if file.exists() else {}
    arms = former["arms"] if former.get("search_seed") == sweep.search_seed else []
    begun = [number for number, arm in enumerate(arms, 1) if (group / arm["runs"][0]["id"]).exists()]
    return [tuple(arm["point"]) for arm in arms[: max([sweep.run_cap or 0, *begun[-1:]])]]


def total_runs(sweep: Sweep, known: int) -> int:
    """Return the total number of runs; a Bayesian sweep has more than the ``known`` ones."""
    return max(known, sweep.run_cap or 0) if sweep.method == "bayes" else known


class BayesQueue:
    """Makes new trials as results of earlier trials arrive.

    Trial k depends only on the results of trials 0 to k − ``workers``, regardless of their durations. Therefore, the
    same number of workers always gives the same trials.

    Args:
        sweep: A sweep with the method ``bayes``.
        jobs: Jobs of the existing trials, in order.
        missing: The existing jobs that are still to be run.
        total: Total number of trials.
        workers: Runs at the same time.
        extend: Makes and records the jobs of all trials before a new one starts.
    """

    attentive = False

    def __init__(
        self,
        sweep: Sweep,
        jobs: Sequence[Job],
        missing: Sequence[Job],
        *,
        total: int,
        workers: int,
        extend: Callable[[Sequence[Point]], list[Job]],
    ) -> None:
        self.jobs = list(jobs)
        self.total: int | None = len(missing) + max(0, total - len(jobs))
        self._trials = Trials(sweep, [job.trial.point for job in jobs])
        self._waiting, self._unknown = deque(missing), {job.folder for job in missing}
        self._most, self._workers, self._extend = total, workers, extend

    @property
    def exhausted(self) -> bool:
        """Whether all trials have been made and taken."""
        return not self._waiting and len(self.jobs) >= self._most

    def take(self) -> Job | None:
        """Return the next job; None after the last, and while trials that it depends on are active."""
        if self._waiting:
            return self._waiting.popleft()
        before = self.jobs[: max(0, len(self.jobs) - self._workers + 1)]
        if self.exhausted or any(job.folder in self._unknown for job in before):
            return None
        assert self._trials.sweep.metric is not None
        name = self._trials.sweep.metric.name
        if not self._trials.add_best([job.score(name) for job in before]):
            self._most = len(self.jobs)
            return None
        self.jobs = self._extend(self._trials.points)
        self._unknown.add(self.jobs[-1].folder)
        return self.jobs[-1]

    def ended(self, job: Job) -> None:
        """Record that the job's result, or its failure, is known."""
        self._unknown.discard(job.folder)

    def watch(self, running: Sequence[Job]) -> None:
        """Do nothing: no decision depends on active runs."""
