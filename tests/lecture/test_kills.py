"""A run of the lecture's sweeps that is killed at random moments and started again ends with the same records."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.lecture.records import load_record

ROOT = Path(__file__).parents[2]
IMPORTS = "import sys; from pathlib import Path; from benchmarks.lecture.__main__ import main"
CODE = f"{IMPORTS}; sys.exit(main(['run'], Path()))"
MEASURED = {"fit_seconds", "seconds_per_image", "peak_memory_gb"}  # no two runs take the same time
SWEEP = {
    "method": "grid",
    "metric": {"name": "val/map_50", "goal": "maximize"},
    "parameters": {
        "model.loss_weights.box": {"values": [1.0, 4.0]},
        "seed_everything": {"values": [1, 2, 3, 4]},
    },
    "command": [
        *["${env}", "${interpreter}", "-m", "lit_cv", "fit", "--config", "experiments/quickstart/ssd.yaml"],
        *["--trainer.max_steps=6", "--trainer.val_check_interval=6", "--trainer.log_every_n_steps=2"],
        *["--data.shapes.train=24", "--data.shapes.val=8", "--run.checkpoint_every=2", "--run.group=lecture_tiny"],
        "${args}",
    ],
}
ENTRY = {
    **{"name": "tiny", "number": 1, "page": "heads", "claim": "A larger weight is better.", "metric": "val/map_50"},
    **{"baseline": {"box": 1.0}, "expect": [{"arm": {"box": 4.0}, "is": "better"}], "paper_scale": "COCO."},
}


def make_project(folder: Path) -> Path:
    texts = {
        "sweeps/lecture/tiny.yaml": yaml.safe_dump(SWEEP),
        "benchmarks/lecture/claims.yaml": yaml.safe_dump([ENTRY]),
        "benchmarks/lecture/table.yaml": "heads: {1: Heads matter.}\n",
        "docs/lecture/heads.md": "# Heads\n",
        "docs/lecture/index.md": "# The lecture\n",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    shutil.copytree(ROOT / "experiments/quickstart", folder / "experiments/quickstart")
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen([sys.executable, "-c", CODE], cwd=folder, env=environment, stdout=log, stderr=log)


def expanded(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without its measured times, with the shared parts in the runs."""
    shared, runs = record["shared"], {}
    for name, run in record["runs"].items():
        parts = {part: {key: shared[place] for key, place in run[part].items()} for part in ("config", "result")}
        result = {key: value for key, value in parts["result"].items() if key not in MEASURED}
        curves = {key: (shared[place], values) for key, (place, values) in run["curves"].items()}
        runs[name] = {"config": parts["config"], "result": result, "curves": curves}
    cost = {key: value for key, value in record["cost"].items() if key not in ("other_work", "structures")}
    return {**{key: value for key, value in record.items() if key not in ("shared", "cost")}, "runs": runs, "of": cost}


@pytest.mark.long
def test_three_kills_change_no_record(tmp_path: Path) -> None:
    calm, storm = make_project(tmp_path / "calm"), make_project(tmp_path / "storm")
    begin = time.monotonic()
    assert start(calm).wait() == 0, (calm / "log.txt").read_text()
    whole, rng, kills = time.monotonic() - begin, random.Random(20), 0
    while kills < 3:
        process = start(storm)
        time.sleep(rng.uniform(0.15, 0.6) * whole)
        assert process.poll() is None, "it ended before it was killed"
        process.kill()
        process.wait()
        kills += 1
    assert start(storm).wait() == 0, (storm / "log.txt").read_text()
    file = "benchmarks/results/lecture/tiny.json"
    first, second = (expanded(load_record(folder / file)) for folder in (calm, storm))
    assert len(first["runs"]) == 8
    assert json.dumps(first) == json.dumps(second)
    assert len((storm / file).read_bytes()) < 150_000
