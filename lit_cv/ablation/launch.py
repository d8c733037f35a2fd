"""Plan the runs of a sweep, skip the finished ones and hand the rest to an executor."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from lit_cv.ablation.cost import Cost, describe, known_cost, timed_cost
from lit_cv.ablation.executors.base import Executor
from lit_cv.ablation.executors.processes import is_litcv
from lit_cv.ablation.sweep.inputs import missing_inputs, refuse_missing
from lit_cv.ablation.sweep.jobs import FixedQueue, Job, Queue
from lit_cv.ablation.sweep.plan import Preflight, busy, make_jobs, plan, save_plan
from lit_cv.ablation.sweep.same_runs import Fingerprint, unknown
from lit_cv.ablation.sweep.search import BayesQueue, Point, total_runs
from lit_cv.ablation.sweep.stopping import EarlyTermination, UntilTarget
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.errors import UserError
from lit_cv.runs.files import lock
from lit_cv.runs.folder import run_id
from lit_cv.runs.prose import say
from lit_cv.runs.structure import unmeasured

TIMED_SECONDS = 20.0  # for the steps that a dry run times without being asked
Times = Callable[[Path], None]


def launch(
    sweep: Sweep,
    executor: Executor,
    *,
    dry_run: bool,
    measure: bool | None = False,
    retry_failed: bool = False,
    preflight: Preflight,
    fingerprint: Fingerprint = unknown,
    times: Times | None = None,
    leaks: Times | None = None,
) -> int:
    """Run the missing runs of a sweep; called again after a crash, it finishes the rest. See ``run_sweep``."""
    jobs = plan(sweep, fingerprint)
    group = jobs[0].folder.parent
    with nullcontext() if dry_run else lock(group / ".sweep.lock", busy(sweep, group)):
        missing = [job for job in jobs if not job.finished]
        if elsewhere := sum(job.finished and job.folder.name != run_id(job.trial.args) for job in jobs):
            print(f"{elsewhere} runs are finished already: only the paths or the loading of their files differ.")
        left_out = [] if retry_failed else _report_failures(missing)
        missing = [job for job in missing if job not in left_out]
        if queued_elsewhere := _active_elsewhere(missing, executor.name):
            missing = [job for job in missing if job not in queued_elsewhere]
        costs = estimate(sweep, jobs, missing, executor, measure, dry_run)
        say(overview(sweep, jobs) + costs)
        if dry_run:
            _say_missing(missing)
            _say_unfit(missing, preflight)
            print(executor.preview(missing))
            if more := total_runs(sweep, len(jobs)) - len(jobs):
                print(f"The other {more} trials depend on the results of these.")
            return 0
        if missing:
            _look_for_inputs(missing, executor)
            preflight([job.trial.args for job in missing], sweep.metric)
        save_plan(sweep, jobs, group)
        queue = make_queue(sweep, jobs, missing, executor.workers, fingerprint)
        try:
            failed = left_out + ([] if queue.exhausted else executor.execute(queue))
            if executor.waits and times is not None and unmeasured(group):
                _examine(group, jobs, times)
            if executor.waits and leaks is not None:
                _examine(group, jobs, leaks)
        except KeyboardInterrupt:
            print("Stopped. The same command continues where this one ended.", flush=True)
            return 1
        if not executor.waits and any(not job.finished for job in missing):
            print(f"Follow them: litcv sweep {sweep.path} --status", flush=True)
            print(f"Then measure the time per image on one machine: litcv report {group} --measure", flush=True)
            return 0
        jobs = plan(sweep, fingerprint)
        finished = sum(job.finished for job in jobs)
        print(f"{finished} of {len(jobs)} runs finished. Table: litcv report {group}", flush=True)
        return 1 if failed else 0


def _examine(group: Path, jobs: Sequence[Job], examination: Times) -> None:
    """Measure or examine the finished runs, if they are of lit-cv; the runs have ended."""
    if all(is_litcv(job.trial.program) for job in jobs):
        try:
            examination(group)
        except UserError as error:
            say(f"note: {error}")


def make_queue(
    sweep: Sweep, jobs: Sequence[Job], missing: Sequence[Job], workers: int, fingerprint: Fingerprint = unknown
) -> Queue:
    """Return the queue for the sweep's method, target and early termination."""
    queue: Queue = FixedQueue(missing)
    if sweep.method == "bayes":
        group = jobs[0].folder.parent

        def extend(points: Sequence[Point]) -> list[Job]:
            grown = make_jobs(sweep, [sweep.trial_at(point) for point in points], fingerprint)
            save_plan(sweep, grown, group)
            return grown

        queue = BayesQueue(sweep, jobs, missing, total=total_runs(sweep, len(jobs)), workers=workers, extend=extend)
    if sweep.metric and sweep.metric.target is not None:
        queue = UntilTarget(queue, sweep.metric, jobs)
    if sweep.metric and sweep.hyperband:
        queue = EarlyTermination(queue, sweep.hyperband, sweep.metric, jobs)
    return queue


def overview(sweep: Sweep, jobs: Sequence[Job]) -> str:
    """Describe the size of the sweep: arms, seeds, runs, and the number of finished runs."""
    seeds = len({job.trial.seed for job in jobs})
    size = f"{_counted(len(jobs) // seeds, 'arm')} × {_counted(seeds, 'seed')} = {_counted(len(jobs), 'run')}"
    if sweep.method != "grid" or len(jobs) % seeds:
        size = f"{sweep.method}, {total_runs(sweep, len(jobs))} runs"
    return f"{sweep.name}: {size}, {sum(job.finished for job in jobs)} done"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def estimate(
    sweep: Sweep, jobs: Sequence[Job], missing: Sequence[Job], executor: Executor, measure: bool | None, dry_run: bool
) -> str:
    """Describe the cost of the remaining runs (see ``lit_cv.ablation.cost``), or for a dry run why it is unknown.

    Empty without runs, and for runs that start now at an unknown cost: they show their time left themselves.

    Args:
        sweep: The sweep.
        jobs: Its known runs.
        missing: The runs still to be done.
        executor: Carries them out.
        measure: Whether to time a few steps instead of looking for earlier runs. None: on a dry run if there are no
            earlier runs, and this machine carries out the runs and has their data, for at most ``TIMED_SECONDS``.
        dry_run: Whether the runs are only described.
    """
    if not missing:
        return ""
    try:
        cost, reason = _cost(missing, executor, measure if dry_run else bool(measure))
    except UserError as error:
        if measure:
            raise
        cost, reason = None, str(error).rstrip(".")
    if cost is None:
        return f"; cost unknown, because {reason}" if dry_run else ""
    runs = len(missing) + total_runs(sweep, len(jobs)) - len(jobs)
    return "; " + describe(cost, runs, executor.workers, executor.gpus, missing[0].folder.parent)


def _cost(missing: Sequence[Job], executor: Executor, measure: bool | None) -> tuple[Cost | None, str]:
    """Return the cost of a run, or None and the reason why it is unknown."""
    if measure:
        return timed_cost(missing), ""
    if (cost := known_cost(missing)) is not None:
        return cost, ""
    reason = "no run of this experiment has finished: --measure times a few steps"
    if measure is False or not executor.waits or missing_inputs(missing):
        return None, reason
    say(f"No run of this experiment has finished, so a few steps are timed (at most {TIMED_SECONDS:.0f} s) ...")
    return timed_cost(
        missing, TIMED_SECONDS
    ), f"no steps could be timed within {TIMED_SECONDS:.0f} s; --measure has no limit"


def _active_elsewhere(jobs: Sequence[Job], executor: str) -> list[Job]:
    """Return the runs that are in the queue of another executor; starting them here would do them twice."""
    from lit_cv.ablation.executors.registry import queued  # imported here because it takes a while

    tasks = queued(jobs[0].folder.parent, but=executor) if jobs else {}
    found = [job for job in jobs if job.folder.name in tasks and tasks[job.folder.name].active]
    if found:
        states = ", ".join(sorted({tasks[job.folder.name].state for job in found}))
        names = ", ".join(sorted({tasks[job.folder.name].name.partition("_")[0] for job in found}))
        runs = "1 run is" if len(found) == 1 else f"{len(found)} runs are"
        print(f"{runs} left to job {names} of another executor ({states}); cancel it to run them here.")
    return found


def _look_for_inputs(missing: Sequence[Job], executor: Executor) -> None:
    """Look for the data and weights of the runs; other machines, such as those of a cluster, may have them.

    Raises:
        UserError: Something does not exist on this machine, which carries out the runs.
    """
    if executor.waits:
        refuse_missing(missing)
    else:
        _say_missing(missing)


def _say_missing(jobs: Sequence[Job]) -> None:
    for text in missing_inputs(jobs):
        print(f"missing here: {text}", flush=True)


def _say_unfit(jobs: Sequence[Job], preflight: Preflight) -> None:
    """Say whether files of initial weights fit; other checks, for which nothing is read, are left to the launch."""
    starting = [job for job in jobs if is_litcv(job.trial.program) and job.settings.get("model.initial_weights")]
    try:
        if starting:
            preflight([job.trial.args for job in starting], None)
    except UserError as error:
        print(f"would be refused: {error}", flush=True)


def _report_failures(jobs: Sequence[Job]) -> list[Job]:
    failed = [(job, failure) for job in jobs if (failure := job.failure)]
    for job, failure in failed:
        reason = ": ".join(text for text in (failure["reason"], failure.get("error")) if text)
        print(f"{job.label}: left out, it failed at {failure['time']} ({reason}); {job.folder / 'log.txt'}")
    if failed:
        print(f"{len(failed)} runs that failed before are left out; --retry-failed runs them again.")
    return [job for job, _ in failed]
