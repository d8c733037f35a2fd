"""Checkpoints of a run: written atomically, and found again."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lit_cv.errors import UserError
from lit_cv.runs.files import replaced
from lit_cv.runs.near import did_you_mean_path

AVERAGED = "averaged_state_dict"  # of a checkpoint: the averaged weights, beside `state_dict`


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under a temporary name, flush it to disk and rename it; read tensors and plain data only.

    Args:
        averaged: Whether to read the averaged weights in the place of the others.
    """

    def __init__(self, averaged: bool = False) -> None:
        super().__init__()
        self.averaged = averaged

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to the local file `path`; at any moment `path` is the old file or the new one."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replaced(target) as temporary, temporary.open("wb") as handle:
            torch.save(checkpoint, handle)
            handle.flush()
            os.fsync(handle.fileno())

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Read the local file `path` with `weights_only=True`: a checkpoint cannot run code.

        Raises:
            UserError: The averaged weights are wanted, and the checkpoint has none.
        """
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        if self.averaged:
            if AVERAGED not in checkpoint:
                raise UserError(
                    f"{path}: has no averaged weights; train with trainer.callbacks+=lit_cv.callbacks.EMA, or leave "
                    "--weights out."
                )
            checkpoint["state_dict"] |= checkpoint[AVERAGED]
        return checkpoint


def require_training_state(path: Path) -> None:
    """Check that a file, which may be of any origin, is a checkpoint of a training.

    Raises:
        UserError: The file is missing, cannot be read, or holds something else.
    """
    fix = "give a checkpoint of a run (runs/<group>/<id>/checkpoints/last.ckpt)"
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; {fix}{did_you_mean_path(path) or '.'}")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: is no checkpoint, or only a part of one; {fix}.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises what zipfile, pickle, struct and its own reader raise
        reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        raise UserError(f"{path}: cannot be read as a checkpoint ({reason}); {fix}.") from None
    if not isinstance(checkpoint, dict) or not {"state_dict", "pytorch-lightning_version"} <= checkpoint.keys():
        raise UserError(
            f"{path}: holds no state of a training, only weights or other data; {fix}, or give "
            "these weights as model.initial_weights."
        )


def last_checkpoint(folder: Path) -> Path | None:
    """Return the file in a run's `checkpoints/` from which a resume continues, or None.

    This is `last.ckpt` even if `best.ckpt` is newer: `best.ckpt` is written during a validation, from where Lightning
    does not repeat the uninterrupted run. It only replaces a damaged `last.ckpt`. A checkpoint is a zip file with its
    directory at the end, so a truncated file is recognized without reading all of it.
    """
    last, best = folder / "last.ckpt", folder / "best.ckpt"
    candidates = (last, best) if last.exists() else ()
    return next((path for path in candidates if zipfile.is_zipfile(path)), None)


def best_checkpoint(folder: Path) -> Path:
    """Return a run's best checkpoint, or its last one.

    Raises:
        UserError: The run has no checkpoint, or it is damaged.
    """
    for name in ("best.ckpt", "last.ckpt"):
        path = folder / "checkpoints" / name
        if path.is_file():
            if not zipfile.is_zipfile(path):
                raise UserError(f"{path}: damaged or cut off; restore it, or delete it to use another one.")
            return path
    raise UserError(f"{folder}: no checkpoint in it; give the folder of a run (runs/<group>/<id>) that has trained.")
