"""Tests of random sweeps whose trials W&B's server chooses, run by the real agent."""

import pytest
import yaml

from lit_cv.commands.report import run_report
from lit_cv.commands.sweep import run_status, run_sweep
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json
from lit_cv.runs.settings import merged_arguments
from tests.ablation.executors.test_wandb import accept


@pytest.fixture
def random_file(sweep_file):
    """Write a random sweep in which a run with seed 2 dies after five steps."""
    file = sweep_file(die=2)
    content = yaml.safe_load(file.read_text())
    content["parameters"]["model.lr"] = {"min": 0.1, "max": 1.0}
    file.write_text(yaml.safe_dump(content | {"method": "random"}, sort_keys=False))
    return file


@pytest.mark.slow
def test_agents_run_the_trials_of_the_server_up_to_the_run_cap(server, random_file, tmp_path, capfd):
    run = {"executor": "wandb", "workers": 2, "preflight": accept}
    assert run_sweep(random_file, runs=3, dry_run=True, **run) == 0
    assert not server.sweeps
    assert run_sweep(random_file, runs=3, **run) == 1
    output = capfd.readouterr().out
    assert "random, 3 runs chosen by W&B's server, 0 done" in output
    assert "seed_everything=1: finished" in output
    assert "seed_everything=2: FAILED, it ended without a result.json; log: runs/study/agent-" in output
    assert len(server.runs) == 3

    assert run_sweep(random_file, runs=4, **run) == 0
    output = capfd.readouterr().out
    assert "FAILED" not in output
    assert "4 of 4 runs finished" in output
    assert len(server.sweeps) == 1
    assert len(server.runs) == 4
    assert {found.state for found in server.runs.values()} == {"finished"}
    group = tmp_path / "runs" / "study"
    for folder in (file.parent for file in group.glob("*/result.json")):
        values = merged_arguments(read_json(folder / "run.json")["command"])
        found = server.runs[read_json(folder / "wandb.json")["id"]]
        assert found.sweep == "sweep0"
        assert found.config["model.lr"]["value"] == values["model.lr"]
        assert [row["trainer/global_step"] for row in found.history] == list(range(10))

    assert run_status(random_file) == 0
    assert "4 runs: 4 finished" in capfd.readouterr().out
    assert run_report([group]) == 0
    assert len((group / "report" / "table.csv").read_text().splitlines()) == 1 + 4

    with pytest.raises(
        UserError, match="W&B's server chooses the trials in runs/study; continue with --executor wandb"
    ):
        run_sweep(random_file, runs=4, preflight=accept)
    content = yaml.safe_load(random_file.read_text())
    content["parameters"]["model.lr"]["max"] = 2.0
    random_file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="differs as shown from what the 4 runs in runs/study were started with"):
        run_sweep(random_file, runs=4, **run)
    assert "+  model.lr: {max: 2.0, min: 0.1}" in capfd.readouterr().err
