"""The metric of a sweep whose runs are restored from W&B."""

import json

import pytest

from lit_cv.ablation.results.scores import choose_metric
from lit_cv.ablation.results.study import load_study
from lit_cv.cli import main
from lit_cv.runs.files import write_json
from lit_cv.tracking import restore as module
from tests.helpers.fake_project import write_run

METRIC = {"name": "val/map_50", "goal": "maximize"}


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """Replace the reader of W&B's binary logs by two runs whose checkpoints were selected by another metric."""
    monkeypatch.chdir(tmp_path)
    runs = []
    for seed in (1, 2):
        write_run(tmp_path / "source" / f"run{seed}", seed=seed)
        result = json.loads((tmp_path / "source" / f"run{seed}" / "result.json").read_text())
        result |= {"group": "study", "best": {"metric": "val/map", "mode": "max", "value": 0.2}}
        summary = {module.RESULT: json.dumps(result)}
        runs.append({"id": f"run{seed}", "group": "study", "config": {}, "summary": summary, "history": []})
    monkeypatch.setattr(module, "_read_folder", lambda folder: runs)
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


@pytest.mark.parametrize("place", ["logs", "runs/study"])
def test_the_metric_is_the_one_of_the_sweep(logs, tmp_path, place):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    write_json(tmp_path / place / "sweep.json", {"metric": METRIC})
    study = load_study([module.restore("logs")])
    assert choose_metric(study, None) == "val/map_50"
    assert choose_metric(study, "val/map") == "val/map"


def test_an_unknown_metric_is_said(logs, capsys):
    assert main(["report", "--wandb", "logs"]) == 0
    output = capsys.readouterr().out
    assert "W&B's records do not name the sweep's metric; without --metric, the checkpoints' is used." in output
    assert "| val/map " in output
