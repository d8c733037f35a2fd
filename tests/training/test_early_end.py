"""A run that ends early says why and when, and ends at the same step after a kill."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.training.lightning_cli import LitCLI
from tests.helpers.keep_checkpoint import KeepCheckpoint

pytestmark = pytest.mark.slow
STOP = [  # no validation is better by 1 than the first one
    "--trainer.callbacks=lightning.pytorch.callbacks.EarlyStopping",
    "--trainer.callbacks.monitor=val/loss",
    "--trainer.callbacks.min_delta=1e6",
    "--trainer.callbacks.patience=2",
]
SMALL = [
    "--config=experiments/quickstart/ssd.yaml",
    "--data.shapes.train=8",
    "--data.shapes.val=4",
    "--data.shapes.size=64",
    "--data.batch_size=4",
    "--trainer.accelerator=cpu",
    "--trainer.max_steps=40",
    "--trainer.val_check_interval=2",
    "--run.checkpoint_every=1",
    "--run.wandb=disabled",
]


def record(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def test_early_stopping_is_recorded_and_repeated_after_a_kill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, args = tmp_path / "whole", ["fit", *SMALL, f"--data.root={tmp_path / 'shapes'}", *STOP]
    LitCLI(args, whole, None, [KeepCheckpoint(step=5)])
    assert "stopped early at step 6: Monitored metric val/loss did not improve in the last 2 records." in (
        capsys.readouterr().out
    )
    first = record(whole)
    stopped = first["stopped"]
    assert stopped.pop("reason").startswith("Monitored metric val/loss did not improve in the last 2 records. Best")
    best = stopped.pop("best_value")
    assert stopped == {"by": "EarlyStopping", "step": 6, "metric": "val/loss", "best_step": 2}
    assert f"val/loss,{best!r}" in (whole / "metrics.csv").read_text()
    assert (first["stopped_early"], first["stopped_by"], first["steps"]) == (True, "EarlyStopping", 6)
    weights = torch.load(whole / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    # One kill before the last validation, and one between the training and its result.
    for name, checkpoint in (("killed", whole.with_suffix(".ckpt")), ("late", whole / "checkpoints/last.ckpt")):
        folder = tmp_path / name
        folder.mkdir()
        rows = (whole / "metrics.csv").read_text().splitlines()
        (folder / "metrics.csv").write_text("".join(f"{row}\n" for row in rows if not row.startswith("5,")))
        if name == "late":
            shutil.copy(whole / "metrics.csv", folder)
        LitCLI(args, folder, checkpoint)
        again = record(folder)
        for key in ("metrics", "steps", "stopped"):
            assert again[key] == record(whole)[key], (name, key)
        resumed = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        assert all(torch.equal(resumed[key], value) for key, value in weights.items())


def test_metric_that_never_comes_is_refused_before_the_first_step(tmp_path: Path) -> None:
    waits = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val/map50"]
    with pytest.raises(UserError, match=r"monitors 'val/map50', which DetectionTask does not log; did you mean"):
        LitCLI(["fit", *SMALL, f"--data.root={tmp_path / 'shapes'}", *waits], tmp_path / "run")
    assert not (tmp_path / "run/run.json").exists()
