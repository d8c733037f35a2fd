"""The backbone is frozen up to its step; the rest is trained."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from datamodules import Shapes, VOCDetectionDataModule
from lit_cv.callbacks import FinetuneBackbone
from lit_cv.errors import UserError
from lit_cv.models import FasterRCNN
from lit_cv.tasks import DetectionTask, WarmupMultiStepLR

AFTER, STEPS = 2, 4


def task() -> DetectionTask:
    torch.manual_seed(0)
    options = {"trainable_layers": 2, "neck": "c4", "anchor_scales": [24.0], "head_features": 16, "norm": "train"}
    return DetectionTask(
        FasterRCNN(4, backbone="resnet18", min_size=64, max_size=64, **options),  # type: ignore[arg-type]
        optimizer=lambda params: torch.optim.AdamW(params, lr=1e-3, weight_decay=0.5),
        scheduler=lambda optimizer: WarmupMultiStepLR(optimizer, 0),
    )


class Moves(L.Callback):
    """Record the values of the network that each step changes."""

    def __init__(self) -> None:
        self.moved: list[set[str]] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.before = {name: value.clone() for name, value in pl_module.network.state_dict().items()}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        state = pl_module.network.state_dict()
        self.moved.append({name for name, value in state.items() if not torch.equal(value, self.before[name])})


def fit(module: DetectionTask, folder: Path, *callbacks: L.Callback, steps: int = STEPS) -> None:
    data = VOCDetectionDataModule(str(folder), "shapes", batch_size=2, shapes=Shapes(train=8, val=2, size=64),
                                  train_sets=["2012_train"], val_sets=["2012_val"])  # fmt: skip
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(accelerator="cpu", devices=1, max_steps=steps, callbacks=list(callbacks), val_check_interval=1,
                        enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
                        limit_val_batches=1, **quiet)  # fmt: skip
    trainer.fit(module, data)


def test_the_backbone_is_trained_from_its_step_on(tmp_path: Path) -> None:
    module, moves = task(), Moves()
    never = {name for name, parameter in module.network.named_parameters() if not parameter.requires_grad}
    # a validation after every step: its end must not unfreeze anything
    fit(module, tmp_path, FinetuneBackbone(AFTER), moves)
    of_backbone = {name for name in module.network.state_dict() if name.startswith("backbone.")}
    assert len(moves.moved) == STEPS
    for moved in moves.moved[:AFTER]:
        assert moved
        assert not moved & of_backbone
    for moved in moves.moved[AFTER:]:
        assert moved & of_backbone
        assert any("running_mean" in name for name in moved)
        assert not moved & never
    assert never


def test_the_network_is_restored_after_a_short_run(tmp_path: Path) -> None:
    module = task()
    before = {name: parameter.requires_grad for name, parameter in module.network.named_parameters()}
    fit(module, tmp_path, FinetuneBackbone(10), steps=1)
    assert {name: parameter.requires_grad for name, parameter in module.network.named_parameters()} == before
    assert module.network.backbone.training


def test_unusable_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="after=-1: give the step"):
        FinetuneBackbone(-1)
    module = task()
    del module.network.backbone
    with pytest.raises(UserError, match="FasterRCNN has no backbone; remove the callback"):
        fit(module, tmp_path, FinetuneBackbone(1))
