"""Real training run with a stop request from its sweep."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_cv.runs.folder import run_folder

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_run_stops_after_the_next_validation_even_if_killed_before(tmp_path: Path) -> None:
    args = [
        "fit",
        f"--config={ROOT / 'experiments/quickstart/ssd.yaml'}",
        f"--data.root={tmp_path / 'shapes'}",
        "--data.shapes.train=16",
        "--data.shapes.val=4",
        "--data.batch_size=2",
        "--trainer.max_steps=5000",
        "--model.scheduler=null",
        "--trainer.val_check_interval=4",
        "--run.wandb=disabled",
        f"--run.root={tmp_path / 'runs'}",
    ]
    folder = run_folder(args)
    command = [sys.executable, "-m", "lit_cv", *args, "--resume"]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        while not (folder / "metrics.csv").exists() or "val/map_50" not in (folder / "metrics.csv").read_text():
            assert process.poll() is None, (tmp_path / "log.txt").read_text()[-2000:]
            time.sleep(0.02)
        (folder / "stop").touch()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (folder / "result.json").exists()
        assert subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, timeout=300).returncode == 0
    result = json.loads((folder / "result.json").read_text())
    assert result["stopped_early"] is True
    assert result["status"] == "finished"
    assert result["steps"] % 4 == 0
    assert result["steps"] < 100
    assert "val/map_50" in result["metrics"]
