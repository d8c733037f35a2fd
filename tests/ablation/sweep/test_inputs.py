"""Missing data and weights are found before the first run."""

from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.sweep.inputs import missing_inputs
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UserError
from lit_cv.runs.sameness import essence
from tests.helpers.fake_project import COMMAND


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def write(parameters=None, **data):
        experiment = {"seed_everything": 1, "model": {"lr": 0.1}, "data": data}
        Path("experiment.yaml").write_text(yaml.safe_dump(experiment))
        parameters = {"model.lr": {"values": [1, 2]}, **(parameters or {})}
        Path("sweep.yaml").write_text(yaml.safe_dump({"method": "grid", "command": COMMAND, "parameters": parameters}))
        return Path("sweep.yaml")

    return write


VOC = {"class_path": "datamodules.VOCDetectionDataModule"}


def test_missing_data_is_said_by_a_dry_run_and_refused_before_the_first_run(make, capsys):
    file = make(**VOC, init_args={"root": "nowhere"})
    assert run_sweep(file, dry_run=True, preflight=lambda *_: None) == 0
    output = capsys.readouterr().out
    assert "missing here: data.root: there is no folder nowhere; give the folder of the data" in output
    assert "(2 of 2 runs need it, first lr=1)" in output
    with pytest.raises(UserError, match=r"data\.root: there is no folder nowhere.*no run was started"):
        run_sweep(file, preflight=lambda *_: pytest.fail("comes later"))
    assert not list(Path("runs").glob("*/*/"))
    Path("nowhere").mkdir()
    assert run_sweep(file, preflight=lambda *_: None) == 0


def test_missing_weights_are_found_in_the_arms_that_need_them(make):
    Path("here.pth").touch()
    levels = ["imagenet", "here.pth", "models/gone.pth", "null"]
    jobs = plan(load_sweep(make({"model.network.weights": {"values": levels}})))
    (text,) = missing_inputs(jobs)
    assert text.startswith(
        "model.network.weights: there is no file models/gone.pth; give an existing file (2 of 8 runs"
    )


def test_one_value_of_weights_serves_all_backbones(make, monkeypatch, tmp_path):
    monkeypatch.delenv("LITCV_TEST_DATA", raising=False)
    (tmp_path / "tf_net_imagenet.pth").touch()
    backbones = {"model.network.backbone": {"values": ["timm/tf_net", "squeezenet1_0"]}}
    file = make(
        {"model.network.weights": {"values": ["$LITCV_TEST_DATA/{backbone}_imagenet.pth", "null"]}, **backbones}
    )
    jobs = plan(load_sweep(file))
    (text,) = missing_inputs(jobs)
    assert "names the environment variable LITCV_TEST_DATA, which is not set; set it (4 of 8 runs need it" in text
    ids = [job.folder.name for job in jobs]
    monkeypatch.setenv("LITCV_TEST_DATA", str(tmp_path))
    (text,) = missing_inputs(jobs)
    assert f"there is no file {tmp_path}/squeezenet1_0_imagenet.pth; give an existing file (2 of 8 runs" in text
    assert [job.folder.name for job in plan(load_sweep(file))] == ids
    job = next(job for job in jobs if job.settings["model.network.backbone"] == "timm/tf_net")
    before = essence(job.settings)
    (tmp_path / "tf_net_imagenet.pth").write_text("other weights")
    assert (essence(job.settings) != before) == (job.settings["model.network.weights"] is not None)


def test_missing_initial_weights_are_found(make):
    Path("here.pth").touch()
    levels = ["torchvision:ssd300_vgg16", "here.pth", "gone.pth", "run:runs/gone", "null"]
    jobs = plan(load_sweep(make({"model.initial_weights": {"values": levels}})))
    file, run = missing_inputs(jobs)
    assert file.startswith("model.initial_weights: there is no file gone.pth; give the path of a state dict")
    assert run.startswith("model.initial_weights: runs/gone: there is no such folder; give the folder of a run")


@pytest.mark.parametrize(
    "data",
    [
        {**VOC, "init_args": {"root": "nowhere", "source": "shapes"}},
        {**VOC, "init_args": {"root": "nowhere", "source": "download"}},
        {"class_path": "my.Data", "init_args": {"root": "made on the fly"}},
        {},
    ],
)
def test_files_that_a_run_makes_itself_are_not_missed(make, data):
    assert missing_inputs(plan(load_sweep(make(**data)))) == []
