"""Two real processes (gloo) through the front door: same metrics to the digit as one, with an odd number of images."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

OPTIONS = [
    "--config=experiments/quickstart/ssd.yaml",
    "--data.source=shapes",
    "--data.shapes.train=16",
    "--data.shapes.val=7",
    "--data.batch_size=4",
    "--trainer.accelerator=cpu",
    "--trainer.max_steps=2",
    "--trainer.val_check_interval=2",
    "--run.wandb=disabled",
    "--run.group=ddp",
]


def litcv(*args: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lit_cv", *args]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


@pytest.mark.slow
def test_metrics_of_two_processes_equal_those_of_one(tmp_path: Path) -> None:
    places = [f"--run.root={tmp_path / 'runs'}", f"--data.root={tmp_path / 'shapes'}"]
    litcv("fit", *OPTIONS, *places, "--trainer.devices=2", "--trainer.strategy=ddp")
    (result,) = tmp_path.glob("runs/ddp/*/result.json")
    litcv("validate", str(result.parent), "--trainer.devices=1", "--trainer.strategy=auto")
    two = orjson.loads(result.read_bytes())
    one = orjson.loads((result.parent / "validate.json").read_bytes())
    assert two["hardware"]["devices"] == 2
    assert one.keys() == {name for name in two["metrics"] if name.startswith("val/")}
    measured = [name for name in one if "map" in name or "mar" in name or "ap/" in name]
    assert len(measured) > 10
    for name in measured:
        assert one[name] == pytest.approx(two["metrics"][name], abs=0, nan_ok=True), name
