"""Averages, early stopping and compilation: the same after kills, on two processes, and compared by a sweep."""

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lit_cv.ablation.executors.processes import Starter
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.runs.checkpoints import AVERAGED
from tests.helpers.killed_run import run

pytestmark = pytest.mark.long
STOP = {
    "class_path": "lightning.pytorch.callbacks.EarlyStopping",
    "init_args": {"monitor": "val/ema_loss", "min_delta": 1e6, "patience": 4},
}
CALLBACKS = [{"class_path": "lit_cv.callbacks.EMA", "init_args": {"decay": 0.9}}, STOP]
OPTIONS = [
    "--config=experiments/quickstart/ssd.yaml",
    "--data.shapes.train=32",
    "--data.shapes.val=6",
    "--data.shapes.size=64",
    "--data.batch_size=4",
    "--data.num_workers=0",
    "--trainer.accelerator=cpu",
    "--trainer.val_check_interval=6",
    "--trainer.log_every_n_steps=1",
    "--run.checkpoint_every=4",
    "--run.wandb=disabled",
    "--run.group=test",
]


SETTINGS = {
    "averages": [f"--trainer.callbacks={json.dumps(CALLBACKS)}", "--trainer.max_steps=100"],
    "compiled": ["--model.compile=aot_eager", "--trainer.max_steps=14", "--trainer.callbacks=[]"],
}
if shutil.which("g++"):
    SETTINGS["inductor"] = ["--model.compile=true", "--trainer.max_steps=14", "--trainer.callbacks=[]"]


@pytest.fixture(scope="module")
def starter() -> Iterator[Starter]:
    with Starter({}) as starter:
        yield starter


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@pytest.fixture(scope="module", params=SETTINGS)
def whole(request: pytest.FixtureRequest, root: Path, starter: Starter) -> tuple[str, Path]:
    """The name of some settings, and the folder of a run that nothing disturbs."""
    place = root / request.param / "whole"
    run(starter, arguments(root, request.param, "whole"), place)
    return request.param, folder(place)


def arguments(root: Path, setting: str, name: str) -> list[str]:
    places = [f"--run.root={root / setting / name / 'runs'}", f"--data.root={root / 'shapes'}"]
    return [*OPTIONS, *SETTINGS[setting], *places]


def folder(place: Path) -> Path:
    (result,) = place.glob("runs/test/*/result.json")
    return result.parent


def values(run: Path) -> dict[tuple[str, str], float]:
    with (run / "metrics.csv").open() as file:
        return {(row["step"], row["name"]): float(row["value"]) for row in csv.DictReader(file)}


def records(*folders: Path) -> list[dict[str, Any]]:
    return [json.loads((place / "result.json").read_text()) for place in folders]


def test_killed_runs_end_bit_identical_at_the_same_step(root: Path, whole: tuple[str, Path], starter: Starter) -> None:
    setting, undisturbed = whole
    place, args = root / setting / "killed", [*arguments(root, setting, "killed"), "--resume"]

    def size() -> int:
        return sum(file.stat().st_size for file in place.glob("runs/test/*/metrics.csv"))

    for delay in (0.1, 1.0):
        assert not run(starter, args, place, partial(lambda before: size() > before, size()), delay)
    run(starter, args, place)
    killed = folder(place)
    first, second = records(undisturbed, killed)
    assert first["stopped"] == second["stopped"]
    assert first["metrics"] == second["metrics"]
    if setting == "averages":
        assert (first["stopped"]["step"], first["stopped"]["best_step"]) == (30, 6)
    states = [torch.load(path / "checkpoints/last.ckpt", weights_only=True) for path in (undisturbed, killed)]
    for part in {"state_dict", AVERAGED} & states[0].keys():
        assert all(torch.equal(value, states[1][part][name]) for name, value in states[0][part].items())


def test_two_processes_give_what_one_gives(root: Path, whole: tuple[str, Path], starter: Starter) -> None:
    setting, one = whole
    place = root / setting / "two"
    run(starter, [*arguments(root, setting, "two"), "--trainer.devices=2", "--trainer.strategy=ddp"], place)
    found, wanted = values(folder(place)), values(one)
    assert found.keys() == wanted.keys()
    assert any("ema_" in name for _, name in wanted) == (setting == "averages")
    for key, value in wanted.items():
        if "loss" in key[1]:
            assert found[key] == pytest.approx(value, rel=1e-3, abs=1e-5), key
    first, second = records(one, folder(place))
    assert (first["stopped"] or {}).get("step") == (second["stopped"] or {}).get("step")
    assert first["steps"] == second["steps"]


MIXING = {name: {"class_path": f"datamodules.augmentation.mixing.{name}"} for name in ("Mosaic", "CopyPaste")}
MIXING["Mosaic"]["init_args"] = {"size": 64, "p": 1.0}
SMALL_RCNN = {"config": "experiments/quickstart/mask_rcnn.yaml", "model.network.max_size": 64}
ARMS: dict[str, tuple[str, list[object], str, dict[str, Any]]] = {
    "ema": ("trainer.callbacks", [[], [CALLBACKS[0]]], "val/loss", {}),
    "decay of ema": (
        "trainer.callbacks", [[CALLBACKS[0]], [CALLBACKS[0] | {"init_args": {"decay": 0.1}}]], "val/ema_loss", {},
    ),
    "early stopping": (
        "trainer.callbacks", [[], [STOP | {"init_args": {"monitor": "val/loss", "min_delta": 1e6}}]], "val/loss",
        {"trainer.max_steps": 24},
    ),
    "compile": ("model.compile", [False, "aot_eager"], "val/loss", {}),
    "lr_factors": ("model.lr_factors", ["null", {"backbone.*": 0.1}], "val/loss", {}),
    "rate": ("model.optimizer.lr", [1e-4, 2e-3], "val/loss", {}),
    "min_size": ("model.network.min_size", [48, [48, 64]], "val/loss", SMALL_RCNN),
    "mosaic": ("data.mixing", [[], [MIXING["Mosaic"]]], "val/loss", SMALL_RCNN),
    "copy-paste": ("data.mixing", [[], [MIXING["CopyPaste"]]], "val/loss", SMALL_RCNN),
}  # fmt: skip
UNLIKE = ("decay of ema", "rate", "lr_factors", "min_size", "mosaic")  # whose arms differ after few steps


@pytest.mark.parametrize("name", ARMS)
def test_sweep_over_two_arms_is_controlled(
    name: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, levels, metric, more = ARMS[name]
    settings = dict(option.removeprefix("--").split("=", 1) for option in OPTIONS)
    settings |= {"trainer.max_steps": 4, "trainer.val_check_interval": 4, "run.root": tmp_path / "runs", **more}
    settings["data.root"] = root / Path(settings["config"]).stem
    options = [f"--{setting}={value}" for setting, value in settings.items()]
    file = tmp_path / "sweep.yaml"
    command = ["${env}", sys.executable, "-m", "lit_cv", "fit", *options, "${args}"]
    content = {"name": "test", "method": "grid", "metric": {"name": metric, "goal": "minimize"}, "command": command}
    parameters = {key: {"values": levels}, "seed_everything": {"values": [1]}}
    file.write_text(yaml.safe_dump({**content, "parameters": parameters}))
    assert len(list(load_sweep(file).trials())) == 2
    assert main(["sweep", str(file), "--workers", "1"]) == 0, capsys.readouterr()
    assert main(["report", str(tmp_path / "runs/test")]) == 0
    assert "controlled: yes" in capsys.readouterr().out
    folders = [file.parent for file in (tmp_path / "runs/test").glob("*/result.json")]
    losses = [record["metrics"][metric] for record in records(*folders)]
    assert len(losses) == 2
    assert name not in UNLIKE or losses[0] != losses[1]
