"""Null, or a plain value of a group, is one sentence, for every class; a setting that may be null takes it."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace

from lit_cv.errors import UsageError
from lit_cv.training.arguments.null_values import misplaced_null
from lit_cv.training.experiment import parsed
from tests.console.console import litcv

KEYPOINTS = "experiments/quickstart/keypoint_rcnn.yaml"
EACH_TASK = ("densecap", "fcn", "keypoint_rcnn", "localization", "pose", "rcnn", "ssd", "yolo")


MAY_BE_NULL = {"dropout", "min_size", "seed", "total_steps", "trainable_layers"}


def numbers(node: Namespace) -> list[tuple[Namespace, str]]:
    """Return the settings below a node that are a number, true or false."""
    found = [(node, name) for name, value in vars(node).items() if isinstance(value, int | float)]
    inner = (value for value in vars(node).values() if isinstance(value, Namespace))
    return [*found, *(one for value in inner for one in numbers(value))]


@pytest.mark.parametrize("name", EACH_TASK)
def test_no_number_of_a_network_or_of_its_data_is_null(name: str) -> None:
    experiment = parsed(["fit", "--config", f"experiments/quickstart/{name}.yaml"]).fit
    assert misplaced_null(experiment) is None
    accepted = set()
    for node, key in [*numbers(experiment.model), *numbers(experiment.data)]:
        before, node[key] = node[key], None
        said = misplaced_null(experiment)
        assert said is None or re.search(rf"\.{key}: expects .*, not null; ", said)
        accepted |= set() if said else {key}
        node[key] = before
    assert accepted <= MAY_BE_NULL


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model.network.num_keypoints", "expects an integer, not null; leave it out for its default, 17."),
        ("model.network.heads", "expects a list, not null; leave it out for its default."),
        ("model.network.mask_head", 'expects one of fcn, mlp, not null; leave it out for its default, "fcn".'),
        ("model.network.channels_last", "expects true or false, not null; leave it out for its default, false."),
        ("model.network", "expects a class or a value of its own, not null; give it a value."),
        ("model.sigmas", "expects a list, not null; leave it out for its default."),
        ("data.batch_size", "expects an integer, not null; leave it out for its default, 8."),
        ("data.shapes.train", "expects an integer, not null"),
        ("trainer.max_steps", "expects an integer, not null"),
        ("run.wandb", "expects one of auto, online, offline, disabled, not null"),
    ],
)
def test_a_null_on_the_command_line(setting: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(["fit", "--config", KEYPOINTS, f"--{setting}=null"])
    assert str(refused.value).startswith(f"{setting}: {said}")


@pytest.mark.parametrize("setting", ["model.network.weights", "model.scheduler", "data.seed", "trainer.callbacks"])
def test_a_setting_that_may_be_null(setting: str) -> None:
    parsed(["fit", "--config", KEYPOINTS, f"--{setting}=null"])


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("data.shapes=3", "train, val, size, seed, touching"),
        ("data.split=0.2", "val, test, seed, group"),
        ("data.split=[0.2]", "val, test, seed, group"),
        ("data.split=val", "val, test, seed, group"),
    ],
)
def test_a_plain_value_of_a_group_of_settings(setting: str, names: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(["fit", "--config", KEYPOINTS, f"--{setting}"])
    group, _, value = setting.partition("=")
    first = names.partition(",")[0]
    assert str(refused.value) == (
        f"{group}: expects a group of settings ({names}), not {value}; write --{group}.{first}=VALUE."
    )


def test_a_null_of_a_file(tmp_path: Path) -> None:
    content = yaml.safe_load(Path(KEYPOINTS).read_text())
    content["model"]["init_args"]["network"]["init_args"]["num_keypoints"] = None
    (tmp_path / "keypoints.yaml").write_text(yaml.safe_dump(content))
    answer = litcv(*shlex.split(f"fit {tmp_path}/keypoints.yaml --run.root={tmp_path} --run.wandb=disabled"))
    assert answer.code == 2
    assert answer.errors == [
        "litcv: error: model.network.num_keypoints: expects an integer, not null; leave it out for its default, 17."
    ]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "keypoints.yaml"]
