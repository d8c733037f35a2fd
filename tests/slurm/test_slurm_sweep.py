"""Sweeps on a real Slurm cluster: two processes a run on two nodes, and everything that can happen to them there."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.launch import run_status, run_sweep
from lit_cv.ablation.slurm_options import Resources

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]
REPOSITORY = Path(__file__).parents[2]
FAKE = str(REPOSITORY / "tests" / "ablation" / "fake_project.py")
PATIENCE = float(os.environ.get("LITCV_TEST_PATIENCE", "120"))  # seconds


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}\n{slurm('squeue', '--states=all')}"
        time.sleep(0.1)


def submit(file: Path, **resources: object) -> int:
    return run_sweep(
        file, executor="slurm", resources=Resources(**resources), preflight=lambda *_: None  # type: ignore[arg-type]
    )  # fmt: skip


def states(file: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """The state and the details of each run, as `--status` tells them."""
    capsys.readouterr()
    assert run_status(file) == 0
    rows = [re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines()[1:]]
    return [(row[2], row[3] if len(row) > 3 else "") for row in rows]


def count(file: Path, capsys: pytest.CaptureFixture[str], state: str) -> int:
    return sum(found == state for found, _ in states(file, capsys))


@pytest.fixture
def fake_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Write a sweep of runs that only sleep; SIGUSR1 does nothing to them."""
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


def test_runs_are_submitted_once_and_their_ends_are_told(
    fake_sweep: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = fake_sweep([0.5, 100, 101, 102, 103])
    assert submit(file, max_parallel=4, grace=1) == 0
    output = capsys.readouterr().out
    assert "5 runs submitted as job" in output
    assert "Follow them: litcv sweep sweep.yaml --status" in output
    (job,) = json.loads(Path("runs/study/slurm/jobs.json").read_text())
    wait_for(lambda: count(file, capsys, "finished") == 1 and count(file, capsys, "running") == 4, "four tasks")
    assert submit(file) == 0
    assert "4 runs wait or run in Slurm already" in capsys.readouterr().out
    assert list(json.loads(Path("runs/study/slurm/jobs.json").read_text())) == [job]

    slurm("scancel", f"{job}_1")
    slurm("scontrol", "update", f"JobId={job}_2", "EndTime=now+1seconds")
    wait_for(lambda: count(file, capsys, "running") == 2, "the ends of two tasks")
    told = states(file, capsys)
    assert told[0] == ("finished", "")
    assert told[1][0] == "cancelled"
    assert f"job {job}_1" in told[1][1]
    assert told[2][0] == "timeout"
    assert "DUE TO TIME LIMIT" in told[2][1]  # the last line of its log

    # a node is lost: its run goes back into the queue by itself
    node = re.search("on (n[12])", told[3][1])[1]
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


OPTIONS = {  # an epoch has eight steps; validations fall into its middle and its end
    "data.shapes.train": 32,
    "data.shapes.val": 8,
    "data.batch_size": 4,
    "trainer.accelerator": "cpu",
    "trainer.max_steps": 60,
    "trainer.val_check_interval": 16,
    "trainer.log_every_n_steps": 1,
    "run.checkpoint_every": 1000,
    "run.wandb": "offline",
    "run.group": "study",
}


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sweep of three trainings that are the same but for a switch that changes nothing."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    settings = OPTIONS | {"run.root": tmp_path / "runs", "data.root": tmp_path / "shapes"}
    options = [f"--{key}={value}" for key, value in settings.items()]
    program = ["${env}", "${interpreter}", "-m", "lit_cv"]
    command = [*program, "fit", "--config", "experiments/quickstart/ssd.yaml", *options, "${args}"]
    parameters = {"trainer.log_every_n_steps": {"values": [1, 2, 3]}}
    content = {"name": "trainings", "method": "grid", "command": command, "parameters": parameters}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(content))
    yield file
    slurm("scancel", "--name=trainings")


def step(folder: Path) -> int:
    """The last step that a run has logged."""
    file = folder / "metrics.csv"
    return int(file.read_text().splitlines()[-1].split(",")[0]) if file.exists() else 0
