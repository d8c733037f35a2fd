import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json
from lit_cv.runs.folder import run_id
from lit_cv.runs.settings import canonical, flatten, merged_arguments

REPOSITORY = Path(__file__).parents[3]
CREATE = "import sys, yaml, wandb\nfor file in sys.argv[1:]: wandb.sweep(yaml.safe_load(open(file)), project='lit-cv')"


def accept(trials, metric):
    """Accept all trials: a preflight without objections."""


@pytest.mark.slow
def test_every_sweep_file_is_accepted_and_means_the_same_trials(server):
    files = sorted((REPOSITORY / "sweeps").glob("*.yaml"))
    subprocess.run([sys.executable, "-c", CREATE, *map(str, files)], check=True, capture_output=True)
    subprocess.run(["wandb", "sweep", "--project", "by-hand", str(files[0])], check=True, capture_output=True)
    made = list(server.sweeps.values())
    assert len(made) == len(files) + 1
    assert made[-1].project == "by-hand"
    for file, sweep in zip([*files, files[0]], made, strict=True):
        ours = {canonical(trial.values) for trial in load_sweep(file).trials()}
        assert {canonical(flatten(values)) for values in sweep.waiting} == ours, file


@pytest.mark.slow
def test_agents_run_a_grid_as_the_local_executor_does(server, sweep_file, monkeypatch, capfd):
    file = sweep_file(die=2)
    jobs = {job.label: job for job in plan(load_sweep(file))}
    first = jobs["lr=0.5, seed 1"]
    with monkeypatch.context() as offline:
        offline.setenv("WANDB_MODE", "offline")
        subprocess.run(first.command, check=True, capture_output=True)  # finished before an agent requests it
    assert run_sweep(file, executor="wandb", workers=2, preflight=accept) == 1
    output = capfd.readouterr().out
    assert "lr=1, seed 1: finished" in output
    assert "lr=1, seed 2: FAILED, it ended without a result.json; log: runs/study/agent-" in output
    assert len(server.sweeps) == 1
    assert sorted(run.state for run in server.runs.values()) == ["finished", "finished", "running", "running"]

    assert run_sweep(file, executor="wandb", workers=2, preflight=accept) == 0
    assert len(server.sweeps) == 1
    assert len(server.runs) == 4
    assert {run.state for run in server.runs.values()} == {"finished"}
    for job in jobs.values():
        result = read_json(job.folder / "result.json")
        assert merged_arguments([a for a in result["command"] if a != "--resume"]) == merged_arguments(job.trial.args)
        run = server.runs[read_json(job.folder / "wandb.json")["id"]]
        assert (run.sweep, run.fields["groupName"], run.fields["displayName"]) == ("sweep0", "study", job.folder.name)
        steps = [row["trainer/global_step"] for row in run.history]
        assert steps == list(range(10))  # also for the run that finished earlier, and for those that died
    assert run_sweep(file, executor="wandb", workers=2, preflight=accept) == 0
    assert "4 runs, 4 done" in capfd.readouterr().out


@pytest.mark.slow
def test_hyperband_stops_a_run_through_the_agent(server, sweep_file, capfd):
    file = sweep_file(seeds=(2, 3, 1), wait=1)  # the last run waits after five steps; its score is the lowest
    content = yaml.safe_load(file.read_text())
    content["parameters"]["model.lr"] = {"value": 1.0}
    content["early_terminate"] = {"type": "hyperband", "min_iter": 3, "eta": 2}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    run_sweep(file, executor="wandb", workers=1, preflight=accept)
    assert [run.config["seed_everything"]["value"] for run in server.runs.values()] == [2, 3, 1]
    assert server.stop == {"trial2"}
    jobs = {job.trial.seed: job for job in plan(load_sweep(file))}
    assert {seed for seed, job in jobs.items() if (job.folder / "stop").exists()} == {1}


def test_whole_numbers_with_and_without_a_decimal_point_name_the_same_run():
    assert run_id(["fit", "--a.b=[1.0,2.5]", "--c=2.0"]) == run_id(["fit", "--a.b=[1,2.5]", "--c=2"])
    assert run_id(["fit", "--a=1"]) != run_id(["fit", "--a=true"])


def test_a_missing_server_or_key_gives_one_sentence(server, sweep_file, monkeypatch):
    file = sweep_file()
    with monkeypatch.context() as changed:
        changed.setenv("WANDB_MODE", "offline")
        with pytest.raises(UserError, match="--executor wandb needs W&B's server, but WANDB_MODE is offline"):
            run_sweep(file, executor="wandb", preflight=accept)
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(UserError, match=r"needs a key for W&B at http://127.0.0.1:\d+; set WANDB_API_KEY"):
        run_sweep(file, executor="wandb", preflight=accept)
