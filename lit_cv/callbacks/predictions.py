"""Predictions of `litcv predict`, drawn and as one JSON file."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_cv.contract import HasImageFiles, data_of, require
from lit_cv.errors import UserError
from lit_cv.metrics.base import gather
from lit_cv.runs.files import replaced


class PredictionWriter(Callback):
    """Draw each image of ``trainer.predict`` into ``<stem>.png`` and list all predictions in ``predictions.json``.

    The list has one entry per image, in the order of the input: ``file`` and the fields of the task's renderer
    (``pl_module.renderer``). It is written at the end under a temporary name and renamed, so it is complete or absent.
    Images that share a stem (a.jpg, a.png) are drawn into ``<name>.png``.
    ``trainer.datamodule.paths[image_id]`` is the image's file.

    Args:
        output_dir: Output folder, created if missing; not the folder of the images.
        score_threshold: Lowest score that is drawn and listed, in [0, 1].
    """

    def __init__(self, output_dir: str | os.PathLike[str], score_threshold: float = 0.3) -> None:
        self.output_dir = Path(output_dir)
        self.score_threshold = score_threshold
        self._rows: list[tuple[int, dict[str, Any]]] = []
        self._paths: list[Path] = []
        self._stems: Counter[str] = Counter()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the list.

        Raises:
            UserError: An image lies in ``output_dir``, where its drawing could overwrite it.
        """
        self._rows = []
        self._paths = list(require(self, data_of(trainer), HasImageFiles).paths)
        self._stems = Counter(path.stem for path in self._paths)
        if any(path.parent.resolve() == self.output_dir.resolve() for path in self._paths):
            raise UserError(f"{self.output_dir} holds the images themselves; choose another output folder")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the images of a batch.

        Args:
            outputs: Output of ``predict_step``: one prediction per image.
            batch: (images, targets).
        """
        renderer = pl_module.renderer(self.score_threshold)  # type: ignore[operator]
        for image, target, found in zip(*batch, outputs, strict=True):
            image_id = int(target["image_id"])
            path = self._paths[image_id]
            name = path.stem if self._stems[path.stem] == 1 else path.name
            row = renderer.write(self.output_dir, name, image, found)
            self._rows.append((image_id, {"file": str(path), **row}))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the list of all ranks."""
        rows = gather(self._rows, key=lambda row: row[0])
        if trainer.is_global_zero:
            self.output_dir.mkdir(parents=True, exist_ok=True)
            with replaced(self.output_dir / "predictions.json") as temporary:
                temporary.write_text(json.dumps([row for _, row in rows], indent=1) + "\n")
