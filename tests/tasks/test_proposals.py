"""The recall of proposals is that of the seed's part of the images."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from lit_cv.errors import UserError
from lit_cv.models import Proposer
from lit_cv.tasks import ProposalTask
from tests.helpers.scenes import scene

FIRST, SECOND = [[0.0, 0, 20, 20]], [[30.0, 30, 60, 60]]  # proposals: right for the images 0 and 2, wrong for 1 and 3


def validated(seed: str, monkeypatch: pytest.MonkeyPatch, **options: int) -> dict[str, float]:
    monkeypatch.setenv("PL_GLOBAL_SEED", seed)
    images, targets = scene([1] * 4, [(64, 64)] * 4)
    for number, target in enumerate(targets):
        target |= {"image_id": torch.tensor(number), "boxes": torch.tensor(FIRST)}
        target["proposals"] = torch.tensor(SECOND if number % 2 else SECOND + FIRST)
    task = ProposalTask(Proposer(3, backbone="tiny", source="selective_search"), **options)
    task.class_names = ["one", "two"]
    silent = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = L.Trainer(accelerator="cpu", **silent)
    loader = DataLoader(
        list(zip(images, targets, strict=True)), batch_size=2, collate_fn=lambda batch: tuple(zip(*batch, strict=True))
    )
    trainer.validate(task, loader, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_a_seed_chooses_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    recalls = [validated(seed, monkeypatch, parts=2)["val/recall_70_at_10"] for seed in ("6", "7")]
    assert recalls == [1, 0]
    whole = validated("6", monkeypatch)
    assert whole["val/recall_70_at_10"] == 0.5
    assert whole["val/loss"] == 0
    with pytest.raises(UserError, match="parts: 0 makes no sense"):
        validated("6", monkeypatch, parts=0)
