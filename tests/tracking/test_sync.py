import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.commands.sweep import run_sweep
from lit_cv.tracking.run import new_id


@pytest.mark.slow
def test_offline_runs_are_uploaded_once_with_their_ids_and_group(server, sweep_file, monkeypatch, capfd):
    file = sweep_file(die=2)
    with monkeypatch.context() as offline:
        offline.setenv("WANDB_MODE", "offline")
        assert run_sweep(file, workers=2, preflight=lambda *_: None) == 1
        assert run_sweep(file, workers=2, retry_failed=True, preflight=lambda *_: None) == 0
    # Two of the six logs belong to killed runs, whose W&B processes were killed as well.
    assert len(list(Path("runs/study").glob("*/wandb/offline-run-*"))) == 6
    capfd.readouterr()

    with monkeypatch.context() as wrong:
        wrong.setenv("WANDB_API_KEY", "f" * 40)
        assert main(["sweep", str(file), "--sync"]) == 1
    assert "does not accept the key" in capfd.readouterr().err
    assert not server.runs

    assert main(["sweep", str(file), "--sync"]) == 0
    assert "runs/study: 4 of 4 logs synced." in capfd.readouterr().out
    assert set(server.runs) == {new_id(job.folder) for job in plan(load_sweep(file))}
    for run in server.runs.values():
        assert (run.state, run.fields["groupName"], run.project) == ("finished", "study", "lit-cv")
        assert [row["trainer/global_step"] for row in run.history] == list(range(10))

    server.operations.clear()
    assert main(["sweep", str(file), "--sync"]) == 0
    assert "runs/study: W&B has everything." in capfd.readouterr().out
    assert not server.operations


@pytest.mark.slow
def test_run_finishes_when_its_server_fails_and_sync_uploads_the_rest(server, sweep_file, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "2")
    file = sweep_file(wait=1)
    job = plan(load_sweep(file))[0]
    run = subprocess.Popen(job.command, stdout=subprocess.PIPE, text=True)
    name = new_id(job.folder)
    wait_until(lambda: name in server.runs and len(server.runs[name].history) == 5)
    server.hang_up()
    Path("go").touch()
    output, _ = run.communicate(timeout=90)
    assert run.returncode == 0
    assert job.finished
    assert "W&B lacks a part of this run" in output
    assert len(server.runs[name].history) == 5

    assert main(["sweep", str(file), "--sync"]) == 1
    assert "does not answer" in capfd.readouterr().err
    server.listen()
    assert main(["sweep", str(file), "--sync"]) == 0
    assert [row["trainer/global_step"] for row in server.runs[name].history] == list(range(10))
    assert server.runs[name].state == "finished"


@pytest.mark.slow
def test_wrong_key_gives_one_sentence_before_training(server, sweep_file, monkeypatch):
    job = plan(load_sweep(sweep_file()))[0]
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    run = subprocess.run(job.command, capture_output=True, text=True)
    assert run.returncode == 1
    assert "does not accept the key" in run.stderr.splitlines()[-1]
    assert not (job.folder / "metrics.csv").exists()
    assert "Traceback" not in run.stderr
    assert sys.executable in job.command


def wait_until(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def test_a_sweep_without_a_log_is_not_called_complete(sweep_file, capsys):
    assert main(["sweep", str(sweep_file()), "--sync"]) == 0
    assert capsys.readouterr().out == "runs/study: no run has a log of W&B.\n"
