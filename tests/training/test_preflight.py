"""Checks of a sweep's arms before the first run."""

import itertools
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lit_cv.cli import main
from lit_cv.errors import UserError
from lit_cv.runs.settings import canonical
from lit_cv.training.arguments.arms import parsed_arms
from lit_cv.training.experiment import built, parsed
from lit_cv.training.preflight import built_task, check_trials

SSD = ["fit", "--config", "experiments/quickstart/ssd.yaml"]
FASTER = ["fit", "--config", "experiments/quickstart/faster_rcnn.yaml"]
MASKS = ["fit", "--config", "experiments/quickstart/mask_rcnn.yaml"]


def test_metrics_follow_the_heads_of_the_network() -> None:
    check_trials([MASKS], "val/mask_map_50")
    with pytest.raises(UserError, match=r"'val/oks_map' is not logged by InstanceTask; did you mean val/mask_map"):
        check_trials([MASKS], "val/oks_map")
    with pytest.raises(UserError, match="'val/mask_map' is not logged by InstanceTask"):
        check_trials([MASKS, [*MASKS, "--model.network.heads=[]"]], "val/mask_map")


def test_a_goal_against_the_direction_of_its_metric_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    check_trials([SSD], "val/map", "minimize")
    assert "val/map is best where it is highest: set `goal` to maximize" in capsys.readouterr().out
    check_trials([SSD], "val/map", "maximize")
    check_trials([SSD], "val/loss", "minimize")
    assert capsys.readouterr().out == ""


def test_metrics_follow_the_settings_of_the_task() -> None:
    captions = ["fit", "--config", "experiments/quickstart/densecap.yaml", "--model.meteor=meteor"]
    check_trials([captions], "val/ap_30_05")
    with pytest.raises(UserError, match="'val/exact_match_meteor' is not logged by CaptioningTask"):
        check_trials([captions], "val/exact_match_meteor")


def test_a_metric_of_the_test_set_is_refused() -> None:
    with pytest.raises(UserError, match="'test/map' is not logged by DetectionTask"):
        check_trials([SSD], "test/map")


def test_a_class_is_checked_if_the_data_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [*SSD, f"--data.root={tmp_path}"]
    check_trials([args], "val/ap/circle")
    with pytest.raises(UserError, match=r"'val/ap/zebra' is not logged .*; did you mean .*val/ap/"):
        check_trials([args], "val/ap/zebra")
    assert capsys.readouterr().err == ""
    check_trials([[*SSD, "--data.root=missing"]], "val/ap/zebra")
    assert capsys.readouterr().err == "note: the data is not here, so the class in val/ap/zebra cannot be checked.\n"
    with pytest.raises(
        UserError, match=r"'val/mask_ap/zebra' is not logged by DetectionTask; did you mean val/ap/<class>"
    ):
        check_trials([[*SSD, "--data.root=missing"]], "val/mask_ap/zebra")


def test_an_arm_whose_network_cannot_be_built_is_refused() -> None:
    with pytest.raises(UserError, match=r"^`fit .*anchor_ratios=\[\[2\]\]`: anchor_ratios has 1 lists"):
        check_trials([SSD, [*SSD, "--model.network.anchor_ratios=[[2]]"]], "val/map")
    with pytest.raises(UserError, match=r"loss_weights names \['fra'\]"):
        check_trials([[*SSD, "--model.loss_weights.fra=2"]], "val/map")


def test_initial_weights_that_do_not_fit_are_refused_before_the_first_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.pth"
    torch.save(built_task(parsed(SSD).fit.model).network.state_dict(), file)
    wanted = f"--model.initial_weights={file}"
    check_trials([SSD, [*SSD, wanted], [*SSD, wanted, "--model.optimizer.lr=1e-3"]], "val/map")
    said = re.escape(f"{file} has 0% of the backbone of SSD, too little to start from")
    other = [*SSD, "--model.network.backbone=squeezenet1_0", wanted]
    with pytest.raises(UserError, match=f"^`fit .*`: model.initial_weights: {said}"):
        check_trials([SSD, other], "val/map")
    check_trials([[*SSD, f"--model.initial_weights={tmp_path / 'missing.pth'}"]], "val/map")  # told with missing data
    sweep = tmp_path / "sweep.yaml"
    command = [sys.executable, "-m", "lit_cv", "${args}"]
    levels = {"model.initial_weights": {"values": ["null", str(file)]}, "seed_everything": {"value": 1}}
    content = {"name": "start", "method": "grid", "command": [*command[:-1], *other[:-1], command[-1]]}
    sweep.write_text(yaml.safe_dump({**content, "parameters": levels}))
    assert main(["sweep", str(sweep), "--dry-run", "--no-measure"]) == 0
    assert re.search(f"would be refused: `fit .*{said}", capsys.readouterr().out)


def test_a_network_is_built_as_by_a_run_but_in_a_fraction_of_the_time() -> None:
    setting = parsed(["fit", "--config", "experiments/voc/faster_rcnn_vgg16.yaml", "--model.network.weights=null"])
    start = time.perf_counter()
    task = built_task(setting.fit.model)
    fast = time.perf_counter() - start
    setting.fit.model.init_args.network.init_args.num_classes = 21
    start = time.perf_counter()
    model = built(setting).fit.model
    assert fast < 0.5 * (time.perf_counter() - start)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in task.state_dict().items()} == shapes
    assert torch.nn.Linear(2, 2).weight.abs().max() < 1  # initialized again


GRID = {
    "data.batch_size": ["8"],
    "data.shapes.train": ["9", "12"],
    "model.loss_weights.roi_box": ["1", "2.5"],
    "model.network.anchor_scales": ["[16]", "[16, 32]"],
    "model.network.backbone": ["tiny", "tiny_vgg"],
    "model.network.trainable_layers": ["null", "2"],
    "model.optimizer": ["SGD", '{"class_path": "torch.optim.Adam"}'],
    "model.optimizer.init_args.lr": ["0.1", "1e-3"],
    "trainer.max_steps": ["100"],
}


def grid(levels: dict[str, list[str]]) -> list[list[str]]:
    pairs = [[f"--{key}={value}" for value in values] for key, values in levels.items()]
    return [[*FASTER, *words] for words in itertools.product(*pairs)]


def test_arms_are_read_as_one_by_one_but_few_are_parsed_as_a_whole() -> None:
    calls: list[Sequence[str]] = []

    def parse(args: Sequence[str]) -> Any:
        calls.append(args)
        return parsed(args)

    arms = grid(GRID)
    found = list(parsed_arms(arms, parse))
    assert len(found) == len(arms) == 128
    assert len(calls) == 2  # the classes of the optimizer
    for number in range(0, len(arms), 17):
        assert canonical(found[number].as_dict()) == canonical(parsed(arms[number]).fit.as_dict())


def test_every_arm_is_checked_and_quickly() -> None:
    levels = {"model.loss_weights.roi_box": [str(n / 8) for n in range(1, 21)],
              "model.network.anchor_scales": [f"[{n}]" for n in range(8, 18)]}  # fmt: skip
    arms = grid(levels)
    check_trials(arms[:1], "val/map")
    start = time.process_time()
    check_trials(arms, "val/map")
    assert (time.process_time() - start) / len(arms) < 0.02
    for wrong in ("--model.network.anchor_scales=[0]", "--model.network.anchor_scales=16", "--model.network.anchor=1"):
        with pytest.raises(UserError, match=re.escape(f"{wrong}`: ")):
            check_trials([*arms, [*arms[-1][:-1], wrong]], "val/map")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("model.optimizer.lr", "abc", "model.optimizer.lr: expects a number, not abc"),
        ("model.loss_weights.roi_box", "x", "model.loss_weights: expects a number, not x"),
        ("model.loss_weights.roi_bix", "1", "loss_weights names"),
        ("data.batch_size", "2.5", "data.batch_size: expects an integer, not 2.5"),
        ("data.shapes.train", "many", "data.shapes.train: expects an integer, not many"),
        ("trainer.max_steps", "x", "trainer.max_steps: expects an integer, not x"),
        ("trainer.val_check_interval", "0", "trainer.val_check_interval: 0 is no interval"),
        ("model.optimizer", "torch.optim.SDG", "torch.optim has no class SDG"),
        ("model.network.neck", "pfn", "model.network.neck: expects one of"),
    ],
)
def test_a_wrong_value_after_right_ones_is_named_with_its_arm(key: str, value: str, sentence: str) -> None:
    right = {"model.optimizer": "SGD", "model.network.neck": "fpn", "trainer.val_check_interval": "50"}.get(key, "1")
    with pytest.raises(UserError, match=rf"^`fit .*--{key}={re.escape(value)}`: .*{re.escape(sentence)}"):
        check_trials([[*FASTER, f"--{key}={right}"], [*FASTER, f"--{key}={value}"]], None)
