"""The W&B executor: creates the sweep on W&B's server and runs its trials with W&B agents on this machine."""

from argparse import Namespace
from typing import Any, Self

from lit_cv.ablation.executors.base import Executor, Options
from lit_cv.ablation.executors.local import add_process_arguments
from lit_cv.ablation.executors.wandb_agents import STOPPED, Agents, make_sweep
from lit_cv.ablation.executors.wandb_search import search_on_server
from lit_cv.ablation.sweep.jobs import Job, Queue
from lit_cv.ablation.sweep.plan import Preflight
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.runs.files import read_yaml
from lit_cv.runs.folder import STOP_FILE
from lit_cv.runs.settings import canonical, flatten
from lit_cv.tracking.server import ask, require_online


class WandbExecutor(Executor):
    """Runs the trials of a sweep on W&B's server with ``wandb agent`` processes.

    ``<group>/wandb_sweep.json`` records the folder's sweep on the server, so that the same file continues the same
    sweep. The server assigns a trial only once. Therefore, runs that started and died are continued here without an
    agent, as the same W&B runs of the same sweep. Runs that were stopped on the server end with their current result.

    Args:
        sweep: The sweep; if it is a search, the server chooses its trials.
        workers: Agents at the same time; see ``LocalExecutor``.
        gpus_per_run: GPUs that each run sees.

    Raises:
        UserError: WANDB_MODE is not online or there is no key; see also ``LocalExecutor``.
    """

    name = "wandb"
    summary = "W&B agents on this machine, with a sweep on W&B's server"

    def __init__(self, sweep: Sweep, workers: int | None = None, gpus_per_run: int = 1) -> None:
        require_online("--executor wandb")
        self._sweep, self._agents = sweep, Agents(workers, gpus_per_run)
        self.workers, self.gpus = self._agents.workers, self._agents.gpus

    @classmethod
    def add_arguments(cls, parser: Options) -> None:
        """Declare ``--workers`` and ``--gpus-per-run``."""
        add_process_arguments(parser)

    @classmethod
    def from_options(cls, options: Namespace, sweep: Sweep) -> Self:
        """See ``Executor``."""
        return cls(sweep, options.workers, options.gpus_per_run)

    def execute(self, queue: Queue) -> list[Job]:
        """Run the jobs of a grid and return those without a result. Ctrl-C ends the agents and their runs.

        Raises:
            UserError: The server rejects the key, does not know the sweep, or cannot be reached.
        """
        jobs = list(iter(queue.take, None))
        path, group = make_sweep(self._sweep, jobs[0]), jobs[0].folder.parent
        assigned = {canonical(values): run_id for run_id, values, _ in self._assigned_trials(path)}
        begun = [job for job in jobs if canonical(job.trial.values) in assigned]
        new = [job for job in jobs if job not in begun]
        self._agents.run(path, group, len(new), lambda: new)
        for run_id, values, state in self._assigned_trials(path):
            assigned[canonical(values)] = run_id
            for job in jobs:
                if state == STOPPED and not job.finished and canonical(job.trial.values) == canonical(values):
                    (job.folder / STOP_FILE).touch()
                    begun += [job] if job not in begun else []
        self._agents.resume(path, [(job, assigned[canonical(job.trial.values)]) for job in begun])
        return [job for job in jobs if not job.finished]

    def search(self, sweep: Sweep, *, dry_run: bool, preflight: Preflight) -> int:
        """Carry out a search whose trials the server chooses; see ``search_on_server``."""
        return search_on_server(sweep, self._agents, dry_run=dry_run, preflight=preflight)

    def _assigned_trials(self, path: str) -> list[tuple[str, dict[str, Any], str]]:
        """Return the id, swept values and state of each trial that the server has assigned."""
        keys = read_yaml(self._sweep.path)["parameters"]
        runs = ask("runs", path=path)
        return [(run["id"], flatten({key: run["config"].get(key) for key in keys}), run["state"]) for run in runs]
