"""Runs that are killed at random times end with exactly the weights of an uninterrupted run."""

import json
import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import orjson
import pytest
import torch

from lit_cv.ablation.executors.processes import Starter
from lit_cv.cli import main
from lit_cv.runs.folder import run_folder
from lit_cv.training.lightning_cli import LitCLI
from tests.helpers.keep_checkpoint import KeepCheckpoint
from tests.helpers.killed_run import run

KILLS = int(os.environ.get("LITCV_TEST_KILLS", "2"))
LENGTHS = {  # an epoch has 8 steps
    "epochs": [
        "--trainer.max_steps=-1",
        f"--trainer.max_epochs={2 * KILLS}",
        "--trainer.check_val_every_n_epoch=2",
        "--trainer.val_check_interval=1.0",
    ],
    "steps": [
        f"--trainer.max_steps={16 * KILLS}",
        "--trainer.val_check_interval=10",
        "--run.checkpoint_every=8",
        "--model.scheduler=lit_cv.tasks.WarmupDecayLR",
        "--model.scheduler.warmup_steps=0.1",
        '--model.lr_factors={"backbone.*": 0.3}',
        "--model.no_weight_decay=[norms, biases]",
        "--model.layer_decay=0.8",
    ],
}
MIXING = [  # of random streams, as the scale of each image
    {"class_path": "datamodules.augmentation.mixing.Mosaic", "init_args": {"size": 128}},
    {"class_path": "datamodules.augmentation.mixing.MixUp"},
]
OPTIONS = [
    "--config=experiments/quickstart/faster_rcnn.yaml",
    "--data.shapes.train=32",
    "--data.shapes.val=24",
    "--data.batch_size=4",
    "--data.num_workers=1",
    f"--data.mixing={json.dumps(MIXING)}",
    "--model.network.min_size=[96, 112, 128]",
    "--trainer.log_every_n_steps=1",
    "--run.checkpoint_every=5",
    "--run.wandb=disabled",
    "--run.group=test",
]


def arguments(root: Path, length: str) -> list[str]:
    return [*OPTIONS, *LENGTHS[length], f"--run.root={root / 'runs'}", f"--data.root={root.parent / 'shapes'}"]


@pytest.fixture(scope="module")
def starter() -> Iterator[Starter]:
    with Starter({}) as starter:
        yield starter


def csv_size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.glob("runs/test/*/metrics.csv"))


def final(root: Path) -> dict:
    (checkpoint,) = root.glob("runs/test/*/checkpoints/last.ckpt")
    return torch.load(checkpoint, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("length", LENGTHS)
def test_killed_and_resumed_runs_end_bit_identical(tmp_path: Path, length: str, starter: Starter) -> None:
    root = tmp_path / "killed"
    run(starter, arguments(tmp_path / "uninterrupted", length), tmp_path / "uninterrupted")
    rng = random.Random(0)
    for _ in range(KILLS):
        delay = rng.uniform(0.0, 1.0)  # seconds after the first step
        stepped = partial(lambda before: csv_size(root) > before, csv_size(root))
        assert not run(starter, arguments(root, length), root, stepped, delay)
    run(starter, arguments(root, length), root)

    uninterrupted, killed = final(tmp_path / "uninterrupted"), final(tmp_path / "killed")
    assert uninterrupted["global_step"] == killed["global_step"]
    for name, value in uninterrupted["state_dict"].items():
        assert torch.equal(value, killed["state_dict"][name]), name
    results = [
        orjson.loads(next(tmp_path.glob(f"{name}/runs/test/*/result.json")).read_bytes())
        for name in ("uninterrupted", "killed")
    ]
    assert results[0]["optimization"] == results[1]["optimization"]
    for name, value in results[0]["metrics"].items():
        assert results[1]["metrics"][name] == pytest.approx(value, nan_ok=True, abs=0), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "saved"),
    [
        (["--trainer.max_steps=26", "--trainer.val_check_interval=16"], 10),
        pytest.param(
            ["--trainer.max_steps=26", "--trainer.val_check_interval=1.0", "--trainer.check_val_every_n_epoch=2"],
            10,
            marks=pytest.mark.long,
        ),
        ([*LENGTHS["epochs"], "--trainer.max_epochs=4"], 16),
    ],
)
def test_run_resumes_after_a_validation_at_the_end_of_an_epoch(tmp_path: Path, length: list[str], saved: int) -> None:
    args = ["fit", "--config=experiments/quickstart/ssd.yaml", f"--data.root={tmp_path / 'shapes'}", *length]
    args += ["--data.shapes.train=32", "--data.shapes.val=4", "--data.shapes.size=96", "--data.batch_size=4"]
    args += ["--data.num_workers=0", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1"]
    args += ["--run.checkpoint_every=10", "--run.wandb=disabled"]
    LitCLI(args, tmp_path / "uninterrupted", None, [KeepCheckpoint(step=18)])
    LitCLI(args, tmp_path / "resumed", tmp_path / "uninterrupted.ckpt")
    uninterrupted, resumed = (
        (tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("uninterrupted", "resumed")
    )
    assert resumed[1].startswith(f"{saved},")
    assert resumed[1:] == uninterrupted[1 - len(resumed) :]


def test_finished_run_is_not_started_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["fit", *arguments(tmp_path / "once", "epochs")]
    finished = run_folder(args)
    finished.mkdir(parents=True)
    (finished / "result.json").write_text("{}")
    assert main([*args, "--resume"]) == 0
    assert "already finished" in capsys.readouterr().out
    assert main(args) == 1
    assert "already finished" in capsys.readouterr().err
