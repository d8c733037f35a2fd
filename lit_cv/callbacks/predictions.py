"""Predictions of `litcv predict`, drawn and as one JSON file."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_cv.contract import HasImageFiles, data_of, require
from lit_cv.errors import UserError
from lit_cv.metrics.base import gather
from lit_cv.predictions.files import NAMES
from lit_cv.runs.files import replaced


class PredictionWriter(Callback):
    """Draw each image of ``trainer.predict`` into ``<stem>.png`` and list all predictions in ``predictions.json``.

    The list has one entry per image, in the order of the input: ``file`` and the fields of the task's renderer
    (``pl_module.renderer``), or ``file`` and ``error`` for an image that could not be read. It is written at the end
    under a temporary name and renamed, so it is complete or absent. Images of subfolders are drawn into subfolders.
    Images that share a stem (a.jpg, a.png) are drawn into ``<name>.png``; no drawing overwrites another.
    ``trainer.datamodule.paths[image_id]`` is the image's file.

    Args:
        output_dir: Output folder, created if missing; holds none of the images.
        score_threshold: Lowest score that is drawn and listed, in [0, 1].
    """

    def __init__(self, output_dir: str | os.PathLike[str], score_threshold: float = 0.3) -> None:
        self.output_dir = Path(output_dir)
        self.score_threshold = score_threshold
        self._rows: list[tuple[int, dict[str, Any]]] = []
        self._paths: list[Path] = []
        self._names: list[str] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the list, and choose the name of each drawing.

        Raises:
            UserError: An image lies in ``output_dir``, where its drawing could overwrite it.
        """
        self._rows = []
        self._paths = list(require(self, data_of(trainer), HasImageFiles).paths)
        inside = [path for path in self._paths if self.output_dir.resolve() in path.resolve().parents]
        if inside:
            raise UserError(f"{self.output_dir} holds images to predict on ({inside[0]}); choose another output folder")
        suffixes = pl_module.renderer(self.score_threshold).SUFFIXES  # type: ignore[operator]
        self._names = distinct_names(self._paths, suffixes)

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
            row = renderer.write(self.output_dir, self._names[image_id], image, found)
            self._rows.append((image_id, {"file": str(self._paths[image_id]), **row}))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the list of all ranks.

        Raises:
            UserError: Some images could not be read; the others are in the list.
        """
        unreadable = require(self, data_of(trainer), HasImageFiles).unreadable
        self._rows += [(index, {"file": str(self._paths[index]), "error": why}) for index, why in unreadable.items()]
        rows = [row for _, row in gather(self._rows, key=lambda row: row[0])]
        path = self.output_dir / "predictions.json"
        if trainer.is_global_zero:
            self.output_dir.mkdir(parents=True, exist_ok=True)
            with replaced(path) as temporary:
                temporary.write_text(json.dumps(rows, indent=1) + "\n")
        errors = [row["error"] for row in rows if "error" in row]
        if errors:
            raise UserError(
                f"{len(errors)} of {len(rows)} images could not be read; {path} has the others, and the reason for "
                f"each of these. The first: {errors[0]}"
            )


def distinct_names(paths: Sequence[Path], suffixes: Sequence[str]) -> list[str]:
    """Choose a name for the drawings of each image, relative to the folder that contains all images, or to its parent.

    Args:
        paths: The images.
        suffixes: Endings of the files that are written for a name.

    Returns:
        The stem of each image, or its name if another image has the stem; with a number if files would still collide.
    """
    base = Path(os.path.commonpath([path.parent for path in paths]))
    if any(path.relative_to(base).parts[0] in NAMES for path in paths):  # where predictions are kept
        base = base.parent
    relative = [path.relative_to(base) for path in paths]
    stems = Counter(path.with_suffix("") for path in relative)
    taken: set[str] = set()
    names = []
    for path in relative:
        for name in _candidates(path, unique=stems[path.with_suffix("")] == 1):
            files = {f"{name}{suffix}" for suffix in suffixes}
            if not files & taken:
                taken |= files
                names.append(str(name))
                break
    return names


def _candidates(path: Path, unique: bool) -> Iterator[Path]:
    if unique:
        yield path.with_suffix("")
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}_{number}")
