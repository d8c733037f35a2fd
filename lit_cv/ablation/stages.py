"""``litcv sweep FILE --resolve D --max-seeds N``: seeds are added until every interval is at most ± D wide.

Stein's rule: the spread of the file's own seeds fixes how many are needed (``lit_cv.ablation.statistics.stein``). Every
arm gets the same new seeds as the baseline, so that all stay paired.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from lit_cv.ablation.cost import known_cost
from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.labels import duration
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.same_runs import Fingerprint, unknown
from lit_cv.ablation.sweep.stages import Stages, recorded
from lit_cv.ablation.sweep.sweep_file import SEED, Sweep, Trial
from lit_cv.errors import UsageError, UserError
from lit_cv.runs.folder import run_folder
from lit_cv.runs.prose import say
from lit_cv.runs.records import RESULT, read_record
from lit_cv.runs.settings import canonical, distinct


@dataclass(frozen=True)
class Goal:
    """The wanted width and its limit.

    Attributes:
        width: Half width of every interval, > 0, in the unit of the table: percent points of a metric in percent.
        most: Largest number of seeds.
    """

    width: float
    most: int


def continued(sweep: Sweep) -> Sweep:
    """Return a sweep with the seeds that an earlier call with ``--resolve`` has given it."""
    if sweep.method != "grid" or not sweep.parameters.get(SEED):
        return sweep
    stages = recorded(run_folder(sweep.trials()[0].args).parent)
    return sweep if stages is None else staged(sweep, stages)


def staged(sweep: Sweep, stages: Stages) -> Sweep:
    """Return a sweep with all seeds of its stages, and any others of its file."""
    seeds = distinct([*stages.seeds, *sweep.parameters[SEED]])
    return replace(sweep, parameters={**sweep.parameters, SEED: seeds}, stages=stages)


def run_stages(
    sweep: Sweep,
    goal: Goal,
    go: Callable[[Sweep], int],
    *,
    dry_run: bool = False,
    waits: bool = True,
    fingerprint: Fingerprint = unknown,
) -> int:
    """Run the first stage of a sweep, count the seeds, and run the second stage; a stopped call continues.

    Args:
        sweep: The sweep, with the seeds of an earlier call if there was one.
        goal: The wanted width and the limit.
        go: Runs the missing runs of a sweep and returns the exit code.
        dry_run: Whether ``go`` only describes the runs.
        waits: Whether ``go`` waits for the runs to end.
        fingerprint: See ``lit_cv.ablation.sweep.plan.plan``.

    Returns:
        The exit code of the last stage.

    Raises:
        UserError: The sweep is a search, has one arm, no seeds or no metric, or its first stage has unfinished runs.
    """
    _refuse(sweep, goal)
    former = sweep.stages
    if former is None:
        jobs = plan(sweep, fingerprint)
        if any(not job.finished for job in jobs):
            _refuse_absent(sweep, jobs, waits=waits or dry_run)
            say(_beforehand(sweep, jobs, goal))
            code = go(sweep)
            if code or dry_run:
                return code
            jobs = plan(sweep, fingerprint)
            _refuse_absent(sweep, jobs, waits=False)
        scale = _scale(sweep, jobs)
        half, first = _widest(sweep, jobs), [int(seed) for seed in sweep.parameters[SEED]]
        former = Stages(sweep.metric.name if sweep.metric else "", goal.width / scale, first, first, 0, half)
    else:
        scale = _scale(sweep, [job for job in plan(sweep, fingerprint) if job.finished])
        if abs(former.wanted * scale - goal.width) > 1e-9 * goal.width:
            raise UserError(
                f"{sweep.path}: its seeds were counted with --resolve {former.wanted * scale:g}, and a width that is "
                "chosen after the runs makes intervals invalid; give the same width, or another --run.group."
            )
    stages = _counted(former, goal)
    say(_told(sweep, stages, scale, goal))
    code = go(staged(sweep, stages))
    if not code and not dry_run and all(job.finished for job in plan(staged(sweep, stages), fingerprint)):
        reached = "as wanted" if stages.reached else f"not ± {goal.width:g}, which needs {stages.needed:,} seeds"
        say(f"--resolve {goal.width:g}: every interval is at most ± {_final(stages) * scale:.3g} wide, {reached}.")
    return code


def _refuse(sweep: Sweep, goal: Goal) -> None:
    def refuse(reason: str) -> UserError:
        return UserError(f"{sweep.path}: --resolve {goal.width:g}: {reason}.")

    seeds = sweep.parameters.get(SEED, [])
    if sweep.method != "grid":
        raise refuse(f"a {sweep.method} search has one run of each trial; write the arms to compare as a grid")
    if sweep.metric is None:
        raise refuse("it has no `metric`, whose interval is meant; add one, such as {name: val/map, goal: maximize}")
    if len(seeds) < 2 or not all(isinstance(seed, int) for seed in seeds):
        raise refuse(f"the spread needs at least two seeds; give parameter `{SEED}` whole numbers, as in [1, 2, 3]")
    trials = sweep.trials()
    arms = _arms_of(trials)
    if len(arms) < 2:
        raise refuse("it has one arm, so there is no difference; add values to a parameter")
    if len(trials) != len(arms) * len(seeds):
        raise refuse(f"run_cap: {sweep.run_cap} leaves out runs, but every arm needs every seed; remove it")
    first = len(sweep.stages.first if sweep.stages else seeds)
    if goal.most < first:
        raise UsageError(f"--max-seeds {goal.most}: the first stage has {first} seeds; give at least {first}.")


def _arms_of(trials: Iterable[Trial]) -> list[str]:
    return distinct(canonical({key: value for key, value in trial.values.items() if key != SEED}) for trial in trials)


def _refuse_absent(sweep: Sweep, jobs: Sequence[Job], *, waits: bool) -> None:
    absent = sum(not job.finished for job in jobs)
    if absent and not waits:
        raise UserError(
            f"{sweep.path}: --resolve: {absent} of {len(jobs)} runs of the first stage are not finished, and their "
            "spread counts the seeds; run them without --resolve, and give it again when all have ended."
        )


def _beforehand(sweep: Sweep, jobs: Sequence[Job], goal: Goal) -> str:
    arms = len(jobs) // len(sweep.parameters[SEED])
    cost = known_cost(jobs)
    hours = f", {duration(cost.seconds * arms * goal.most)} of runs" if cost else ""
    return (
        f"Stage 1 of 2: the {len(jobs)} runs of the file; their spread counts the seeds of stage 2, at most "
        f"{goal.most} in all (--max-seeds), so at most {arms * goal.most} runs{hours}."
    )


def _scale(sweep: Sweep, jobs: Sequence[Job]) -> float:
    """Return the factor between the logged and the shown value of the metric."""
    name = sweep.metric.name if sweep.metric else ""
    facts = read_record(jobs[0].folder / "result.json", RESULT).get("metric_facts", {}) if jobs else {}
    return 100.0 if facts.get(name, {}).get("percent") else 1.0


def _widest(sweep: Sweep, jobs: Sequence[Job]) -> float:
    """Return the half width of the widest interval after the first stage."""
    from lit_cv.ablation.statistics.stein import widest  # imported here because scipy takes a while

    metric = sweep.metric.name if sweep.metric else ""
    scores: dict[str, dict[int | None, float]] = {}
    for job in jobs:
        value = job.score(metric)
        if value is None:
            raise UserError(
                f"{job.folder / 'result.json'}: --resolve: {metric} of {job.label} is missing or not finite, and the "
                "rule needs every arm at every seed; fix the run, or take the arm or the seed out of the file."
            )
        scores.setdefault(_arms_of([job.trial])[0], {})[job.trial.seed] = value
    half = widest(list(scores.values()))
    if not half > 0:
        raise UserError(
            f"{sweep.path}: --resolve: the differences between arms are the same at every seed, so there is no spread "
            "that could be resolved; look at the report, which names seeds and keys without effect."
        )
    return half


def _counted(former: Stages, goal: Goal) -> Stages:
    """Return the stages with the seeds that are needed and allowed; seeds that exist stay."""
    from lit_cv.ablation.statistics.stein import seeds_needed  # imported here because scipy takes a while

    needed = seeds_needed(len(former.first), former.half, former.wanted)
    seeds = list(former.seeds)
    while len(seeds) < min(needed, goal.most):
        seeds.append(max(seeds) + 1)
    return replace(former, seeds=seeds, needed=needed)


def _told(sweep: Sweep, stages: Stages, scale: float, goal: Goal) -> str:
    unit = "percent points of " if scale != 1 else ""
    first, new = len(stages.first), stages.seeds[len(stages.first) :]
    text = (
        f"--resolve {goal.width:g}: with {first} seeds, intervals are ± {stages.half * scale:.3g} wide "
        f"({unit}{stages.metric}); ± {goal.width:g} needs {stages.needed:,} seeds"
    )
    if not stages.reached:
        text += f", but --max-seeds allows {goal.most}, for ± {_final(stages) * scale:.3g}"
    if not new:
        return f"{text}: no seed is added."
    arms = len(_arms_of(sweep.trials()))
    return f"{text}. Stage 2 of 2: seeds {new[0]} to {new[-1]} of all {arms} arms, {arms * len(new)} runs."


def _final(stages: Stages) -> float:
    """Return the half width of the widest interval with all seeds."""
    from lit_cv.ablation.statistics.stein import narrowed  # imported here because scipy takes a while

    return narrowed(stages.half, len(stages.first), len(stages.seeds))
