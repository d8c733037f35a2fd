"""The averaged weights follow their formula, are evaluated, saved and resumed, and change nothing else."""

import csv
import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lit_cv.callbacks import EMA, RegionStages
from lit_cv.cli import main
from lit_cv.errors import UserError
from lit_cv.runs.checkpoints import AVERAGED, AtomicCheckpointIO
from lit_cv.training.experiment import parsed
from lit_cv.training.lightning_cli import LitCLI
from lit_cv.training.preflight import built_task, check_metric
from tests.helpers.keep_checkpoint import KeepCheckpoint

pytestmark = pytest.mark.slow
SMALL = [
    "--config=experiments/quickstart/ssd.yaml",
    "--model.network.backbone=mobilenet_v3_small",
    "--model.network.norm=train",
    "--data.shapes.train=8",
    "--data.shapes.val=4",
    "--data.shapes.size=64",
    "--data.batch_size=4",
    "--trainer.accelerator=cpu",
    "--trainer.callbacks=null",
    "--trainer.log_every_n_steps=1",
    "--trainer.max_steps=6",
    "--trainer.val_check_interval=3",
    "--run.checkpoint_every=4",
    "--run.wandb=disabled",
]
AVERAGE = ["--trainer.callbacks+=lit_cv.callbacks.EMA", "--trainer.callbacks.decay=0.4"]


class Weights(L.Callback):
    """Keep the network's values after each step."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        self.states.append({name: value.clone() for name, value in pl_module.network.state_dict().items()})


def metrics(folder: Path) -> dict[tuple[str, str], str]:
    with (folder / "metrics.csv").open() as file:
        return {(row["step"], row["name"]): row["value"] for row in csv.DictReader(file)}


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def averaged(shapes: Path) -> tuple[Path, list[dict[str, Tensor]]]:
    """A run with an average, and its weights after each step."""
    weights, folder = Weights(), shapes / "averaged"
    args = ["fit", *SMALL, f"--data.root={shapes / 'data'}", *AVERAGE]
    LitCLI(args, folder, None, [weights, KeepCheckpoint(step=5)])
    return folder, weights.states


def test_average_is_that_of_its_formula(averaged: tuple[Path, list[dict[str, Tensor]]]) -> None:
    folder, states = averaged
    saved, average = checkpoint(folder)[AVERAGED], dict(states[0])
    for count, state in enumerate(states[1:], 1):
        decay = min(0.4, (1 + count) / (10 + count))
        for name, value in state.items():
            average[name] = decay * average[name] + (1 - decay) * value if value.is_floating_point() else value
    assert {f"network.{name}" for name in average} == saved.keys() == checkpoint(folder)["state_dict"].keys()
    assert any("running_mean" in name for name in average)
    for name, value in average.items():
        torch.testing.assert_close(saved[f"network.{name}"], value, msg=name)
    assert any(not torch.equal(saved[f"network.{name}"], value) for name, value in states[-1].items())


def test_training_does_not_change(averaged: tuple[Path, list], shapes: Path) -> None:
    LitCLI(["fit", *SMALL, f"--data.root={shapes / 'data'}"], shapes / "plain")
    found, plain = metrics(averaged[0]), metrics(shapes / "plain")
    assert {key: value for key, value in found.items() if "ema_" not in key[1]} == plain
    assert len(found) - len(plain) == len([key for key in plain if key[1].startswith("val/")])


def test_recorded_metrics_are_those_of_the_averaged_weights(
    averaged: tuple[Path, list], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = averaged[0]
    record = json.loads((folder / "result.json").read_text())
    last = f"--ckpt_path={folder / 'checkpoints/last.ckpt'}"
    assert main(["validate", str(folder), "--weights", "ema", last]) == 0
    measured = json.loads((folder / "validate_ema.json").read_text())
    recorded = {name: value for name, value in record["metrics"].items() if name.startswith("val/ema_")}
    assert {name.replace("ema_", ""): value for name, value in recorded.items()} == measured
    assert recorded.keys() <= record["metric_facts"].keys()
    assert measured["val/loss"] != record["metrics"]["val/loss"]
    assert main(["predict", str(folder), str(folder), "--weights=emma"]) == 2
    assert main(["validate", str(folder), "--weights=emma"]) == 2
    assert "--weights: invalid choice: 'emma' (choose from 'raw', 'ema')" in capsys.readouterr().err


def test_checkpoint_without_average_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"last\.ckpt: has no averaged weights; train with trainer.callbacks"):
        AtomicCheckpointIO(averaged=True).load_checkpoint(tmp_path / "last.ckpt")


def test_resumed_run_ends_with_the_same_average(averaged: tuple[Path, list], shapes: Path) -> None:
    folder, resumed = averaged[0], shapes / "resumed"
    LitCLI(["fit", *SMALL, f"--data.root={shapes / 'data'}", *AVERAGE], resumed, folder.with_suffix(".ckpt"))
    found, expected = checkpoint(resumed)[AVERAGED], checkpoint(folder)[AVERAGED]
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    rows = metrics(resumed)
    assert rows == {key: value for key, value in metrics(folder).items() if key in rows}
    assert {step for step, name in rows if name == "train/loss"} == {"5"}


def test_names_of_averaged_metrics_are_known_where_they_are_logged(shapes: Path) -> None:
    for added, known in ((AVERAGE, True), ([], False)):
        experiment = parsed(["fit", *SMALL, *added]).fit
        for metric in ("val/ema_map", "val/ema_ap/circle"):
            if known:
                check_metric(built_task(experiment.model), experiment, metric)
            else:
                with pytest.raises(UserError, match=f"metric '{metric}' is not logged by DetectionTask"):
                    check_metric(built_task(experiment.model), experiment, metric)
    waits = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/ema_map"]
    with pytest.raises(UserError, match=r"EarlyStopping monitors 'val/ema_map', which DetectionTask does not log; did"):
        LitCLI(["fit", *SMALL, f"--data.root={shapes / 'data'}", *waits], shapes / "refused")
    assert not (shapes / "refused/run.json").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"precision": "bf16-true"}, "weights of 16 bits .* set trainer.precision to bf16-mixed"),
        ({"strategy": "fsdp2", "devices": 2}, "fsdp2 divides; set trainer.strategy to ddp"),
        ({"callbacks": [RegionStages()]}, "RegionStages changes the network after the training"),
    ],
)
def test_unfit_trainings_are_refused(options: dict[str, Any], sentence: str) -> None:
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)
    with pytest.raises(UserError, match=sentence):
        EMA().on_fit_start(trainer, L.LightningModule())


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(UserError, match="decay: 1 makes no sense"):
        EMA(decay=1)
    with pytest.raises(UserError, match="every_n_steps: 0 makes no sense"):
        EMA(every_n_steps=0)
