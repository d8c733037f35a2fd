"""Real runs that are forked from the fork server, a process that has imported everything."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from lit_cv.ablation.executors.local import LocalExecutor
from lit_cv.ablation.executors.processes import is_litcv
from lit_cv.ablation.sweep.jobs import FixedQueue, Job
from lit_cv.ablation.sweep.sweep_file import Trial
from lit_cv.runs.folder import run_folder

CONFIG = Path(__file__).parents[1] / "experiments/quickstart/ssd.yaml"
SHAPES = ("--data.root=shapes", "--data.shapes.train=16", "--data.shapes.val=8", "--data.shapes.size=96")
FEW_STEPS = ("--trainer.max_steps=4", "--trainer.val_check_interval=2", "--trainer.log_every_n_steps=1")
TWO_RANKS = ("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu")
FORKED = ["/usr/bin/env", sys.executable, "-m", "lit_cv"]
NEW = [sys.executable, "-u", "-m", "lit_cv"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def job(program, group, *args):
    words = ["fit", "--config", str(CONFIG), "--run.wandb=disabled", f"--run.group={group}", *SHAPES, *FEW_STEPS, *args]
    return Job(Trial(program, words, {}), run_folder(words), group)


def test_only_lit_cv_of_this_interpreter_is_forked(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    assert is_litcv(FORKED)
    assert is_litcv(["python", "-m", "lit_cv"])
    assert not is_litcv(NEW)
    assert not is_litcv([sys.executable, "-m", "other"])
    assert not is_litcv(["/usr/bin/env", "OMP_NUM_THREADS=4", sys.executable, "-m", "lit_cv"])
    (tmp_path / "python").symlink_to(sys.executable)
    assert not is_litcv([str(tmp_path / "python"), "-m", "lit_cv"])


@pytest.mark.long
def test_forked_run_equals_a_new_process_and_survives_the_death_of_its_server(here, capfd):
    forked, new = job(FORKED, "forked"), job(NEW, "new")

    def kill():
        wait_until(lambda: (forked.folder / "run.json").exists())
        server = parent_of(parent_of(holder_of(forked.folder / ".lock")))
        # Without a fork server, the run's grandparent is this process.
        assert "lit_cv.fork_server" in Path(f"/proc/{server}/cmdline").read_text()
        os.kill(server, signal.SIGKILL)

    with ThreadPoolExecutor() as threads:
        killed = threads.submit(kill)
        assert LocalExecutor(workers=1).execute(FixedQueue([forked, new])) == []
        killed.result()
    output = capfd.readouterr().out
    assert "forked: the process that it was forked from has ended; the run is started again" in output
    assert len((forked.folder / "log.txt").read_text().split("Trainable params")) == 3  # it was started twice
    weights = [torch.load(it.folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for it in (forked, new)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert numbers(forked.folder) == numbers(new.folder)


@pytest.mark.slow
def test_forked_run_keeps_the_temporary_folders_of_the_next_run(here):
    runs = [
        job(FORKED, group, "--run.wandb=offline") for group in ("first", "second")
    ]  # W&B keeps media in a temporary folder
    assert LocalExecutor(workers=1).execute(FixedQueue(runs)) == []
    assert all(list(run.folder.glob("wandb/offline-run-*/files/media/images/**/*.png")) for run in runs)


def numbers(folder):
    """Return the logged values of a run by step and name; later rows replace earlier ones."""
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    return {(step, name): value for step, _, name, value in rows}


@pytest.mark.long
def test_sigkill_of_one_of_two_ranks_ends_the_other(here, capfd):
    jobs = [job(FORKED, "first", *TWO_RANKS), job(FORKED, "second", *TWO_RANKS)]
    seconds = []

    def kill(group, first):
        wait_until(lambda: ranks(group))
        (second,) = ranks(group)
        first_rank = parent_of(second)
        os.kill(first_rank if first else second, signal.SIGKILL)
        start = time.monotonic()
        wait_until(lambda: not ranks(group) and not Path(f"/proc/{first_rank}").exists())
        seconds.append(time.monotonic() - start)

    with ThreadPoolExecutor() as threads:
        killed = [threads.submit(kill, "first", True), threads.submit(kill, "second", False)]
        assert LocalExecutor(workers=2).execute(FixedQueue(jobs)) == jobs
        for kill in killed:
            kill.result()
    assert max(seconds) < 60
    output = capfd.readouterr().out
    assert output.count("FAILED, killed by SIGKILL") == 2
    assert "terminated with code -9" in output  # Lightning's message about the second rank


def ranks(group):
    """Return the process ids of all ranks of a run except the first."""
    found = subprocess.run(
        ["pgrep", "-f", f"lit_cv.__main__ fit .*--run.group={group} "], capture_output=True, text=True
    )
    return [int(pid) for pid in found.stdout.split()]


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def holder_of(lock):
    """Return the id of the process that holds a lock, from the kernel's list."""
    inode = f":{lock.stat().st_ino}"
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return next(int(line[4]) for line in lines if line[5].endswith(inode))


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("lambda: 0", 0, ""),
        ("lambda: 3", 3, ""),
        ("lambda: sys.exit()", 0, ""),
        ("lambda: sys.exit(2)", 2, ""),
        ("lambda: sys.exit('no')", 1, "no\n"),
        ("lambda: 0 * len(list(f.POOL.map(str, 'ab')))", 0, ""),
        ("lambda: 1 / 0", 1, "ZeroDivisionError: division by zero\n"),
    ],
)
def test_the_process_of_a_run_ends_as_python_would_end_it(work, code, said):
    program = (
        "import atexit, sys, lit_cv.fork_server as f; from concurrent.futures import ThreadPoolExecutor\n"
        f"f.POOL = ThreadPoolExecutor(); atexit.register(print, 'bye'); f.end_process({work})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (code, "bye\n")
    assert done.stderr.endswith(said)
