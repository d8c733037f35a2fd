"""`litcv sweep FILE`: plan the runs of a sweep, leave out what is finished, hand the rest to an executor."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from lit_cv.ablation.changes import refuse_changes
from lit_cv.ablation.cost import describe, known_cost, timed_cost
from lit_cv.ablation.jobs import FixedQueue, Job, Queue
from lit_cv.ablation.search import (
    BayesQueue,
    Point,
    refuse_other_draws,
    searched_trials,
    total_runs,
    trials_of_server,
)
from lit_cv.ablation.slurm import SlurmExecutor
from lit_cv.ablation.slurm_options import DEFAULT, Resources
from lit_cv.ablation.status import status
from lit_cv.ablation.stopping import EarlyTermination, UntilTarget
from lit_cv.ablation.sweep import SEED, Sweep, Trial, load_sweep
from lit_cv.ablation.values import canonical, level, short_names
from lit_cv.errors import UsageError, UserError
from lit_cv.runs import lock, run_folder, write_json

Preflight = Callable[[list[list[str]], str | None], None]


class Executor(Protocol):
    """Where runs are carried out: this machine, Slurm, W&B agents.

    Attributes:
        workers: runs at once.
        gpus: GPUs that a run takes, a part of one where runs share it.
        waits: whether `execute` waits for the runs to end.
    """

    workers: int
    gpus: float
    waits: bool

    def execute(self, queue: Queue) -> list[Job]:
        """Run what the queue hands out, report progress, and return what failed; one failure stops no other."""
        ...

    def preview(self, jobs: Sequence[Job]) -> str:
        """What would be carried out, for `--dry-run`."""
        ...


def run_sweep(
    path: Path,
    *,
    executor: str = "local",
    workers: int | None = None,
    gpus_per_run: int = 1,
    runs: int | None = None,
    resources: Resources = DEFAULT,
    runs_per_gpu: int | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    measure: bool = False,
    preflight: Preflight,
) -> int:
    """Carry out a sweep file.

    Args:
        path: a W&B sweep file.
        executor: where to run; `local`, `slurm` or `wandb`.
        workers: runs at once; by default one per `gpus_per_run` visible GPUs, or one on a machine without a GPU.
        gpus_per_run: GPUs that each run sees.
        runs: how many runs the sweep has, if its file has no smaller `run_cap`.
        resources: what each run asks of Slurm.
        runs_per_gpu: runs that share each of them.
        retry_failed: also run what failed in an earlier call.
        dry_run: only print what would be run.
        measure: estimate the cost by timing some steps of the first run.
        preflight: called before the first run starts, with the arguments of every run to be done and the metric's name;
            raises UserError for a parameter or metric that the experiment does not have.

    Returns:
        0 when every run of the sweep is finished or submitted, else 1.

    Raises:
        UserError: a bad sweep file, an unknown executor, or another runner at work on the same sweep.
    """
    sweep = _load(path, runs)
    place = make_executor(executor, sweep, workers, gpus_per_run, runs_per_gpu, resources)
    if sweep.method != "grid":
        if executor == "wandb":
            from lit_cv.ablation.wandb_agent import WandbExecutor
            from lit_cv.ablation.wandb_search import search_on_server

            assert isinstance(place, WandbExecutor)
            return search_on_server(sweep, place, dry_run=dry_run, preflight=preflight)
        refuse_other_draws(sweep, on_server=False)
    return launch(sweep, place, dry_run=dry_run, measure=measure, retry_failed=retry_failed, preflight=preflight)


def _load(path: Path, runs: int | None) -> Sweep:
    sweep = load_sweep(path)
    if runs is not None and runs < 1:
        raise UsageError(f"--runs {runs}: give at least 1.")
    return sweep if runs is None else replace(sweep, run_cap=min(runs, sweep.run_cap or runs))


def run_sync(path: Path, runs: int | None = None) -> int:
    """Bring to W&B what it has not got of a sweep's runs; see `sync` and `run_sweep`."""
    from lit_cv.ablation.wandb_sync import sync

    return sync(plan(_load(path, runs))[0].folder.parent)


def make_executor(
    name: str, sweep: Sweep, workers: int | None, gpus_per_run: int, runs_per_gpu: int | None, resources: Resources
) -> Executor:
    """The executor of this name.

    Raises:
        UsageError: there is none, or an option belongs to another one.
    """
    if name == "slurm":
        if workers is not None or gpus_per_run != 1 or runs_per_gpu is not None:
            raise UsageError("--workers, --gpus-per-run, --runs-per-gpu: not of --executor slurm; see --max-parallel.")
        if sweep.method == "bayes" and not resources.max_parallel:
            raise UsageError("a Bayesian sweep learns from its runs: say how many are at work, with --max-parallel.")
        return SlurmExecutor(sweep.name, resources)
    if resources != DEFAULT:
        raise UsageError("--nodes, --time and the other options of a Slurm job need --executor slurm.")
    if name == "wandb":
        from lit_cv.ablation.wandb_agent import WandbExecutor

        return WandbExecutor(sweep, workers, gpus_per_run)
    if name != "local":
        raise UsageError(f"--executor {name}: there is no such executor; write --executor local.")
    from lit_cv.ablation.local import LocalExecutor

    metric = sweep.metric.name if sweep.metric else None
    return LocalExecutor(workers, gpus_per_run, runs_per_gpu, metric)


def run_status(path: Path, runs: int | None = None) -> int:
    """Print the state of every run of a sweep file, see `run_sweep`; returns 0.

    Raises:
        UserError: a bad sweep file, or Slurm cannot be asked about runs that were submitted to it.
    """
    sweep = _load(path, runs)
    print(status(sweep.name, plan(sweep)))
    return 0


def launch(
    sweep: Sweep,
    executor: Executor,
    *,
    dry_run: bool,
    measure: bool = False,
    retry_failed: bool = False,
    preflight: Preflight,
) -> int:
    """Run what is missing of a sweep. Run again after a crash, it finishes the rest; see `run_sweep`."""
    jobs = plan(sweep)
    group = jobs[0].folder.parent
    with nullcontext() if dry_run else lock(group / ".sweep.lock", busy(sweep, group)):
        missing = [job for job in jobs if not job.finished]
        left_out = [] if retry_failed else _tell_of_failures(missing)
        missing = [job for job in missing if job not in left_out]
        costs = estimate(sweep, jobs, missing, executor, measure)
        print(overview(sweep, jobs, missing, len(left_out)) + costs, flush=True)
        if dry_run:
            print(executor.preview(missing))
            if more := total_runs(sweep, len(jobs)) - len(jobs):
                print(f"The other {more} trials depend on the results of these.")
            return 0
        if missing:
            preflight([job.trial.args for job in missing], sweep.metric.name if sweep.metric else None)
        save_plan(sweep, jobs, group)
        queue = make_queue(sweep, jobs, missing, executor.workers)
        try:
            failed = left_out + ([] if queue.exhausted else executor.execute(queue))
        except KeyboardInterrupt:
            print("Stopped. The same command continues where this one ended.", flush=True)
            return 1
        if not executor.waits and any(not job.finished for job in missing):
            print(f"Follow them: litcv sweep {sweep.path} --status", flush=True)
            return 0
        jobs = plan(sweep)
        finished = sum(job.finished for job in jobs)
        print(f"{finished} of {len(jobs)} runs finished. Table: litcv report {group}", flush=True)
        return 1 if failed else 0


def busy(sweep: Sweep, group: Path) -> str:
    """What is said when two runners are started on one sweep."""
    return f"{sweep.path}: another `litcv sweep` is working in {group}; wait for it or stop it."


def make_queue(sweep: Sweep, jobs: Sequence[Job], missing: Sequence[Job], workers: int) -> Queue:
    """The queue that the sweep's method, target and early termination ask for."""
    queue: Queue = FixedQueue(missing)
    if sweep.method == "bayes":
        group = jobs[0].folder.parent

        def extend(points: Sequence[Point]) -> list[Job]:
            grown = make_jobs(sweep, [sweep.trial_at(point) for point in points])
            save_plan(sweep, grown, group)
            return grown

        queue = BayesQueue(sweep, jobs, missing, total=total_runs(sweep, len(jobs)), workers=workers, extend=extend)
    if sweep.metric and sweep.metric.target is not None:
        queue = UntilTarget(queue, sweep.metric, jobs)
    if sweep.metric and sweep.hyperband:
        queue = EarlyTermination(queue, sweep.hyperband, sweep.metric, jobs)
    return queue


def plan(sweep: Sweep) -> list[Job]:
    """One job per trial that is known, in the sweep's order: of a Bayesian sweep those made so far and the first ones.

    Of a search that W&B's server draws they are those that agents have begun.

    Raises:
        UserError: two trials are the same run, the trials belong to different groups, a search has no end, or the
            sweep has changed since its runs were started.
    """
    if sweep.method != "grid":
        return make_jobs(sweep, trials_of_server(sweep) or searched_trials(sweep))
    jobs = make_jobs(sweep, sweep.trials())
    refuse_changes(sweep, jobs[0].folder.parent, jobs)
    return jobs


def make_jobs(sweep: Sweep, trials: Sequence[Trial]) -> list[Job]:
    """One job per trial.

    Raises:
        UserError: two trials are the same run, or the trials belong to different groups.
    """
    names = short_names(sweep.swept())
    jobs = [Job(trial, run_folder(trial.args), label(trial.values, names)) for trial in trials]
    groups = sorted({str(job.folder.parent) for job in jobs})
    if len(groups) > 1:
        raise UserError(
            f"{sweep.path}: its runs go to {len(groups)} folders ({', '.join(groups)}); give one --run.group."
        )
    if len({job.folder for job in jobs}) < len(jobs):
        raise UserError(f"{sweep.path}: several trials are the same run; does the command contain ${{args}}?")
    return jobs


def label(values: dict[str, Any], names: dict[str, str]) -> str:
    """A trial in words: `anchor_scales=128 256, seed 1`. `names` are the short names of the swept keys."""
    words = [f"{short}={level(key, values[key])}" for key, short in names.items() if key in values]
    return ", ".join(words + ([f"seed {values[SEED]}"] if SEED in values and SEED not in names else []))


def overview(sweep: Sweep, jobs: Sequence[Job], missing: Sequence[Job], failed: int = 0) -> str:
    """What the sweep amounts to: arms, seeds, runs, and how many are done."""
    seeds = len({job.trial.seed for job in jobs})
    size = f"{len(jobs) // seeds} arms × {seeds} seeds = {len(jobs)} runs"
    if sweep.method != "grid" or len(jobs) % seeds:
        size = f"{sweep.method}, {total_runs(sweep, len(jobs))} runs"
    return f"{sweep.name}: {size}, {len(jobs) - len(missing) - failed} done"


def estimate(sweep: Sweep, jobs: Sequence[Job], missing: Sequence[Job], executor: Executor, measure: bool) -> str:
    """What the rest will cost, see `lit_cv.ablation.cost`; empty where nothing is known or left.

    Args:
        sweep: the sweep.
        jobs: its runs, as far as they are known.
        missing: those to be run.
        executor: where.
        measure: time some steps of the first run, instead of looking for earlier runs.
    """
    if not missing:
        return ""
    cost = timed_cost(missing[0]) if measure else known_cost(missing)
    if cost is None:
        return ""
    runs = len(missing) + total_runs(sweep, len(jobs)) - len(jobs)
    return "; " + describe(cost, runs, executor.workers, executor.gpus, missing[0].folder.parent)


def _tell_of_failures(jobs: Sequence[Job]) -> list[Job]:
    failed = [(job, failure) for job in jobs if (failure := job.failure)]
    for job, failure in failed:
        print(f"{job.label}: left out, it failed at {failure['time']} ({failure['reason']}); {job.folder / 'log.txt'}")
    if failed:
        print(f"{len(failed)} runs that failed before are left out; --retry-failed runs them again.")
    return [job for job, _ in failed]


def save_plan(sweep: Sweep, jobs: Sequence[Job], group: Path) -> None:
    """Write `sweep.yaml` (a copy) and `sweep.json` (metric, swept keys, arms and their run ids) for the report."""
    temporary = group / ".sweep.yaml.part"
    shutil.copyfile(sweep.path, temporary)
    temporary.replace(group / "sweep.yaml")
    content = {
        "name": sweep.name,
        "description": sweep.description,
        "file": str(sweep.path.resolve()),
        "method": sweep.method,
        "search_seed": None if sweep.method == "grid" else sweep.search_seed,
        "metric": {"name": sweep.metric.name, "goal": sweep.metric.goal} if sweep.metric else None,
        "swept": sweep.swept(),
        "arms": _arms(jobs) if sweep.method == "grid" else _searched_arms(jobs),
    }
    write_json(group / "sweep.json", content)


def _arms(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    arms: dict[str, dict[str, Any]] = {}
    for job in jobs:
        values = {key: value for key, value in job.trial.values.items() if key != SEED}
        arm = arms.setdefault(canonical(values), {"values": values, "runs": []})
        arm["runs"].append({"seed": job.trial.seed, "id": job.folder.name})
    return list(arms.values())


def _searched_arms(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """One arm per trial: a search repeats none with another seed."""
    return [
        {"values": job.trial.values, "point": job.trial.point, "runs": [{"seed": None, "id": job.folder.name}]}
        for job in jobs
    ]
