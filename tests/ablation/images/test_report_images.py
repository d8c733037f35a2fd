"""`litcv report` resamples the images of runs' predictions by itself, once, and says when it cannot."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from lit_cv.cli import main
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import write_run
from tests.predictions.guesses import evaluated, scored_again

RATE = "model.optimizer.lr"


def write_study(folder: Path) -> Path:
    """Write a study of two arms and two seeds, whose predictions are guesses with other scores in each run."""
    evaluated("detection", folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    group, arms = folder / "runs/study", []
    for number, rate in enumerate((0.1, 0.2)):
        arms.append({"values": {RATE: rate}, "runs": []})
        for seed in (1, 2):
            run = group / f"arm{number}-{seed}"
            shutil.copytree(folder / "predictions", run / "predictions")
            chance, scores = np.random.default_rng(seed), np.load(run / "predictions/val/scores.npy")
            changed = (1 - number) * scores + chance.random(len(scores), dtype=np.float32) / 2
            np.save(run / "predictions/val/scores.npy", changed)
            score = scored_again(run / "predictions/val", folder)["val/map_50"]
            write_run(run, seed=seed, config=config, score=score)
            arms[-1]["runs"].append({"seed": seed, "id": run.name})
    plan = {"name": "study", "description": "", "file": "none.yaml", "swept": [RATE], "arms": arms}
    write_json(group / "sweep.json", plan | {"metric": {"name": "val/map_50", "goal": "maximize"}})
    return group


def test_a_report_with_intervals_over_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    group = write_study(tmp_path)
    capsys.readouterr()

    def report(*options: str) -> str:
        assert main(["report", str(group), *options]) == 0
        return capsys.readouterr().out

    assert "over images" not in report("--no-images")
    assert not [*group.rglob("resamples-*")]
    first = report()
    assert "| over images [95 %] | over seeds and images [95 %] |" in first
    assert "on 2,000 resamples of the 9 validation images, the same resamples for all runs" in first
    times = {file: file.stat().st_mtime_ns for file in group.rglob("resamples-*")}
    assert len(times) == 4
    assert report("--images") == first
    assert "--images" in (group / "report/commands.txt").read_text()
    assert {file: file.stat().st_mtime_ns for file in times} == times
    np.save(group / "arm1-2/predictions/val/labels.npy", np.load(group / "arm1-2/predictions/val/labels.npy")[:-1])
    damaged = report("--images")
    assert "Over images: no intervals, because" in damaged
    assert "arm1-2/predictions/val: is damaged (labels.npy does not have" in damaged
    shutil.rmtree(group / "arm0-2/predictions")
    assert "Over images: no intervals, because study/arm0-2 has no predictions/val." in report()
