"""Time the start of a run in a local sweep: forked from the fork server against a new process for each run.

    python benchmarks/sweep_start.py

Runs of about two seconds alternate between forked and new. The start time of a run is the time from leaving the queue
to its first training batch, which a callback records. The overhead of the executor per run is measured with runs that
do nothing. Prints medians and writes them to benchmarks/results/sweep_start-cpu.json.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from timing import write

from lit_cv.ablation.executors.local import LocalExecutor
from lit_cv.ablation.sweep.jobs import FixedQueue, Job
from lit_cv.ablation.sweep.sweep_file import Trial
from lit_cv.runs.folder import run_folder

CONFIG = Path(__file__).resolve().parents[1] / "experiments/quickstart/ssd.yaml"
SHORT = ("--trainer.max_steps=30", "--trainer.val_check_interval=30", "--trainer.callbacks+=sweep_start.FirstBatch")
DATA = ("--data.root=shapes", "--data.shapes.train=64", "--data.shapes.val=8", "--data.shapes.size=96")
PROGRAMS = {
    "forked": [sys.executable, "-m", "lit_cv"],
    "new": [sys.executable, "-u", "-m", "lit_cv"],  # the option -u prevents forking
}


class FirstBatch(Callback):
    """Write the time of the first training batch to the run's folder."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Write the time at the first batch only."""
        file = Path(trainer.default_root_dir) / "first_batch.txt"
        if not file.exists():
            file.write_text(repr(time.time()))


class Turns(FixedQueue):
    """Queue that records the start time and the end time of each job."""

    def __init__(self, jobs: list[Job]) -> None:
        super().__init__(jobs)
        self.taken: dict[Path, float] = {}
        self.done: dict[Path, float] = {}

    def take(self) -> Job | None:
        """Return the next job and record its start time."""
        if job := super().take():
            self.taken[job.folder] = time.time()
        return job

    def ended(self, job: Job) -> None:
        """Record the end time."""
        self.done[job.folder] = time.time()


def training(program: str, seed: int) -> Job:
    """Return the job of a short training run."""
    args = ["fit", "--config", str(CONFIG), "--run.wandb=disabled", f"--run.group={program}", *DATA, *SHORT]
    args.append(f"--seed_everything={seed}")
    return Job(Trial(PROGRAMS[program], args, {}), run_folder(args), f"{program} {seed}")


def starts(runs: int) -> dict[str, float]:
    """Return median seconds to the first batch and in total, forked and new, without the first pair (warmup)."""
    jobs = [training(program, seed) for seed in range(runs + 1) for program in PROGRAMS]
    queue = Turns(jobs)
    if LocalExecutor(workers=1).execute(queue):
        sys.exit("a run failed")
    result = {}
    for name in PROGRAMS:
        counted = [job.folder for job in jobs if job.folder.parent.name == name][1:]
        first = [float((folder / "first_batch.txt").read_text()) - queue.taken[folder] for folder in counted]
        whole = [queue.done[folder] - queue.taken[folder] for folder in counted]
        result |= {f"{name}_start_s": statistics.median(first), f"{name}_run_s": statistics.median(whole)}
    return result


def overhead(runs: int) -> float:
    """Return the seconds per run that the executor adds to commands that do nothing."""
    command, jobs = ["/bin/true"], []
    for number in range(runs):
        folder = Path("nothing") / str(number)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text("{}")
        jobs.append(Job(Trial(command, [], {}), folder, str(number)))
    start = time.perf_counter()
    for _ in jobs:
        subprocess.run(command, check=True)
    alone = time.perf_counter() - start
    LocalExecutor(workers=1).execute(FixedQueue(jobs))
    return (time.perf_counter() - start - 2 * alone) / runs


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        result: dict[str, object] = {name: round(value, 3) for name, value in starts(runs).items()}
        result["executor_overhead_s"] = round(overhead(50), 4)
    result["start_ratio"] = round(float(str(result["forked_start_s"])) / float(str(result["new_start_s"])), 3)
    machine = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version()}
    print(result)
    write("sweep_start-cpu", {**machine, "runs": runs, "load": os.getloadavg()[0], **result})


if __name__ == "__main__":
    main()
