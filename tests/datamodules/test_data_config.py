from pathlib import Path

import albumentations as A
import pytest
import yaml
from jsonargparse import ArgumentParser

from datamodules import Shapes, VOCDetectionDataModule

CONFIG = """
data:
  root: data
  train_sets: [2007_trainval, 2012_trainval]
  test_sets: [2007_test]
  augmentation:
  - class_path: albumentations.HorizontalFlip
    init_args: {p: 0.25}
  - class_path: datamodules.augmentation.ssd_transforms.IoUCrop
    init_args: {trials: 20}
"""


def parser() -> ArgumentParser:
    made = ArgumentParser(exit_on_error=False)
    made.add_argument("--config", action="config")
    made.add_class_arguments(VOCDetectionDataModule, "data")
    return made


@pytest.mark.filterwarnings("ignore")
def test_yaml_gives_presets_transforms_and_generated_data(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    made = parser()
    data = made.instantiate_classes(made.parse_args([f"--config={file}", "--data.shapes.size=64"])).data
    assert [type(transform).__name__ for transform in data.augmentation] == ["HorizontalFlip", "IoUCrop"]
    assert data.augmentation[0].p == 0.25
    assert isinstance(data.augmentation[1], A.DualTransform)
    assert data.augmentation[1].trials == 20
    assert data.voc.sets == {"train": ["2007_trainval", "2012_trainval"], "val": ["2012_val"], "test": ["2007_test"]}
    assert data.voc.shapes == Shapes(size=64)
    data = made.instantiate_classes(made.parse_args([f"--config={file}", "--data.augmentation=ssd"])).data
    assert data.augmentation == "ssd"


@pytest.mark.filterwarnings("ignore")
def test_a_dumped_config_gives_the_same_data() -> None:
    made = parser()
    dumped = made.dump(made.parse_args(["--data.root=data", "--data.augmentation=flip"]))
    assert yaml.safe_load(dumped)["data"]["train_sets"] == ["2012_train"]
    assert made.instantiate_classes(made.parse_string(dumped)).data.voc.sets["val"] == ["2012_val"]


@pytest.mark.parametrize(
    "option",
    ["--data.augmentation=strong", "--data.augmentation=[{class_path: albumentations.Nope}]", "--data.source=web"],
)
def test_an_unknown_choice_is_a_usage_error(option: str) -> None:
    with pytest.raises(Exception, match=r"augmentation|source"):
        parser().parse_args(["--data.root=data", option])
