"""Signals to real runs, also to one of two processes: they save themselves and end, and continue bit by bit."""

import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from lit_cv.cli import main
from lit_cv.runs.folder import run_folder
from lit_cv.training.signals import Signals

ROOT = Path(__file__).parents[2]
SECONDS = 30  # in which a run ends
TRIALS = int(os.environ.get("LITCV_TEST_SIGNALS", "2"))
KINDS = list(itertools.islice(itertools.cycle(itertools.product(("INT", "TERM", "HUP"), (1, 0))), 20))
PAIR = ["--trainer.devices=2", "--trainer.strategy=ddp"]
CONFIG = f"--config={ROOT / 'experiments/quickstart/ssd.yaml'}"
OPTIONS = [
    CONFIG,
    "--data.shapes.train=32",
    "--data.shapes.val=8",
    "--data.shapes.size=96",
    "--data.batch_size=4",
    "--trainer.max_steps=100000",
    "--model.scheduler=torch.optim.lr_scheduler.ConstantLR",
    "--trainer.val_check_interval=7",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
    "--run.checkpoint_every=100000",
]


class Fit:
    """A run of `litcv fit` in a process group of its own, with its output in a file."""

    def __init__(self, root: Path, *options: str, resume: bool = False) -> None:
        places = [f"--data.root={root / 'shapes'}", f"--run.root={root / 'runs'}", "--run.wandb=disabled"]
        self.args = ["fit", *OPTIONS, *places, *options]
        self.folder, self.log = run_folder(self.args), root / "log.txt"
        # The test run itself may ignore SIGHUP, under nohup.
        command = [
            "env",
            "--default-signal=HUP",
            sys.executable,
            "-m",
            "lit_cv",
            *self.args,
            *(["--resume"] if resume else []),
        ]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, process_group=0
            )

    def steps(self) -> int:
        file = self.folder / "metrics.csv"
        return file.read_text().count(",train/loss,") if file.exists() else 0

    def wait_for_steps(self, count: int) -> None:
        end = time.monotonic() + 600  # on a busy machine the imports of two processes take minutes
        while self.steps() < count:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end
            time.sleep(0.01)

    def rank(self, number: int) -> int:
        """Return the process id of a rank."""
        if number == 0:
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ranks = [int(pid) for pid in children if f"LOCAL_RANK={number}" in Path(f"/proc/{pid}/environ").read_text()]
        return ranks[0]


def handles(pid: int, number: int) -> bool:
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) & 1 << (number - 1))


def ends_within(seconds: float, pid: int) -> bool:
    end = time.monotonic() + seconds
    while (status := Path(f"/proc/{pid}/status")).exists() and "zombie" not in status.read_text():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def running(root: Path, *options: str, resume: bool = False) -> Iterator[Fit]:
    run = Fit(root, *options, resume=resume)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(TRIALS))
def test_signal_to_any_rank_ends_both_within_30_seconds_with_the_step_saved(tmp_path: Path, trial: int) -> None:
    name, rank = KINDS[trial % len(KINDS)]
    with running(tmp_path, *PAIR) as run:
        run.wait_for_steps(3 + trial)
        other = run.rank(1)
        os.kill(run.rank(rank), signal.Signals[f"SIG{name}"])
        code = run.process.wait(SECONDS)
    assert code == (-signal.Signals[f"SIG{name}"] if rank == 0 else -signal.SIGTERM), run.log.read_text()[-3000:]
    assert ends_within(5, other)
    assert (run.folder / "checkpoints/last.ckpt").exists()
    (line,) = [line for line in run.log.read_text().splitlines() if "stopped at step" in line]
    assert "which is saved; continue with: litcv fit" in line
    assert "Traceback" not in run.log.read_text()


@pytest.mark.slow
def test_interrupted_run_continues_with_the_printed_command_and_ends_like_an_undisturbed_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--trainer.max_steps=24", "--run.checkpoint_every=100", "--data.num_workers=1"]
    with running(tmp_path, *options) as run:
        run.wait_for_steps(9)
        os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does: to the loader's worker as well
        assert run.process.wait(SECONDS) == -signal.SIGINT
    (line,) = [line for line in run.log.read_text().splitlines() if "stopped at step" in line]
    assert "of 24, which is saved" in line
    litcv, *words = shlex.split(line.partition("continue with: ")[2])
    assert litcv == "litcv"
    assert main(words[:-1]) == 1
    assert f"this run was begun; continue it with `{shlex.join(['litcv', *words])}`" in capsys.readouterr().err
    assert main(words) == 0
    root = f"--run.root={tmp_path / 'undisturbed'}"
    undisturbed = [root if word.startswith("--run.root=") else word for word in words[:-1]]
    assert main(undisturbed) == 0
    folders = run.folder, run_folder(undisturbed)
    last = [torch.load(folder / "checkpoints/last.ckpt", weights_only=True) for folder in folders]
    assert last[0]["global_step"] == last[1]["global_step"] == 24
    for name, value in last[0]["state_dict"].items():
        assert torch.equal(value, last[1]["state_dict"][name]), name


@pytest.mark.slow
def test_signal_outside_the_training_ends_the_run_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        end = time.monotonic() + 600
        while not handles(run.process.pid, signal.SIGHUP):
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(run.process.pid, signal.SIGHUP)
        assert run.process.wait(SECONDS) == -signal.SIGHUP
    assert "litcv: SIGHUP: stopped; continue with: litcv fit --config" in run.log.read_text()


def test_run_under_nohup_ignores_the_end_of_its_terminal() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals().held(""):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, former)
