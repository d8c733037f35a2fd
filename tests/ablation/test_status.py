import json
import sys
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.executors.slurm import SlurmExecutor, _options
from lit_cv.ablation.executors.slurm_options import Resources
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.commands.sweep import run_status, run_sweep
from lit_cv.errors import UsageError, UserError
from lit_cv.runs.files import lock
from tests.helpers.fake_project import COMMAND, PROGRAM


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Write a sweep of four runs of the fake project, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Path("experiment.yaml").write_text("seed_everything: 1\n")
    parameters = {"model.lr": {"values": [1, 2, 3, 4]}}
    file = Path("sweep.yaml")
    file.write_text(yaml.safe_dump({"method": "grid", "command": COMMAND, "parameters": parameters}))
    return file


def test_the_script_of_a_dry_run_requests_the_given_resources_and_writes_no_file(sweep, capsys):
    options = ["--nodes=2", "--gpus-per-node=4", "--cpus-per-task=8", "--time=2-00", "--partition=gpu"]
    options += ["--account=vision", "--setup=source venv/bin/activate", "--max-parallel=3", "--grace=60"]
    assert main(["sweep", str(sweep), "--dry-run", "--executor=slurm", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    asked = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")}
    assert asked == {
        "--job-name=sweep", "--array=0-3%3", "--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4",
        "--cpus-per-task=8", "--time=2-00", "--partition=gpu", "--account=vision", "--requeue",
        "--output=runs/study/slurm/%A_%a.log", "--open-mode=append", "--signal=USR1@60",
    }  # fmt: skip
    assert "source venv/bin/activate" in lines
    assert "export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}" in lines
    (task,) = [line for line in lines if line.startswith("# task 2: ")]
    assert f"{sys.executable} {PROGRAM} fit --config experiment.yaml --run.group=study --model.lr=3 --resume" in task
    assert not Path("runs").exists()


def test_a_process_without_requested_cores_uses_one_thread(sweep, capsys):
    assert main(["sweep", str(sweep), "--dry-run", "--executor=slurm"]) == 0
    assert "export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}" in capsys.readouterr().out.splitlines()


def test_a_machine_without_slurm_gets_an_error(sweep, monkeypatch):
    monkeypatch.setenv("PATH", str(sweep.parent.resolve()))
    with pytest.raises(UserError, match="sbatch: not found; --executor slurm needs a machine that can submit"):
        run_sweep(sweep, executor="slurm", preflight=lambda *_: None)


def test_options_of_another_executor_are_refused(sweep):
    message = "--workers needs --executor local or wandb; options of --executor slurm: --nodes, .*--max-parallel"
    with pytest.raises(UsageError, match=message):
        run_sweep(sweep, executor="slurm", workers=2, preflight=lambda *_: None)
    with pytest.raises(UsageError, match="--nodes needs --executor slurm; options of --executor local: --workers"):
        run_sweep(sweep, nodes=2, preflight=lambda *_: None)
    assert main(["sweep", str(sweep), "--executor=slurm", "--nodes=0"]) == 2


def test_a_run_that_wrote_nothing_can_have_failed(sweep):
    job = plan(load_sweep(sweep))[0]
    assert not job.folder.exists()
    job.record_failure("exit code 3", 3)
    assert job.failure["code"] == 3


def test_the_status_of_a_local_sweep_is_read_from_its_folders(sweep, capsys):
    jobs = plan(load_sweep(sweep))
    finished, failed, stopped, running = (job.folder for job in jobs)
    for folder in (finished, failed, stopped, running):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        (folder / "metrics.csv").write_text("step,epoch,name,value\n7,0,train/loss,0.5\n")
    (finished / "result.json").write_text("{}")
    (failed / "log.txt").write_text("Traceback ...\n\nValueError: the learning rate is cursed\n")
    jobs[1].record_failure("exit code 3", 3)
    with lock(running / ".lock", "busy"):
        assert run_status(sweep) == 0
    assert [line.split(maxsplit=2)[1:] for line in capsys.readouterr().out.splitlines()] == [
        ["4", "runs: 1 finished, 1 failed, 1 unfinished, 1 running"],
        ["lr=1", "finished"],
        ["lr=2", "failed      step 7, exit code 3, ValueError: the learning rate is cursed"],
        ["lr=3", "unfinished  step 7"],
        ["lr=4", "running     step 7"],
    ]


def test_a_sweep_without_runs_has_a_status(sweep, capsys):
    assert main(["sweep", str(sweep), "--status"]) == 0
    assert "4 runs: 4 not started" in capsys.readouterr().out


@pytest.fixture
def submitted(sweep, monkeypatch):
    """Record the second run as a task of Slurm, which is not installed on this machine."""
    jobs = plan(load_sweep(sweep))
    slurm = jobs[0].folder.parent / "slurm"
    slurm.mkdir(parents=True)
    (slurm / "jobs.json").write_text(json.dumps({"17": {"0": jobs[1].folder.name}}))
    monkeypatch.setenv("PATH", str(sweep.parent.resolve()))
    return jobs


def test_the_status_works_when_slurm_cannot_be_asked(sweep, submitted, capsys):
    assert main(["sweep", str(sweep), "--status"]) == 0
    output = capsys.readouterr()
    assert "4 runs: 3 not started, 1 unknown" in output.out
    assert "lr=2  unknown      job 17_0\n" in output.out
    assert "note: Slurm cannot be asked about the runs in runs/study/slurm/jobs.json (squeue: not found" in output.err


def test_a_local_sweep_leaves_runs_to_slurm(sweep, submitted, capsys):
    assert run_sweep(sweep, workers=2, preflight=lambda *_: None) == 0
    output = capsys.readouterr()
    assert "1 run is left to job 17 of another executor (unknown); cancel it to run them here." in output.out
    assert "4 runs, 0 done" in output.out  # a run that is left to Slurm is not done
    assert "delete this file if they will never run" in output.err
    assert "3 of 4 runs finished" in output.out
    assert not submitted[1].folder.exists()
    (submitted[0].folder.parent / "slurm" / "jobs.json").unlink()
    assert run_sweep(sweep, workers=2, preflight=lambda *_: None) == 0
    assert "4 of 4 runs finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "named"),
    [({"time": "30"}, {"time"}), ({"setup": "true"}, {"setup"}), ({"max_parallel": 2}, {"max-parallel"}), ({}, set())],
)
def test_the_options_of_a_script_can_be_compared(tmp_path, options, named):
    scripts = [SlurmExecutor("s", Resources(**own))._script(tmp_path, [0, 1]) for own in ({}, options)]
    before, now = map(_options, scripts)
    assert {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)} == named
