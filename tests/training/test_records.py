"""A run's record says the truth: weights, rates, start, data and code that were really used."""

import json
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml

from lit_cv.commands.fit import fit
from lit_cv.errors import UserError
from lit_cv.runs.folder import run_folder
from lit_cv.training import provenance
from lit_cv.training.lightning_cli import LitCLI

pytestmark = pytest.mark.slow
SMALL = [
    "--config=experiments/quickstart/ssd.yaml",
    "--data.shapes.train=8",
    "--data.shapes.val=4",
    "--data.shapes.size=64",
    "--data.batch_size=4",
    "--trainer.accelerator=cpu",
    "--trainer.callbacks=null",
    "--trainer.log_every_n_steps=1",
    "--run.wandb=disabled",
]
STEPS = ["--trainer.max_steps=4", "--trainer.val_check_interval=2"]
EPOCHS = ["--trainer.max_steps=-1", "--trainer.check_val_every_n_epoch=1", "--trainer.val_check_interval=1.0"]
CONSTANT = "--model.scheduler=null"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"--data.root={tmp_path_factory.mktemp('data') / 'shapes'}"


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


class Doubled(L.Callback):
    """Replaces the weights at the end of the training, as an averaging of weights does."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        with torch.no_grad():
            for parameter in pl_module.parameters():
                parameter.mul_(1.5)


@pytest.mark.parametrize("averaged", [False, True])
def test_metrics_are_those_of_the_weights_that_are_saved(tmp_path: Path, shapes: str, averaged: bool) -> None:
    swa = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=1e-3"]
    swa += ["--trainer.callbacks.swa_epoch_start=1", *EPOCHS, "--trainer.max_epochs=3", CONSTANT]
    folder = tmp_path / "run"
    LitCLI(["fit", *SMALL, shapes, *(swa if averaged else STEPS)], folder, None, [] if averaged else [Doubled()])
    last = folder / "checkpoints/last.ckpt"
    cli = LitCLI(["validate", f"--config={folder / 'config.yaml'}", f"--ckpt_path={last}"])
    for name, value in cli.trainer.callback_metrics.items():
        assert result(folder)["metrics"][name] == pytest.approx(float(value), nan_ok=True, abs=0), name


def test_rates_that_were_used_are_recorded_and_best_is_the_tasks_metric(tmp_path: Path, shapes: str) -> None:
    added = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=train/loss"]
    added += ["--trainer.callbacks.save_last=true"]
    rates = ["--model.optimizer.lr=1e-3", "--model.scheduler=lit_cv.tasks.OneCycle"]
    folder = tmp_path / "run"
    LitCLI(["fit", *SMALL, shapes, *STEPS, *rates, *added], folder)
    used = result(folder)["optimization"]["learning_rate"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=4)
    expected = []
    for _ in range(4):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert used == {"first": pytest.approx(expected[0]), "peak": pytest.approx(max(expected))}
    assert used["first"] < used["peak"]
    assert result(folder)["best"]["metric"] == "val/map"
    own, others = folder / "checkpoints", folder / "checkpoints/ModelCheckpoint"
    assert {file.name for file in own.glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
    assert (others / "last.ckpt").exists()


def test_constant_rate_is_recorded(tmp_path: Path, shapes: str) -> None:
    LitCLI(["fit", *SMALL, shapes, *STEPS, CONSTANT, "--trainer.log_every_n_steps=0"], tmp_path / "run")
    record = result(tmp_path / "run")
    assert record["optimization"]["learning_rate"] == {"first": 2e-3, "peak": 2e-3}
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["model"]["init_args"]["scheduler"] is None
    assert (record["started_from"], record["stopped_by"], record["git"]["earlier_commits"]) == (None, None, [])


def test_run_stopped_by_early_stopping_says_so(tmp_path: Path, shapes: str) -> None:
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    stop += ["--trainer.callbacks.stopping_threshold=1e9", "--trainer.max_steps=40", "--trainer.val_check_interval=2"]
    LitCLI(["fit", *SMALL, shapes, *stop], tmp_path / "run")
    record = result(tmp_path / "run")
    assert (record["stopped_early"], record["stopped_by"], record["steps"]) == (True, "EarlyStopping", 2)


def test_resume_refuses_other_data_and_records_other_code(
    tmp_path: Path, shapes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, args = tmp_path / "run", ["fit", *SMALL, shapes, *STEPS]
    states = [{"commit": "a" * 40, "dirty": True}, {"commit": "b" * 40, "dirty": False}]
    monkeypatch.setattr(provenance, "git_state", lambda: states[0])
    LitCLI(args, folder)
    last = folder / "checkpoints/last.ckpt"
    (folder / "result.json").unlink()
    with pytest.raises(UserError, match=r"the data has changed since this run began \(fingerprint \w+, now \w+\)"):
        LitCLI(["fit", *SMALL, f"--data.root={tmp_path / 'other'}", "--data.shapes.seed=5", *STEPS], folder, last)
    monkeypatch.setattr(provenance, "git_state", lambda: states[1])
    LitCLI(args, folder, last)
    assert result(folder)["git"] == {"commit": "b" * 40, "dirty": True, "earlier_commits": ["a" * 40]}


def test_start_from_another_run_is_recorded_and_its_best_score_does_not_count(tmp_path: Path, shapes: str) -> None:
    LitCLI(["fit", *SMALL, shapes, *STEPS, "--model.scheduler.total_steps=6"], tmp_path / "first")
    last = tmp_path / "first/checkpoints/last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    (state,) = [value for key, value in checkpoint["callbacks"].items() if key.startswith("BestCheckpoint")]
    state["best_model_score"] = torch.tensor(0.99)
    state["best_k_models"] = {path: torch.tensor(0.99) for path in state["best_k_models"]}
    torch.save(checkpoint, last)
    longer = ["--trainer.max_steps=6", "--trainer.val_check_interval=2", f"--ckpt_path={last}"]
    LitCLI(["fit", *SMALL, shapes, *longer], tmp_path / "second")
    first, second = result(tmp_path / "first"), result(tmp_path / "second")
    assert second["started_from"] == {"checkpoint": str(last), "step": 4}
    assert second["best"]["value"] == pytest.approx(second["metrics"]["val/map"])
    assert second["started"] >= first["finished"]


def test_trial_of_a_few_batches_leaves_no_run(tmp_path: Path, shapes: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["fit", *SMALL, shapes, f"--run.root={tmp_path / 'runs'}", "--trainer.fast_dev_run=true"]
    for _ in range(2):
        fit(args, resume=False)
    assert not run_folder(args).parent.exists()
    assert "fast_dev_run: training and validation work; nothing is kept." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--trainer.max_steps=400", "--model.scheduler.total_steps=360"],
            r"schedule ends after 360 steps \(total_steps\), but the training takes 400",
        ),
        (
            ["--trainer.max_steps=-1", "--model.scheduler.total_steps=360", "--trainer.max_epochs=181"],
            "but the training takes 362",
        ),
        (["--model.scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau"], "ReduceLROnPlateau waits for a metric"),
        (["--trainer.accelerator=gpu"], "trainer.accelerator: PyTorch finds no GPU on this machine"),
        (["--trainer.callbacks+=LearningRateFinder"], "LearningRateFinder changes a setting that the run records"),
        (
            ["--trainer.check_val_every_n_epoch=1", "--trainer.val_check_interval=99"],
            "must be less than or equal to",
        ),
        (["--ckpt_path=none.ckpt"], "none.ckpt: there is no such file; give a checkpoint of a run"),
        (["--ckpt_path=README.md"], "README.md: is no checkpoint, or only a part of one"),
        (["--ckpt_path={weights}"], "weights.pt: holds no state of a training, only weights or other data"),
        (["--ckpt_path={other}"], r"is of another network: network\.\S+ has shape none in it and \(\S+"),
    ],
)
def test_setting_that_cannot_work_is_one_sentence_before_the_run_begins(
    tmp_path: Path, shapes: str, options: list[str], sentence: str
) -> None:
    if "gpu" in options[0] and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    torch.save({"layer": torch.zeros(1)}, tmp_path / "weights.pt")
    other = {"state_dict": {}, "pytorch-lightning_version": L.__version__, "class_names": [], "callbacks": {}}
    torch.save(other, tmp_path / "other.ckpt")
    places = {"weights": tmp_path / "weights.pt", "other": tmp_path / "other.ckpt"}
    given = [option.format(**places) for option in options]
    with pytest.raises(UserError, match=sentence):
        LitCLI(["fit", *SMALL, shapes, *given], tmp_path / "run")
    assert not (tmp_path / "run/metrics.csv").exists()
    if "max_epochs" not in options[-1]:
        assert not (tmp_path / "run/run.json").exists()
