"""W&B agents on this machine and the sweep on W&B's server whose trials they run."""

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

from lit_cv import process_guard
from lit_cv.ablation.executors.local import LocalExecutor, slots, visible_gpus
from lit_cv.ablation.executors.progress import Progress, Row
from lit_cv.ablation.sweep.changes import without_free_keys
from lit_cv.ablation.sweep.jobs import FixedQueue, Job
from lit_cv.ablation.sweep.search import SERVER_SWEEP
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.runs.failure import excerpt
from lit_cv.runs.files import read_tail, read_yaml, write_json
from lit_cv.runs.folder import DEFAULT_PROJECT
from lit_cv.runs.records import ON_SERVER, RESULT, read_record
from lit_cv.runs.settings import canonical, merged_arguments
from lit_cv.tracking.server import ask

POLL_SECONDS = 0.2
STOPPED = "killed"  # state of a run that was stopped on the server, by Hyperband or by hand


class Agents:
    """Runs one ``wandb agent`` per ``gpus_per_run`` GPUs. The server assigns the trials, with the same arguments.

    Args:
        workers: Agents at the same time; see ``LocalExecutor``.
        gpus_per_run: GPUs that each run sees.

    Raises:
        UserError: See ``LocalExecutor``.
    """

    def __init__(self, workers: int | None, gpus_per_run: int) -> None:
        self._local = LocalExecutor(workers, gpus_per_run)
        self.workers, self.gpus = self._local.workers, self._local.gpus
        self._slots = slots(self.workers, visible_gpus(), gpus_per_run)

    def run(
        self, path: str, group: Path, runs: int, known: Callable[[], Sequence[Job]], share_out: bool = False
    ) -> None:
        """Run trials with agents until the server has no more.

        Args:
            path: The sweep's path on the server.
            group: Folder of the runs.
            runs: Expected number of runs.
            known: Returns the jobs that are known at the time of the call.
            share_out: Limit each agent to its share of the runs, because the server never runs out of trials.
        """
        if not runs:
            return
        reported = set[Path]()
        shares = [runs // self.workers + (number < runs % self.workers) for number in range(min(self.workers, runs))]
        with ExitStack() as at_end, Progress(runs, self.workers) as progress:
            agents = []
            for number, share in enumerate(shares):
                limit = ["--count", str(share)] if share_out else []
                agents.append(self._start([*limit, path], number, group))
                at_end.callback(_end, agents[-1])
            while any(agent.poll() is None for agent in agents):
                waiting = _report(known(), reported, progress)
                progress.update(_rows(waiting))
                time.sleep(POLL_SECONDS)
            for job in _report(known(), reported, progress):
                log, text = _log_of(job)
                progress.failed(job.label, f"it ended without a result.json; log: {log}", excerpt(text))

    def resume(self, path: str, begun: Sequence[tuple[Job, str]]) -> None:
        """Continue the jobs without a result, each as the W&B run of the sweep with the given id."""
        if rest := [_as_of_sweep(job, path, run_id) for job, run_id in begun if not job.finished]:
            self._local.execute(FixedQueue(rest))

    def _start(self, words: Sequence[str], number: int, group: Path) -> subprocess.Popen[bytes]:
        environment: Mapping[str, str] = {
            "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // self.workers)),
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # the agent starts `python`
            "WANDB_DIR": str(group.resolve()),
            "WANDB_AGENT_DISABLE_FLAPPING": "true",  # one failure stops no other run
            "WANDB_AGENT_MAX_INITIAL_FAILURES": str(sys.maxsize),
            **self._slots[number].environment,
        }
        with (group / f"agent-{number}.log").open("ab") as log:
            agent = [sys.executable, "-m", "wandb", "agent"]
            return subprocess.Popen(
                [sys.executable, "-P", process_guard.__file__, str(os.getpid()), *agent, *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )


def make_sweep(sweep: Sweep, job: Job) -> str:
    """Return the sweep's path ``entity/project/id`` on the server; create the sweep if the job's group has none yet."""
    file, content = job.folder.parent / SERVER_SWEEP, read_yaml(sweep.path)
    kept = content if sweep.method == "grid" else without_free_keys(content)
    digest = hashlib.sha256(canonical(kept).encode()).hexdigest()
    if file.exists() and (known := read_record(file, ON_SERVER))["digest"] == digest:
        return str(known["path"])
    project = content.get("project") or os.environ.get("WANDB_PROJECT")
    project = project or merged_arguments(job.trial.args).get("run.project") or DEFAULT_PROJECT
    path = str(ask("create", config=content, project=project))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"path": path, "digest": digest})
    print(f"W&B sweep: {path}", flush=True)
    return path


def _as_of_sweep(job: Job, path: str, run_id: str) -> Job:
    """Return the job with the variables that an agent would set: its W&B run and its sweep."""
    entity, project, sweep = path.split("/")
    variables = {"WANDB_SWEEP_ID": sweep, "WANDB_RUN_ID": run_id, "WANDB_ENTITY": entity, "WANDB_PROJECT": project}
    program = ["/usr/bin/env", *(f"{name}={value}" for name, value in variables.items()), *job.trial.program]
    return replace(job, trial=replace(job.trial, program=program))


def _end(agent: subprocess.Popen[bytes]) -> None:
    if agent.poll() is None:
        os.killpg(agent.pid, signal.SIGKILL)
        agent.wait()


def _report(jobs: Sequence[Job], reported: set[Path], progress: Progress) -> list[Job]:
    """Report newly finished jobs; return the unfinished ones."""
    for job in jobs:
        if job.finished and job.folder not in reported:
            reported.add(job.folder)
            progress.finished(job.label, read_record(job.folder / "result.json", RESULT)["fit_seconds"])
    return [job for job in jobs if not job.finished]


def _rows(jobs: Sequence[Job]) -> list[Row]:
    """Return the active runs; the time of ``run.json`` is their start time."""
    offset = time.time() - time.monotonic()
    begun = [(job, job.folder / "run.json") for job in jobs]
    return [Row(job.label, "agent", file.stat().st_mtime - offset, job.folder) for job, file in begun if file.exists()]


def _log_of(job: Job) -> tuple[Path, str]:
    """Return the log of the agent that ran the job, and the part of it that the run wrote."""
    first = f"run: {job.folder}\n"
    for log in sorted(job.folder.parent.glob("agent-*.log")):
        _, found, after = log.read_text(errors="replace").rpartition(first)
        if found:
            return log, after.partition("\nrun: ")[0]
    return log, read_tail(log)
