import shutil
from pathlib import Path

import lightning as L


class KeepCheckpoint(L.Callback):
    """Save, beside the run's folder, the checkpoint that a kill after a step would leave."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: tuple, index: int) -> None:
        if trainer.global_step == self.step and trainer.is_global_zero:
            shutil.copy(Path(trainer.default_root_dir) / "checkpoints/last.ckpt", f"{trainer.default_root_dir}.ckpt")
