"""Pictures of predictions, at every validation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from numpy.typing import NDArray
from torch import Tensor

from lit_cv.renderers.canvas import side_by_side, write_png


class Pictures(Callback):
    """Write ``pictures/<step>_<image_id>.png`` at every validation: ground truth on the left, predictions on the right.

    The folder is ``trainer.default_root_dir``; the task's renderer (``pl_module.renderer``) draws. Loggers that take
    pictures get each image, too:

    * W&B as media under ``val/pictures/<image_id>``: with layers that can be toggled if the renderer has layers, else
      as drawn;
    * TensorBoard as drawn, under the same name;
    * MLflow the file, as an artifact in its folder ``pictures``.

    Rank 0 draws from its own share of the images; the sanity check draws nothing.

    Args:
        count: Number of images of each validation, the first ones.
        score_threshold: Lowest score that is drawn, in [0, 1].
    """

    def __init__(self, count: int = 8, score_threshold: float = 0.3) -> None:
        self.count = count
        self.score_threshold = score_threshold
        self._drawn = 0

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the count."""
        self._drawn = 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the images of a batch until ``count`` is reached.

        Args:
            outputs: Output of ``validation_step``: one prediction per image.
            batch: (images, targets).
        """
        if trainer.sanity_checking or not trainer.is_global_zero or self._drawn >= self.count:
            return
        folder = Path(trainer.default_root_dir) / "pictures"
        renderer = pl_module.renderer(self.score_threshold)  # type: ignore[operator]
        for image, target, found in list(zip(*batch, outputs, strict=True))[: self.count - self._drawn]:
            self._drawn += 1
            image_id = int(target["image_id"])
            pair = [renderer.draw(image, target), renderer.draw(image, found)]
            picture = side_by_side(pair, [f"image {image_id}: ground truth", renderer.caption(found)])
            file = folder / f"{trainer.global_step:06d}_{image_id}.png"
            write_png(file, picture)
            layers = renderer.media(image, target, found)
            for logger in trainer.loggers:
                _log(logger, f"val/pictures/{image_id}", trainer.global_step, file, picture, image, layers)


def _log(
    logger: Logger,
    name: str,
    step: int,
    file: Path,
    picture: NDArray[np.uint8],
    image: Tensor,
    layers: Mapping[str, Any],
) -> None:
    """Give a picture to a logger, if it takes any.

    Args:
        logger: The logger.
        name: Name of the image in the logger.
        step: Optimizer step.
        file: The drawn picture on disk.
        picture: The drawn picture, uint8 (H, W, 3) RGB.
        image: The image itself, uint8 (3, H, W) RGB.
        layers: What W&B draws over the image.
    """
    if isinstance(logger, WandbLogger):
        pixels = image.cpu().permute(1, 2, 0).numpy() if layers else picture
        # One key per image: W&B shows the images of one list as if all had the size of the first.
        logger.log_image(name, [pixels], step, **{layer: [content] for layer, content in layers.items()})
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, picture, step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_artifact(logger.run_id, str(file), file.parent.name)
