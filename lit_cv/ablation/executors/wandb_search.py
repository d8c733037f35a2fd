"""Random and Bayesian sweeps whose trials W&B's server chooses; the runs' folders record the trials."""

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from lit_cv.ablation.executors.wandb_agents import STOPPED, Agents, make_sweep
from lit_cv.ablation.sweep.jobs import Job
from lit_cv.ablation.sweep.plan import Preflight, busy, make_jobs, save_plan
from lit_cv.ablation.sweep.search import begun_trials, first_trial, most_runs, refuse_other_search, trials_of_server
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.runs.files import lock, read_json
from lit_cv.runs.folder import STOP_FILE
from lit_cv.tracking.server import ask


def search_on_server(sweep: Sweep, agents: Agents, *, dry_run: bool, preflight: Preflight) -> int:
    """Create the sweep on the server and run ``run_cap`` of its trials with agents; see ``run_sweep``.

    The same command continues runs that died and runs missing trials with agents.

    Args:
        sweep: A search.
        agents: Run the trials.
        dry_run: Only print the size of the search and one possible trial.
        preflight: See ``run_sweep``.

    Returns:
        0 if all runs are finished, else 1.

    Raises:
        UserError: The trials of the sweep were chosen on this machine, the sweep has changed or has no end, or another
            process is running the sweep. The server rejects the key, does not know the sweep, or cannot be reached.
    """
    most = most_runs(sweep)
    refuse_other_search(sweep, on_server=True)
    (first,) = make_jobs(sweep, [first_trial(sweep)])
    group = first.folder.parent
    with nullcontext() if dry_run else lock(group / ".sweep.lock", busy(sweep, group)):
        jobs = make_jobs(sweep, trials_of_server(sweep))
        done = sum(job.finished for job in jobs)
        print(f"{sweep.name}: {sweep.method}, {most} runs chosen by W&B's server, {done} done", flush=True)
        if dry_run:
            print(f"for example: {shlex.join(first.command)}")
            return 0
        preflight([first.trial.args], sweep.metric)
        save_plan(sweep, jobs, group)
        try:
            _carry_out(sweep, agents, first, most)
        except KeyboardInterrupt:
            print("Stopped. The same command continues where this one ended.", flush=True)
            return 1
        jobs = make_jobs(sweep, trials_of_server(sweep))
        save_plan(sweep, jobs, group)
        done = sum(job.finished for job in jobs)
        print(f"{done} of {most} runs finished. Table: litcv report {group}", flush=True)
        return 0 if jobs and done == len(jobs) else 1


def _carry_out(sweep: Sweep, agents: Agents, first: Job, most: int) -> None:
    """Run missing trials with agents, then continue runs that died in an earlier call or were stopped on the server."""
    path, former = make_sweep(sweep, first), _begun(sweep, first)
    left = max(0, most - len(ask("runs", path=path)))
    agents.run(path, first.folder.parent, left, _Growing(sweep, first, former), share_out=True)
    states, rest = {run["id"]: run["state"] for run in ask("runs", path=path)}, list[tuple[Job, str]]()
    for job in _begun(sweep, first):
        run_id = str(read_json(job.folder / "wandb.json")["id"])
        stopped = states.get(run_id) == STOPPED
        if stopped and not job.finished:
            (job.folder / STOP_FILE).touch()
        rest += [(job, run_id)] if stopped or job in former else []
    agents.resume(path, rest)


def _begun(sweep: Sweep, first: Job) -> list[Job]:
    return make_jobs(sweep, begun_trials(first.trial))


class _Growing:
    """Returns the jobs started since the former ones. It is called often, so it rebuilds the list only for new runs."""

    def __init__(self, sweep: Sweep, first: Job, former: Sequence[Job]) -> None:
        self._sweep, self._first, self._former = sweep, first, former
        self._files, self._jobs = set[Path](), list[Job]()

    def __call__(self) -> list[Job]:
        files = set(self._first.folder.parent.glob("*/run.json"))
        if files != self._files:
            self._files = files
            self._jobs = [job for job in _begun(self._sweep, self._first) if job not in self._former]
        return self._jobs
