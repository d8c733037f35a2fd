"""The W&B executor: the sweep is made on W&B's server, whose agents run its trials on this machine."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_cv import process_guard
from lit_cv.ablation.executors.local import LocalExecutor, visible_gpus
from lit_cv.ablation.executors.progress import Progress, Row
from lit_cv.ablation.sweep.changes import without_free_keys
from lit_cv.ablation.sweep.jobs import FixedQueue, Job, Queue
from lit_cv.ablation.sweep.search import SERVER_SWEEP
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.runs.files import read_json, read_tail, read_yaml, write_json
from lit_cv.runs.folder import DEFAULT_PROJECT, STOP_FILE
from lit_cv.runs.settings import canonical, flatten, merged_arguments
from lit_cv.tracking.server import ask, require_online

POLL_SECONDS = 0.2
STOPPED = "killed"  # the state of a run that W&B, by Hyperband or by hand, has stopped


class WandbExecutor:
    """Runs one `wandb agent` on each `gpus_per_run` GPUs. The server hands out the trials, with the same arguments.

    Which sweep of the server a folder belongs to stands in `<group>/wandb_sweep.json`: the same file goes on with the
    same sweep. The server hands out a trial once, so runs that were begun and died are continued here without an
    agent, as the same W&B runs of the same sweep. Those that W&B has stopped end with their result so far.

    Args:
        sweep: a grid; for a search see `search_on_server`.
        workers: agents at once; see LocalExecutor.
        gpus_per_run: GPUs that each run sees.

    Raises:
        UserError: WANDB_MODE is not online, or see LocalExecutor.
    """

    waits = True

    def __init__(self, sweep: Sweep, workers: int | None = None, gpus_per_run: int = 1) -> None:
        require_online("--executor wandb")
        self._sweep, self._local = sweep, LocalExecutor(workers, gpus_per_run)
        self.workers, self.gpus, gpus = self._local.workers, self._local.gpus, visible_gpus()
        starts = range(0, len(gpus) - gpus_per_run + 1, gpus_per_run)
        self._packs = [",".join(gpus[start : start + gpus_per_run]) for start in starts]

    def preview(self, jobs: Sequence[Job]) -> str:
        """The commands that the agents will get, one a line."""
        return self._local.preview(jobs)

    def execute(self, queue: Queue) -> list[Job]:
        """Run what the queue holds; return what has no result. Ctrl-C ends the agents with their runs.

        Raises:
            UserError: the server refuses the key, knows nothing of the sweep, or cannot be reached.
        """
        jobs = list(iter(queue.take, None))
        path, group = self.make_sweep(jobs[0]), jobs[0].folder.parent
        taken = {canonical(values): run_id for run_id, values, _ in self._values_of_runs(path)}
        begun = [job for job in jobs if canonical(job.trial.values) in taken]
        new = [job for job in jobs if job not in begun]
        self.run_agents(path, group, len(new), lambda: new)
        for run_id, values, state in self._values_of_runs(path):
            taken[canonical(values)] = run_id
            for job in jobs:
                if state == STOPPED and not job.finished and canonical(job.trial.values) == canonical(values):
                    (job.folder / STOP_FILE).touch()
                    begun += [job] if job not in begun else []
        self.go_on(path, [(job, taken[canonical(job.trial.values)]) for job in begun])
        return [job for job in jobs if not job.finished]

    def make_sweep(self, job: Job) -> str:
        """The path `entity/project/id` of the sweep on the server, made if the job's group has none of this file."""
        file, content = job.folder.parent / SERVER_SWEEP, read_yaml(self._sweep.path)
        kept = content if self._sweep.method == "grid" else without_free_keys(content)
        digest = hashlib.sha256(canonical(kept).encode()).hexdigest()
        if file.exists() and (known := read_json(file))["digest"] == digest:
            return str(known["path"])
        project = content.get("project") or os.environ.get("WANDB_PROJECT")
        project = project or merged_arguments(job.trial.args).get("run.project") or DEFAULT_PROJECT
        path = str(ask("create", config=content, project=project))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"path": path, "digest": digest})
        print(f"W&B sweep: {path}", flush=True)
        return path

    def _values_of_runs(self, path: str) -> list[tuple[str, dict[str, Any], str]]:
        """Id, swept values and state of the trials that the server has handed out."""
        keys = read_yaml(self._sweep.path)["parameters"]
        runs = ask("runs", path=path)
        return [(run["id"], flatten({key: run["config"].get(key) for key in keys}), run["state"]) for run in runs]

    def run_agents(
        self, path: str, group: Path, runs: int, known: Callable[[], Sequence[Job]], share_out: bool = False
    ) -> None:
        """Have agents run trials until the server has no more of them.

        Args:
            path: of the sweep.
            group: folder of the runs.
            runs: how many are expected.
            known: those of the jobs that are known at a moment.
            share_out: give each agent its share of the runs, because the server always has more.
        """
        if not runs:
            return
        told = set[Path]()
        shares = [runs // self.workers + (number < runs % self.workers) for number in range(min(self.workers, runs))]
        with ExitStack() as at_end, Progress(runs, self.workers) as progress:
            agents = []
            for number, share in enumerate(shares):
                limit = ["--count", str(share)] if share_out else []
                agents.append(self._start_agent([*limit, path], number, group))
                at_end.callback(_end, agents[-1])
            while any(agent.poll() is None for agent in agents):
                waiting = _report(known(), told, progress)
                progress.update(_rows(waiting))
                time.sleep(POLL_SECONDS)
            for job in _report(known(), told, progress):
                log, text = _log_of(job)
                progress.failed(job.label, f"it ended without a result.json; log: {log}", text)

    def go_on(self, path: str, begun: Sequence[tuple[Job, str]]) -> None:
        """Continue those of the jobs that have no result, each as the run of the sweep whose id stands beside it."""
        if rest := [_as_of_sweep(job, path, run_id) for job, run_id in begun if not job.finished]:
            self._local.execute(FixedQueue(rest))

    def _start_agent(self, words: Sequence[str], number: int, group: Path) -> subprocess.Popen[bytes]:
        environment: Mapping[str, str] = {
            "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // self.workers)),
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # the agent starts `python`
            "WANDB_DIR": str(group.resolve()),
            "WANDB_AGENT_DISABLE_FLAPPING": "true",  # one failure stops no other run
            "WANDB_AGENT_MAX_INITIAL_FAILURES": str(sys.maxsize),
            **({"CUDA_VISIBLE_DEVICES": self._packs[number % len(self._packs)]} if self._packs else {}),
        }
        with (group / f"agent-{number}.log").open("ab") as log:
            agent = [sys.executable, "-m", "wandb", "agent"]
            return subprocess.Popen(
                [sys.executable, process_guard.__file__, str(os.getpid()), *agent, *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )


def _as_of_sweep(job: Job, path: str, run_id: str) -> Job:
    """The job with what an agent would tell it: its W&B run and its sweep."""
    entity, project, sweep = path.split("/")
    told = {"WANDB_SWEEP_ID": sweep, "WANDB_RUN_ID": run_id, "WANDB_ENTITY": entity, "WANDB_PROJECT": project}
    program = ["/usr/bin/env", *(f"{name}={value}" for name, value in told.items()), *job.trial.program]
    return replace(job, trial=replace(job.trial, program=program))


def _end(agent: subprocess.Popen[bytes]) -> None:
    if agent.poll() is None:
        os.killpg(agent.pid, signal.SIGKILL)
        agent.wait()


def _report(jobs: Sequence[Job], told: set[Path], progress: Progress) -> list[Job]:
    """Tell of the jobs that have finished and were not told of; return those that have not finished."""
    for job in jobs:
        if job.finished and job.folder not in told:
            told.add(job.folder)
            progress.finished(job.label, read_json(job.folder / "result.json")["fit_seconds"])
    return [job for job in jobs if not job.finished]


def _rows(jobs: Sequence[Job]) -> list[Row]:
    """The runs at work; the time of their `run.json` says since when."""
    offset = time.time() - time.monotonic()
    begun = [(job, job.folder / "run.json") for job in jobs]
    return [Row(job.label, "agent", file.stat().st_mtime - offset, job.folder) for job, file in begun if file.exists()]


def _log_of(job: Job) -> tuple[Path, str]:
    """The log of the agent that ran the job, and the end of what the run wrote into it."""
    first = f"run: {job.folder}\n"
    for log in sorted(job.folder.parent.glob("agent-*.log")):
        _, found, after = log.read_text(errors="replace").rpartition(first)
        if found:
            return log, after.partition("\nrun: ")[0]
    return log, read_tail(log)
