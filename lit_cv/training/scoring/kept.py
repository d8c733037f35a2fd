"""Every evaluation leaves its predictions as files."""

import hashlib
from pathlib import Path
from typing import Any, cast

import lightning as L
import orjson
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import RunningStage, TrainerFn
from torch import nn
from torch.distributed.tensor import DTensor

from lit_cv.contract import HasFingerprint, HasImageNames, data_of, provides
from lit_cv.metrics.base import gather
from lit_cv.predictions.coco_json import coco_document
from lit_cv.predictions.files import BEST, Predictions, copy_predictions, write_predictions
from lit_cv.predictions.records import ImageRecord, Unkept, to_record
from lit_cv.runs.files import replaced
from lit_cv.runs.prose import say
from lit_cv.tasks.base import Task
from lit_cv.tasks.tta.settings import tta_record

FOLDER = "predictions"


class KeptPredictions(Callback):
    """Write the predictions of each evaluation into ``predictions/<split>``, in the place of those of the one before.

    After a training, ``predictions/val`` therefore has those of its last validation, and ``predictions/val_best`` those
    of the weights in ``best.ckpt``. The sanity check leaves nothing. ``litcv predict`` also writes ``coco.json``, see
    ``coco_document``.

    Args:
        folder: Folder that gets a folder for each split, ``predictions`` in that of a run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records: list[ImageRecord] = []
        self._unkept = False

    def keep_best(self) -> None:
        """Keep the predictions of the last validation apart: their weights are now in ``best.ckpt``."""
        if not self._unkept:
            copy_predictions(self.folder / "val", self.folder / BEST)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin."""
        self._records = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the predictions of a batch."""
        if trainer.sanity_checking or self._unkept:
            return
        try:
            for image, target, found in zip(*batch, outputs, strict=True):
                size = int(image.shape[2]), int(image.shape[1])
                self._records.append(ImageRecord(int(target["image_id"]), size, to_record(found, size)))
        except Unkept as reason:  # of a task that somebody has written: its evaluation works all the same
            self._refuse(str(reason))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the predictions of all processes."""
        if not trainer.sanity_checking:
            split = "test" if trainer.state.stage == RunningStage.TESTING else "val"
            self._write(trainer, cast(Task, pl_module), split)

    def on_predict_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the predictions of all processes, also as COCO's JSON."""
        self._write(trainer, cast(Task, pl_module), "predict")
        if trainer.is_global_zero and not self._unkept:
            with replaced(self.folder / "coco.json") as temporary:
                temporary.write_bytes(orjson.dumps(coco_document(Predictions.open(self.folder / "predict"))))

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end
    on_test_end = on_validation_end

    def _refuse(self, reason: str) -> None:
        self._unkept = True
        say(f"note: the predictions are not kept as files: {reason}.")

    def _write(self, trainer: L.Trainer, task: Task, split: str) -> None:
        self._unkept = trainer.strategy.reduce_boolean_decision(self._unkept, all=False)
        if self._unkept:
            return
        records = gather(self._records, key=lambda record: record.image_id)
        self._records = []
        weights = weights_fingerprint(task.network)
        if not trainer.is_global_zero:
            return
        data = data_of(trainer)
        names = list(data.image_names(split)) if provides(data, HasImageNames) else []
        ids = [record.image_id for record in records]
        named = [names[number] for number in ids] if set(ids) <= set(range(len(names))) else list(map(str, ids))
        meta = {
            "split": split,
            "class_names": list(task.class_names),
            "tasks": task_names(type(task)),
            "weights": weights,
            "data": data.fingerprint if provides(data, HasFingerprint) else None,
            "step": _step(trainer),
            **tta_record(task),
        }
        try:
            write_predictions(self.folder / split, records, named, meta)
        except Unkept as reason:
            self._refuse(str(reason))


def _step(trainer: L.Trainer) -> int:
    """Return the step of the evaluated weights; an evaluation loads no more of a checkpoint than the weights."""
    if trainer.state.fn == TrainerFn.FITTING or not trainer.ckpt_path:
        return trainer.global_step
    return int(torch.load(trainer.ckpt_path, map_location="cpu", weights_only=True, mmap=True)["global_step"])


def task_names(task: type) -> list[str]:
    """Return the names of a task's class and of its bases below ``Task``."""
    return [base.__name__ for base in task.__mro__ if issubclass(base, Task) and base is not Task]


def weights_fingerprint(network: nn.Module) -> str:
    """Return 16 hexadecimal digits over names and values of all weights; all processes must ask together."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        local = whole.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(local.shape)} {local.dtype}".encode())
        digest.update(memoryview(local.flatten().view(torch.uint8).numpy()))
    return digest.hexdigest()[:16]
