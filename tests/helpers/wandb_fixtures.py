import os
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers.wandb_server import WandbServer

PROGRAM = str(Path(__file__).with_name("logging_project.py"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Start a W&B server for every client in this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # left by an earlier test in this process
    monkeypatch.setenv("HOME", str(tmp_path))  # hides the user's key and settings
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with WandbServer() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def sweep_file(tmp_path, monkeypatch):
    """Return a function that writes a sweep of 2 arms × 2 seeds logging to W&B; ``settings`` go into its experiment."""
    monkeypatch.chdir(tmp_path)

    def write(seeds=(1, 2), **settings):
        Path("experiment.yaml").write_text(yaml.safe_dump({"model": {"lr": 0.1}, **settings}))
        content = {
            "method": "grid",
            "metric": {"name": "val/map_50", "goal": "maximize"},
            "command": ["${env}", "${interpreter}", PROGRAM, "fit", "--config", "experiment.yaml", "${args}"],
            "parameters": {
                "model.lr": {"values": [0.5, 1.0]},  # the server writes 1.0 as 1
                "seed_everything": {"values": [*seeds]},
                "run.group": {"value": "study"},
            },
        }
        Path("sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return Path("sweep.yaml")

    return write
