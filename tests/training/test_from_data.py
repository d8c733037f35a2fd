"""Sizes of networks that are null in an experiment come from its data."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from datamodules.loading.packed import cache_folder
from lit_cv.cli import main
from lit_cv.errors import UserError
from lit_cv.models import FCN, DenseCap, FasterRCNN, LocalizationNet, PoseNet
from lit_cv.models.network import Network
from lit_cv.runs.files import lock
from lit_cv.training.experiment import built, parsed
from lit_cv.training.from_data import fill_size, missing_size

SIZES = {
    "densecap": ("vocabulary_size", 30),
    "fcn": ("num_classes", 4),
    "keypoint_rcnn": ("num_classes", 2),
    "localization": ("num_classes", 3),
    "mask_rcnn": ("num_classes", 5),
    "pose": ("num_joints", 14),
    "ssd": ("num_classes", 4),
}
NETWORKS = [
    (FCN, "num_classes"),
    (FasterRCNN, "num_classes"),
    (LocalizationNet, "num_classes"),
    (PoseNet, "num_joints"),
    (partial(DenseCap, backbone="tiny"), "vocabulary_size"),
]
FEW = ("--data.shapes.train=4", "--data.shapes.val=2", "--data.batch_size=2")


def options(name: str, *more: str) -> list[str]:
    return ["fit", "--config", f"experiments/quickstart/{name}.yaml", *more]


@pytest.mark.parametrize("name", SIZES)
def test_null_becomes_the_number_of_the_data(name: str, tmp_path: Path) -> None:
    experiment = parsed(options(name, f"--data.root={tmp_path / 'data'}")).fit
    argument, size = SIZES[name]
    assert missing_size(experiment.model) == argument
    fill_size(experiment)
    assert experiment.model.init_args.network.init_args[argument] == size


def test_a_given_number_stays_and_needs_no_data() -> None:
    setting = parsed(options("ssd", "--model.network.num_classes=21", "--data.source=local", "--data.root=missing"))
    assert built(setting).fit.model.network.num_classes == 21


@pytest.mark.parametrize(("network", "argument"), NETWORKS)
def test_a_network_without_its_size_is_refused(network: Callable[[None], Network], argument: str) -> None:
    with pytest.raises(UserError, match=f"{argument} is null: give a number"):
        network(None)


def test_an_experiment_is_printed_without_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*options("ssd", f"--data.root={tmp_path / 'data'}"), "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["init_args"]["network"]["init_args"]["num_classes"] is None
    assert not (tmp_path / "data").exists()


def test_missing_data_is_refused_in_one_sentence(tmp_path: Path) -> None:
    experiment = parsed(options("mask_rcnn", "--data.source=local", f"--data.root={tmp_path}")).fit
    with pytest.raises(UserError, match=r"instances_train2017.json is missing"):
        fill_size(experiment)
    experiment = parsed(options("ssd", "--data=datamodules.ImageFolderDataModule")).fit
    with pytest.raises(UserError, match="DetectionTask needs a DataModule with class_names, which ImageFolder"):
        fill_size(experiment)


def test_processes_of_a_machine_wait_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))
    experiment = parsed(options("ssd", f"--data.root={tmp_path / 'data'}", *FEW)).fit
    second = threading.Thread(target=fill_size, args=(experiment,))
    with lock(cache_folder(tmp_path) / "size.lock", "in use"):
        second.start()
        second.join(timeout=0.5)
        assert second.is_alive()
        assert not (tmp_path / "data").exists()
    second.join()
    assert experiment.model.init_args.network.init_args.num_classes == 4
