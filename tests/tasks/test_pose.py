from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from datamodules import LSPPoseDataModule, MPIIPoseDataModule, Shapes
from lit_cv.errors import UserError
from lit_cv.metrics import PCK, PCKh
from lit_cv.models import PoseNet
from lit_cv.tasks import PoseTask

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}


def task(joints: int, lr: float = 2e-3, steps: int = 150) -> PoseTask:
    L.seed_everything(1, verbose=False)
    return PoseTask(
        PoseNet(joints, backbone="tiny", size=64, pool=4, head_features=128),
        optimizer=lambda params: torch.optim.AdamW(params, lr=lr),
        scheduler=lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps),
    )


def figures(kind: Any, root: Path, **options: object) -> Any:
    shapes = Shapes(train=16, val=7, size=64, seed=1)
    plain = {"rotation": 0.0, "scale_jitter": 0.0, "flip": 0.0}
    return kind(str(root), "shapes", **{"shapes": shapes, "crop_size": 64, "batch_size": 8, **plain, **options})


def trainer(folder: Path, **options: object) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder, accelerator="cpu", devices=1, deterministic=True, use_distributed_sampler=False,
        **{**QUIET, "enable_checkpointing": False, **options},
    )  # fmt: skip


@pytest.mark.slow
def test_a_few_stick_figures_are_memorized_and_the_checkpoint_holds_the_skeleton(tmp_path: Path) -> None:
    data = figures(MPIIPoseDataModule, tmp_path / "mpii")
    model = task(16, steps=200)
    loop = trainer(tmp_path, max_steps=200, limit_val_batches=0)
    loop.fit(model, data)
    loop.save_checkpoint(tmp_path / "last.ckpt")

    copy = task(16)
    copy.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"])
    data.val_dataloader = lambda: data._eval_loader("train")
    (measured,) = trainer(tmp_path).validate(copy, data, verbose=False)
    assert measured["val/pckh"] == measured["val/pckh_50"] > 0.95
    assert measured["val/pck_20"] > 0.95
    assert measured["val/pckh_20"] > measured["val/pckh_10"]
    assert set(measured) >= {"val/joints", "val/loss", "val/pckh_50/left_wrist", "val/pck_20/head_top"}
    assert {name for name in copy.logged_metrics() if name.startswith("val/")} == set(measured)

    copy = task(16)
    copy.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    renderer = copy.renderer(0.0)
    assert renderer.joint_names == list(data.class_names)
    assert renderer.limbs == list(data.skeleton.limbs)
    picture = np.zeros((3, 64, 64), np.uint8)
    assert renderer.draw(torch.from_numpy(picture), data.dataset(data.splits["val"], False)[(0, 0)][1]).any()


def test_logged_numbers_are_those_of_the_metrics(tmp_path: Path) -> None:
    data = figures(LSPPoseDataModule, tmp_path / "lsp")
    model = task(14)
    (measured,) = trainer(tmp_path).validate(model, data, verbose=False)
    samples = data.dataset(data.splits["val"], training=False)
    images, targets = zip(*(samples[(0, index)] for index in range(len(samples))), strict=True)
    points = torch.cat([pose["keypoints"] for pose in model.network.predict(list(images))])
    keypoints = torch.cat([target["keypoints"] for target in targets])
    for metric, size, name in ((PCKh(), "head_size", "pckh_50"), (PCK(), "torso_size", "pck_20")):
        sizes = torch.stack([target[size] for target in targets])
        metric.update(points, keypoints[..., :2], keypoints[..., 2] > 0, sizes)
        shares = metric.compute()
        assert 0 < shares[name] < 1
        assert measured[f"val/{name}"] == pytest.approx(shares[name].item())
        wrist = shares[f"{name}_per_joint"][data.class_names.index("left_wrist")].item()
        assert measured[f"val/{name}/left_wrist"] == pytest.approx(wrist)
    loss = model.network.losses(list(images), list(targets))["joints"].item()
    assert measured["val/joints"] == measured["val/loss"] == pytest.approx(loss)


@pytest.mark.slow
def test_two_runs_are_bit_identical(tmp_path: Path) -> None:
    states = []
    for _ in range(2):
        data = figures(LSPPoseDataModule, tmp_path / "lsp", rotation=30.0, scale_jitter=0.2, flip=0.5, seed=2)
        model = task(14)
        trainer(tmp_path, max_steps=5, limit_val_batches=0).fit(model, data)
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_a_network_for_other_joints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the data has 14 joints, so the network needs num_joints: 14 instead of 16"):
        trainer(tmp_path).validate(task(16), figures(LSPPoseDataModule, tmp_path / "lsp"), verbose=False)
