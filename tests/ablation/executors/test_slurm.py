"""Tests of sweeps on a real Slurm cluster: two processes per run on two nodes, with preemption, requeue and loss."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml

from lit_cv.ablation.executors.slurm import SlurmExecutor
from lit_cv.ablation.executors.slurm_options import Resources
from lit_cv.ablation.executors.slurm_queue import _accounted
from lit_cv.ablation.results.study import Run
from lit_cv.ablation.sweep.jobs import FixedQueue, Job
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.sweep import run_status, run_sweep
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]
REPOSITORY = Path(__file__).parents[3]
FAKE = str(REPOSITORY / "tests" / "helpers" / "fake_project.py")
PATIENCE = float(os.environ.get("LITCV_TEST_PATIENCE", "300"))  # seconds


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"timed out waiting for {what}\n{slurm('squeue', '--states=all')}"
        time.sleep(0.1)


def submit(file: Path, **resources: object) -> int:
    return run_sweep(file, executor="slurm", preflight=lambda *_: None, **resources)


def states(file: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """Return the state and the details of each run as printed by ``--status``."""
    capsys.readouterr()
    assert run_status(file) == 0
    rows = [re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines()[1:]]
    return [(row[2], row[3] if len(row) > 3 else "") for row in rows]


def count(file: Path, capsys: pytest.CaptureFixture[str], state: str) -> int:
    return sum(found == state for found, _ in states(file, capsys))


@pytest.fixture
def fake_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Write a sweep of runs that only sleep and ignore SIGUSR1."""
    monkeypatch.chdir(tmp_path)

    def write(sleep: list[float]) -> Path:
        Path("experiment.yaml").write_text("model: {lr: 0.1}\nseed_everything: 1\n")
        program = ["/usr/bin/env", "--ignore-signal=USR1", "${interpreter}", FAKE]
        command = [*program, "fit", "--config", "experiment.yaml", "--run.group=study", "${args}"]
        content = {"name": "sleepers", "method": "grid", "command": command, "parameters": {"sleep": {"values": sleep}}}
        Path("sweep.yaml").write_text(yaml.safe_dump(content))
        return Path("sweep.yaml")

    yield write
    slurm("scancel", "--name=sleepers")


def test_runs_are_submitted_once_and_their_ends_are_reported(
    fake_sweep: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fake_sweep([0.5, 60, 61, 62, 63])
    assert submit(file, max_parallel=4, grace=1) == 0
    output = capsys.readouterr().out
    assert "5 runs submitted as job" in output
    assert "Follow them: litcv sweep sweep.yaml --status" in output
    (job,) = json.loads(Path("runs/study/slurm/jobs.json").read_text())
    wait_for(lambda: count(file, capsys, "finished") == 1 and count(file, capsys, "running") == 4, "four tasks")
    assert submit(file, max_parallel=4, grace=1) == 0
    assert "4 runs are already pending or running in Slurm." in capsys.readouterr().out
    assert submit(file, time="30", setup="true", max_parallel=3, grace=1) == 0
    output = capsys.readouterr().out
    assert "they keep the options of their submission, so --max-parallel, --setup, --time has no effect" in output
    assert run_sweep(file, workers=1, preflight=lambda *_: pytest.fail("Slurm has these runs")) == 0
    assert f"4 runs are left to job {job} of another executor (running)" in capsys.readouterr().out
    assert list(json.loads(Path("runs/study/slurm/jobs.json").read_text())) == [job]

    refused = subprocess.run([REPOSITORY / "tests/slurm/start-slurm.sh"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "a cluster with jobs runs on this machine" in refused.stderr
    assert f"{job}_1 sleepers of root, RUNNING" in refused.stderr

    slurm("scancel", f"{job}_1")
    slurm("scontrol", "update", f"JobId={job}_2", "EndTime=now+1seconds")
    wait_for(lambda: [row[0] for row in states(file, capsys)[1:3]] == ["cancelled", "timeout"], "the ends of two tasks")
    shown = states(file, capsys)
    assert shown[0] == ("finished", "")
    assert f"job {job}_1" in shown[1][1]
    assert "training with" in shown[2][1]  # the last line of its log

    wait_for(lambda: "COMPLETED" in slurm("sacct", "-X", "-n", "-j", f"{job}_0", "-o", "State"), "the accounting")
    accounted = _accounted([job])
    assert [accounted[f"{job}_{task}"].state for task in (0, 1, 2)] == ["completed", "cancelled", "timeout"]
    with monkeypatch.context() as without_accounting:
        without_accounting.setenv("PATH", "/nowhere")
        assert _accounted([job]) == {}

    # a node is lost: Slurm requeues its run
    node = re.search("on (n[12])", shown[3][1])[1]
    slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        wait_for(lambda: states(file, capsys)[3][0] == "requeued", "the requeue")
        assert "requeued once" in states(file, capsys)[3][1]
    finally:
        slurm("scontrol", "update", f"NodeName={node}", "State=RESUME")

    assert submit(file) == 0
    assert "2 runs submitted" in capsys.readouterr().out
    tasks = list(json.loads(Path("runs/study/slurm/jobs.json").read_text()).values())
    assert set(tasks[1]) == {"1", "2"}  # a run keeps its line
    assert tasks[1].items() <= tasks[0].items()


def test_the_status_says_why_the_setup_line_failed(
    fake_sweep: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = fake_sweep([0.5, 0.6])
    assert submit(file, setup="source no/such/environment") == 0
    wait_for(lambda: count(file, capsys, "failed") == 2, "the ends of both tasks")
    assert all("no/such/environment: No such file or directory" in details for _, details in states(file, capsys))


def test_errors_of_slurm_are_quoted(fake_sweep: Callable[..., Path]) -> None:
    file = fake_sweep([0.5])
    with pytest.raises(UserError, match="invalid partition specified: nowhere"):
        submit(file, partition="nowhere")
    assert not Path("runs/study/slurm/jobs.json").exists()


class OneByOne(FixedQueue):
    """Provides a job once the previous one has ended."""

    busy = False

    def take(self) -> Job | None:
        if self.busy or not (job := super().take()):
            return None
        self.busy = True
        return job

    def ended(self, job: Job) -> None:
        assert job.finished
        self.busy = False


def test_runs_that_depend_on_results_are_submitted_one_after_another(
    fake_sweep: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_cv.ablation.executors.slurm.POLL_SECONDS", 0.2)
    jobs = plan(load_sweep(fake_sweep([0.1, 0.2])))
    assert SlurmExecutor("sleepers", Resources()).execute(OneByOne(jobs)) == []
    submitted = json.loads(Path("runs/study/slurm/jobs.json").read_text())
    assert [list(runs.values()) for runs in submitted.values()] == [[job.folder.name] for job in jobs]


OPTIONS = {  # an epoch has eight steps; validations are in its middle and at its end
    "data.shapes.train": 32,
    "data.shapes.val": 8,
    "data.batch_size": 4,
    "data.num_workers": 1,
    "trainer.accelerator": "cpu",
    "trainer.max_steps": 60,
    "trainer.val_check_interval": 16,
    "trainer.log_every_n_steps": 1,
    "run.checkpoint_every": 10,
    "run.wandb": "offline",
    "run.group": "study",
}


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write a sweep of two trainings that differ only in a setting without effect."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv(
        "MASTER_PORT", "29501"
    )  # left by an earlier run on this machine; two runs cannot share this port
    settings = OPTIONS | {"run.root": tmp_path / "runs", "data.root": tmp_path / "shapes"}
    options = [f"--{key}={value}" for key, value in settings.items()]
    program = ["${env}", "${interpreter}", "-m", "lit_cv"]
    command = [*program, "fit", "--config", "experiments/quickstart/ssd.yaml", *options, "${args}"]
    parameters = {"trainer.limit_test_batches": {"values": [1.0, 0.5]}}
    content = {"name": "trainings", "method": "grid", "command": command, "parameters": parameters}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(content))
    yield file
    slurm("scancel", "--name=trainings")


def step(folder: Path) -> int:
    """Return the last logged step of a run."""
    file = folder / "metrics.csv"
    whole = file.read_text().split("\n")[:-1] if file.exists() else []
    return int(whole[-1].split(",")[0]) if len(whole) > 1 else 0


def start_here(file: Path) -> "subprocess.Popen[bytes]":
    """Train the first run of a sweep with two processes and without Slurm."""
    trial = load_sweep(file).trials()[0]
    extra = ["--trainer.devices=2", "--trainer.strategy=ddp", "--run.group=here"]
    return subprocess.Popen([sys.executable, "-m", "lit_cv", *trial.args, *extra], stdout=subprocess.DEVNULL)


def test_runs_on_two_nodes_survive_preemption_and_requeue_bit_by_bit(
    training: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preempted, requeued = folders = [job.folder for job in plan(load_sweep(training))]
    assert submit(training, nodes=2, cpus_per_task=1) == 0
    (job,) = json.loads((folders[0].parent / "slurm" / "jobs.json").read_text())
    untouched = start_here(training)

    wait_for(lambda: step(preempted) >= 20, "the run to be preempted")
    slurm("scancel", "--signal=USR1", f"{job}_0")
    wait_for(lambda: step(requeued) >= 20, "the run to be requeued")
    slurm("scontrol", "requeue", f"{job}_1")
    assert untouched.wait(timeout=PATIENCE) == 0
    wait_for(lambda: count(training, capsys, "finished") == 2, "both results")
    assert "which is saved; back in the queue" in (preempted / "log.txt").read_text()
    assert re.search("litcv: error: stopped (at|by)", (requeued / "log.txt").read_text())

    (here,) = (folders[0].parents[1] / "here").iterdir()
    expected = Run(here, read_json(here / "result.json"), 1)
    weights = torch.load(here / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for folder in (preempted, requeued):
        run = Run(folder, read_json(folder / "result.json"), 1)
        assert (run.result["hardware"]["devices"], run.result["hardware"]["nodes"]) == (2, 2)
        assert run.metrics == expected.metrics
        assert [len(run.curve(name)) for name in ("train/loss", "val/loss")] == [60, 4]
        assert run.curve("train/loss") == expected.curve("train/loss")
        found = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        assert found.keys() == weights.keys()
        assert all(torch.equal(value, found[name]) for name, value in weights.items())
        assert re.search(r"continues at step [1-9]", (folder / "log.txt").read_text())
        assert not list(folder.rglob("hpc_ckpt*"))
        starts = list((folder / "wandb").glob("offline-run-*"))
        assert len(starts) == 2
        names = {start.name.removeprefix("offline-run-").partition("-")[2] for start in starts}
        assert len(names) == 1  # two starts of one W&B run
        assert folder.name in names.pop()
