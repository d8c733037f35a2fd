import os
import subprocess

import pytest
import yaml

from tests.helpers.fake_project import COMMAND, runner_command
from tests.helpers.kill_storm import storm

RUNNER = runner_command(workers=4, retry_failed=True)


def sweep_of_12(folder):
    folder.mkdir()
    (folder / "experiment.yaml").write_text("{model: {lr: 0.1}, rank: true}\n")
    parameters = {"model.lr": {"values": [0.5, 0.25, 0.125]}, "seed_everything": {"values": [1, 2, 3, 4]}}
    content = {"method": "grid", "command": COMMAND, "parameters": parameters}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def outcome(folder):
    return {file.parent.name: file.read_bytes() for file in folder.glob("runs/study/*/result.json")}


@pytest.mark.long
def test_50_kills_of_runners_guards_runs_and_ranks_do_not_change_the_results(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    calm, stormy = sweep_of_12(tmp_path / "calm"), sweep_of_12(tmp_path / "stormy")
    subprocess.run(RUNNER, cwd=calm, check=True, env=os.environ | {"FAKE_SLEEP": "0"})
    monkeypatch.setenv("FAKE_SLEEP", "2")
    result = storm(RUNNER, stormy, kills=50, pause=0.1, seed=1)
    assert result.killed.total() == 50
    assert set(result.killed) == {0, 1, 2, 3}  # runner, guards, runs, ranks
    assert len(result.results) == 12
    assert all(len(versions) == 1 for versions in result.results.values())
    assert outcome(stormy) == outcome(calm)
    assert result.left == []
