"""The augmentation of a sample in an epoch gives the same bytes in every loader."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from datamodules import (
    ImageFolderDataModule,
    VOCDetectionDataModule,
    VOCLocalizationDataModule,
    VOCSegmentationDataModule,
)
from datamodules.base import DataModule
from datamodules.loading.loader import Loader
from lit_cv.contract import Batch
from lit_cv.errors import UserError

Open = Callable[..., VOCDetectionDataModule]
OPTIONS = {"augmentation": "ssd", "batch_size": 4, "seed": 3}


def digest(batch: Batch) -> list[tuple[int, str]]:
    """Return (image id, hash of image and target) of each sample."""
    return [
        (
            int(target["image_id"]),
            hashlib.sha256(
                b"".join(_bytes(value) for value in (image, *(target[key] for key in sorted(target))))
            ).hexdigest()[:12],
        )
        for image, target in zip(*batch, strict=True)
    ]


def _bytes(value: Tensor) -> bytes:
    return f"{value.dtype} {tuple(value.shape)}".encode() + value.numpy().tobytes()


def epoch_of(loader: Loader, epoch: int) -> list[list[tuple[int, str]]]:
    loader.batch_sampler.set_epoch(epoch)
    return [digest(batch) for batch in loader]


def flat(batches: Iterable[list[tuple[int, str]]]) -> dict[int, str]:
    return dict(sample for batch in batches for sample in batch)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_do_not_change_a_byte(generated: Path, open_data: Open, num_workers: int) -> None:
    alone = open_data(generated, **OPTIONS).train_dataloader()
    workers = open_data(generated, num_workers=num_workers, **OPTIONS).train_dataloader()
    for epoch in (0, 1, 0):
        assert epoch_of(workers, epoch) == epoch_of(alone, epoch)


def test_epochs_and_seeds_differ(generated: Path, open_data: Open) -> None:
    loader = open_data(generated, **{**OPTIONS, "batch_size": 1}).train_dataloader()
    first, second = flat(epoch_of(loader, 0)), flat(epoch_of(loader, 1))
    other = flat(epoch_of(open_data(generated, **{**OPTIONS, "batch_size": 1, "seed": 4}).train_dataloader(), 0))
    assert set(first) == set(second) == set(other) == set(range(10))
    assert sum(first[i] == second[i] for i in first) <= 1
    assert sum(first[i] == other[i] for i in first) <= 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_loader_hands_out_the_same_bytes(generated: Path, open_data: Open, num_workers: int) -> None:
    options = {**OPTIONS, "batch_size": 2, "num_workers": num_workers}
    whole = open_data(generated, **options).train_dataloader()
    whole.batch_sampler.set_epoch(2)
    stream = iter(whole)
    for _ in range(3):
        next(stream)
    state = whole.state_dict()
    assert state == {"epoch": 2, "batch": 3}
    rest = [digest(batch) for batch in stream]
    assert len(rest) == 2
    resumed = open_data(generated, **options).train_dataloader()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert len(resumed) == 5
    assert epoch_of(resumed, 2) == rest
    assert len(epoch_of(resumed, 3)) == 5
    assert len(epoch_of(resumed, 2)) == 5


def test_loading_leaves_the_global_random_streams_alone(generated: Path, open_data: Open) -> None:
    data = open_data(generated, **OPTIONS)
    before = torch.get_rng_state()
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


class Witness(LightningModule):
    """Records the samples of its process."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.net = nn.BatchNorm2d(3)
        self.seen: dict[str, list[Any]] = {"train": [], "val": []}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seen["train"].append((self.current_epoch, batch_idx, digest(batch)))
        return self.net(torch.stack([image[:, :8, :8].float() for image in batch[0]])).mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen["val"].append((self.current_epoch, batch_idx, digest(batch)))
        self.log("val", self.net(batch[0][0][None].float()).mean(), sync_dist=True, batch_size=len(batch[0]))

    def on_train_end(self) -> None:
        torch.save(self.seen, self.folder / f"{self.global_rank}.pt")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def witness(root: Path, folder: Path, devices: int) -> list[dict[str, list[Any]]]:
    folder.mkdir()
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp_fork" if devices > 1 else "auto",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(Witness(folder), datamodule=VOCDetectionDataModule(str(root), **OPTIONS))
    return [torch.load(folder / f"{rank}.pt") for rank in range(devices)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_processes_share_the_global_batches_of_one(generated: Path, tmp_path: Path) -> None:
    (alone,) = witness(generated, tmp_path / "one", 1)
    ranks = witness(generated, tmp_path / "two", 2)
    assert len(alone["train"]) == 4
    joined = [(*a[:2], a[2] + b[2]) for a, b in zip(*(rank["train"] for rank in ranks), strict=True)]
    assert joined == alone["train"]
    for epoch in range(2):
        shards = [[sample for e, _, samples in rank["val"] if e == epoch for sample in samples] for rank in ranks]
        assert [len(shard) for shard in shards] == [4, 1]  # five images: whole batches, no padding
        assert sorted(shards[0] + shards[1]) == sorted(
            s for e, _, samples in alone["val"] if e == epoch for s in samples
        )


@pytest.mark.parametrize("kind", [VOCDetectionDataModule, VOCLocalizationDataModule, VOCSegmentationDataModule])
def test_an_index_alone_is_that_of_epoch_0(generated: Path, kind: type[DataModule[Any]]) -> None:
    data = kind(str(generated), augmentation="flip", seed=1)
    data.prepare_data()
    data.setup()
    dataset = data.train_dataloader().dataset
    image, target = dataset[3]
    again, same = dataset[0, 3]
    assert torch.equal(image, again)
    assert target["image_id"] == same["image_id"] == 3
    assert len([sample for sample in dataset]) == len(dataset) == 10  # noqa: C416  (by index until IndexError)
    for outside in (10, -1, (0, 10)):
        with pytest.raises(IndexError, match="not within the 10 samples"):
            dataset[outside]


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "test_dataloader", "train_in_order"])
def test_a_loader_before_setup_says_what_to_call(generated: Path, loader: str) -> None:
    data = VOCDetectionDataModule(str(generated))
    with pytest.raises(UserError, match=r"call prepare_data\(\) and setup\(\) before"):
        getattr(data, loader)()
    with pytest.raises(UserError, match=r"call setup\(\) before"):
        ImageFolderDataModule(str(generated)).predict_dataloader()
