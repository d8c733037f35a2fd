"""Random and Bayesian sweeps whose trials W&B's server draws; which they are stands in the folders of their runs."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from lit_cv.ablation.executors.wandb import STOPPED, WandbExecutor
from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.plan import Preflight, busy, make_jobs, save_plan
from lit_cv.ablation.sweep.search import begun_trials, first_trial, most_runs, refuse_other_draws, trials_of_server
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.runs.files import lock, read_json
from lit_cv.runs.folder import STOP_FILE
from lit_cv.tracking.server import ask


def search_on_server(sweep: Sweep, executor: WandbExecutor, *, dry_run: bool, preflight: Preflight) -> int:
    """Make the sweep on the server and have agents run `run_cap` of its trials; see `run_sweep`.

    The same command continues the runs that died and has agents run what is missing.

    Raises:
        UserError: the trials of the sweep are drawn here, the sweep has changed or has no end, another runner is at
            work on it, or see `WandbExecutor.execute`.
    """
    most = most_runs(sweep)
    refuse_other_draws(sweep, on_server=True)
    (first,) = make_jobs(sweep, [first_trial(sweep)])
    group = first.folder.parent
    with nullcontext() if dry_run else lock(group / ".sweep.lock", busy(sweep, group)):
        jobs = make_jobs(sweep, trials_of_server(sweep))
        done = sum(job.finished for job in jobs)
        print(f"{sweep.name}: {sweep.method}, {most} runs drawn by W&B's server, {done} done", flush=True)
        if dry_run:
            print(f"such as: {executor.preview([first])}")
            return 0
        preflight([first.trial.args], sweep.metric.name if sweep.metric else None)
        save_plan(sweep, jobs, group)
        try:
            _carry_out(sweep, executor, first, most)
        except KeyboardInterrupt:
            print("Stopped. The same command continues where this one ended.", flush=True)
            return 1
        jobs = make_jobs(sweep, trials_of_server(sweep))
        save_plan(sweep, jobs, group)
        done = sum(job.finished for job in jobs)
        print(f"{done} of {most} runs finished. Table: litcv report {group}", flush=True)
        return 0 if jobs and done == len(jobs) else 1


def _carry_out(sweep: Sweep, executor: WandbExecutor, first: Job, most: int) -> None:
    """Have agents run what is missing, then continue what died in an earlier call and what W&B has stopped."""
    path, former = executor.make_sweep(first), _begun(sweep, first)
    left = max(0, most - len(ask("runs", path=path)))
    executor.run_agents(path, first.folder.parent, left, _Growing(sweep, first, former), share_out=True)
    states, rest = {run["id"]: run["state"] for run in ask("runs", path=path)}, list[tuple[Job, str]]()
    for job in _begun(sweep, first):
        run_id = str(read_json(job.folder / "wandb.json")["id"])
        stopped = states.get(run_id) == STOPPED
        if stopped and not job.finished:
            (job.folder / STOP_FILE).touch()
        rest += [(job, run_id)] if stopped or job in former else []
    executor.go_on(path, rest)


def _begun(sweep: Sweep, first: Job) -> list[Job]:
    return make_jobs(sweep, begun_trials(first.trial))


class _Growing:
    """The jobs that were begun besides the former ones; made anew only when there are more, for it is asked often."""

    def __init__(self, sweep: Sweep, first: Job, former: Sequence[Job]) -> None:
        self._sweep, self._first, self._former = sweep, first, former
        self._files, self._jobs = set[Path](), list[Job]()

    def __call__(self) -> list[Job]:
        files = set(self._first.folder.parent.glob("*/run.json"))
        if files != self._files:
            self._files = files
            self._jobs = [job for job in _begun(self._sweep, self._first) if job not in self._former]
        return self._jobs
