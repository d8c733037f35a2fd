"""Checks of a sweep's arms before the first run."""

import time
from pathlib import Path

import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.training.experiment import built, parsed
from lit_cv.training.preflight import built_task, check_trials, sample

SSD = ["fit", "--config", "experiments/quickstart/ssd.yaml"]
MASKS = ["fit", "--config", "experiments/quickstart/mask_rcnn.yaml"]


def test_metrics_follow_the_heads_of_the_network() -> None:
    check_trials([MASKS], "val/mask_map_50")
    with pytest.raises(UserError, match=r"'val/oks_map' is not logged by InstanceTask; did you mean val/mask_map"):
        check_trials([MASKS], "val/oks_map")
    with pytest.raises(UserError, match="'val/mask_map' is not logged by InstanceTask"):
        check_trials([MASKS, [*MASKS, "--model.network.heads=[]"]], "val/mask_map")


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


def test_a_large_sweep_is_checked_by_a_sample_that_has_every_value() -> None:
    grid = [["fit", f"--a={a}", f"--b={b}"] for a in range(20) for b in range(30)]
    chosen = sample(grid, 60)
    assert len(chosen) == len({tuple(args) for args in chosen}) == 60
    assert {word for args in chosen for word in args} == {word for args in grid for word in args}
    line = [["fit", f"--a={a}"] for a in range(1000)]
    chosen = sample(line, 100)
    assert (len(chosen), chosen[0], chosen[-1]) == (100, line[0], line[-1])
    assert sample(line[:100], 100) == line[:100]
