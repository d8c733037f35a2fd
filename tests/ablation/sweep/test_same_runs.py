"""A finished run is not repeated because its data, weights or loader lie or work elsewhere."""

import shutil
from pathlib import Path

import pytest
import yaml

from lit_cv.cli import main
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json
from lit_cv.training.experiment import data_fingerprint
from tests.helpers.fake_project import COMMAND

RECORDED = "9f8e7d6c"  # fingerprint of the data in the results of the fake project


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Write a sweep of two arms, with settings of the data in the experiment and in the command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(f"{name}.pth").write_text("the same weights")

    def write(*overrides, parameters=None, **data):
        data = {"class_path": "datamodules.VOCDetectionDataModule", "init_args": {"root": "a", **data}}
        Path("experiment.yaml").write_text(yaml.safe_dump({"seed_everything": 1, "data": data}))
        content = {
            "method": "grid",
            "metric": {"name": "val/map_50", "goal": "maximize"},
            "command": [*COMMAND[:-1], *overrides, "${args}"],
            "parameters": {"model.lr": {"values": [0.5, 0.25]}, **(parameters or {})},
        }
        Path("sweep.yaml").write_text(yaml.safe_dump(content))
        return Path("sweep.yaml")

    return write


def run(file, capsys, fingerprint=RECORDED, **options):
    capsys.readouterr()
    assert run_sweep(file, workers=2, preflight=lambda *_: None, fingerprint=lambda args: fingerprint, **options) == 0
    return capsys.readouterr().out


def results():
    return sorted(file.parent.name for file in Path("runs/study").glob("*/result.json"))


@pytest.mark.parametrize("in_experiment", [True, False])
def test_data_at_another_path_is_not_trained_on_again(make, capsys, in_experiment):
    run(make(), capsys)
    before = results()
    file = make(root="b") if in_experiment else make("--data.root=b")
    output = run(file, capsys)
    assert "2 runs are finished already: only the paths or the loading of their files differ." in output
    assert "= 2 runs, 2 done" in output
    assert results() == before
    planned = [entry["id"] for arm in read_json(Path("runs/study/sweep.json"))["arms"] for entry in arm["runs"]]
    assert sorted(planned) == before
    assert main(["report", "runs/study"]) == 0


def test_a_half_finished_sweep_continues_at_another_path(make, capsys):
    run(make(), capsys)
    shutil.rmtree(Path("runs/study") / results()[0])
    assert "2 runs, 1 done" in run(make("--data.root=b"), capsys)
    assert len(results()) == 2
    assert main(["report", "runs/study"]) == 0
    assert "controlled: yes" in capsys.readouterr().out


@pytest.mark.parametrize("fingerprint", ["other data", None])
def test_other_data_at_another_path_is_another_run(make, capsys, fingerprint):
    run(make(), capsys)
    with pytest.raises(UserError, match=r"differs as shown .* give the changed sweep another --run\.group"):
        run(make("--data.root=b"), capsys, fingerprint)
    assert len(results()) == 2


@pytest.mark.parametrize(
    "option",
    ["--data.num_workers=2", "--data.cache=decoded", "--data.pin_memory=true", "--model.network.weights=b.pth"],
)
def test_the_loader_and_the_file_of_equal_weights_make_no_other_run(make, capsys, option):
    weights = ["--model.network.weights=a.pth"] if "weights" in option else []
    run(make(*weights), capsys)
    before = results()
    assert "2 runs, 2 done" in run(make(option), capsys, fingerprint=None)
    assert results() == before
    if weights:
        Path("b.pth").write_text("other weights")
        assert "2 runs, 0 done" in run(make(option), capsys)


def test_swept_places_are_different_arms(make, capsys):
    file = make(parameters={"data.num_workers": {"values": [0, 1]}, "data.root": {"values": ["a", "b"]}})
    assert "8 runs, 0 done" in run(file, capsys)
    assert "8 runs, 8 done" in run(file, capsys)
    assert len(results()) == 8


def test_runs_planned_by_an_earlier_version_are_found(make, capsys):
    run(make("--data.root=a"), capsys)
    plan = Path("runs/study/sweep.json")
    plan.write_text(plan.read_text().replace('"essence"', '"unknown_key"'))
    assert "2 runs, 2 done" in run(make("--data.root=b"), capsys)


def test_the_fingerprint_of_an_experiment_belongs_to_its_data(tmp_path):
    args = ["fit", "--config", "experiments/quickstart/ssd.yaml", "--data.shapes.train=4", "--data.shapes.val=2"]

    def at(name, *more, generate):
        return data_fingerprint([*args, f"--data.root={tmp_path / name}", *more], generate=generate)

    assert at("a", generate=False) is None
    assert not (tmp_path / "a").exists()
    first = at("a", generate=True)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert first == at("b", "--data.source=local", generate=False) == at("c", "--data.num_workers=1", generate=True)
    assert first != at("d", "--data.shapes.seed=9", generate=True)
