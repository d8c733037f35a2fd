"""A run killed mid-epoch continues with exactly the next batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import Dataset

from datamodules.loading.loader import Loader
from datamodules.loading.sampling import EvalBatches, TrainBatches

SIZE, BATCH, EPOCHS = 23, 4, 3  # 5 batches an epoch
STEPS = SIZE // BATCH


class Numbers(Dataset):
    """Sample (epoch, index) is an image that holds both numbers."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.tensor(key).float(), {"image_id": torch.tensor(key[1])}


class NumbersModule(LightningDataModule):
    def __init__(self, num_workers: int) -> None:
        super().__init__()
        self.num_workers = num_workers

    def train_dataloader(self) -> Loader:
        return Loader(Numbers(), TrainBatches(SIZE, BATCH, seed=3), self.num_workers, pin_memory=False)

    def val_dataloader(self) -> Loader:
        return Loader(Numbers(), EvalBatches(6, 2), 0, pin_memory=False)


class Recorder(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.seen: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, _ = batch
        keys = [tuple(image.int().tolist()) for image in images]
        self.seen.append((self.current_epoch, batch_idx, self.global_step, keys))
        return self.layer(torch.stack(images)).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val", float(len(batch[0])), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-4, momentum=0.9)


def fit(folder: Path, num_workers: int, ckpt_path: str | None = None, **options: Any) -> Recorder:
    torch.manual_seed(0)
    module = Recorder()
    saving = options.pop("saving")
    limit = {"max_epochs": EPOCHS} if "max_steps" not in options else {"max_epochs": -1}
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[ModelCheckpoint(folder, filename="{epoch}-{step}", save_top_k=-1, **saving)],
        **limit,
        **options,
    )
    trainer.fit(module, datamodule=NumbersModule(num_workers), ckpt_path=ckpt_path)
    return module


def parameters(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


MOMENTS = {
    "mid-epoch": ({"every_n_train_steps": 2}, {}),
    "every-step": ({"every_n_train_steps": 1}, {}),
    "epoch-end": ({"every_n_epochs": 1, "save_on_train_epoch_end": True}, {}),
    "after-validation": ({"every_n_epochs": 1, "save_on_train_epoch_end": False}, {}),
    "after-validation-mid-epoch": ({"every_n_epochs": 1, "save_on_train_epoch_end": False}, {"val_check_interval": 2}),
    "max-steps": ({"every_n_train_steps": 3}, {"max_steps": EPOCHS * STEPS - 2}),
    "val-every-7-steps": (
        {"every_n_train_steps": 1},
        {"max_steps": EPOCHS * STEPS - 2, "val_check_interval": 7, "check_val_every_n_epoch": None},
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("moment", MOMENTS)
def test_resume_continues_with_the_next_batch(tmp_path: Path, moment: str, num_workers: int) -> None:
    saving, options = MOMENTS[moment]
    whole = fit(tmp_path / "whole", num_workers, saving=saving, **options)
    total = options.get("max_steps", EPOCHS * STEPS)
    assert [step for _, _, step, _ in whole.seen] == list(range(total))
    assert all(epoch == key_epoch for epoch, _, _, keys in whole.seen for key_epoch, _ in keys)

    checkpoints = sorted((tmp_path / "whole").glob("*.ckpt"), key=lambda f: int(f.stem.split("step=")[1].split("-")[0]))
    assert len(checkpoints) >= EPOCHS - 1
    picked = checkpoints if num_workers == 0 else checkpoints[1:5:3]
    for checkpoint in picked:
        done = torch.load(checkpoint, weights_only=True)["global_step"]
        resumed = fit(tmp_path / "resumed" / checkpoint.stem, num_workers, str(checkpoint), saving=saving, **options)
        assert resumed.seen == whole.seen[done:], checkpoint.name
        assert torch.equal(parameters(resumed), parameters(whole)), checkpoint.name
