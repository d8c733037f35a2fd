"""The end of a sweep: the time per image is measured when all runs have ended."""

import os
import sys
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UserError
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import COMMAND, write_run

ENTRY = {"ms": {"min": 1.0, "upper": 1.1}}


def test_times_are_measured_after_the_runs_until_a_record_names_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("experiment.yaml").write_text("model: {lr: 0.1}\n")
    command = [sys.executable, "-m", "lit_cv", *COMMAND[2:]]
    parameters = {"model.lr": {"values": [0.5, 0.25]}, "seed_everything": {"value": 1}}
    content = {"method": "grid", "command": command, "parameters": parameters}
    Path("sweep.yaml").write_text(yaml.safe_dump(content))
    folders = [job.folder for job in plan(load_sweep(Path("sweep.yaml")))]
    for folder in folders:
        write_run(folder)
    group, calls = folders[0].parent, []

    def interrupted(place):
        calls.append(place)
        raise KeyboardInterrupt

    def refused(place):
        calls.append(place)
        raise UserError("the GPU is gone.")

    def measured(place):
        calls.append(place)
        write_json(place / "cost.json", {"hardware": {}, "structures": [{"runs": os.listdir(place), **ENTRY}]})

    def sweep(times, **options):
        return run_sweep(Path("sweep.yaml"), workers=1, preflight=pytest.fail, times=times, **options)

    assert sweep(interrupted) == 1
    assert "Stopped. The same command continues" in capsys.readouterr().out
    assert sweep(refused) == 0
    assert "note: the GPU is gone.\n2 of 2 runs finished" in capsys.readouterr().out
    assert sweep(refused, dry_run=True) == 0
    assert calls == [group] * 2
    assert sweep(measured) == 0
    assert sweep(pytest.fail) == 0
    parameters["seed_everything"] = {"values": [1, 2]}
    Path("sweep.yaml").write_text(yaml.safe_dump(content))
    for job in plan(load_sweep(Path("sweep.yaml"))):
        write_run(job.folder)
    assert sweep(measured) == 0
    assert calls == [group] * 4


def test_times_of_another_program_are_not_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("experiment.yaml").write_text("model: {lr: 0.1}\n")
    parameters = {"model.lr": {"values": [0.5]}, "seed_everything": {"value": 1}}
    Path("sweep.yaml").write_text(yaml.safe_dump({"method": "grid", "command": COMMAND, "parameters": parameters}))
    (job,) = plan(load_sweep(Path("sweep.yaml")))
    write_run(job.folder)
    assert run_sweep(Path("sweep.yaml"), workers=1, preflight=pytest.fail, times=pytest.fail) == 0
