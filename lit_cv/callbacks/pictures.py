"""Pictures of detections beside the ground truth, in the run folder and in W&B."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from lit_cv.drawing import Picture, draw_boxes, side_by_side, write_png


class DetectionPictures(Callback):
    """Writes `pictures/<step>_<image_id>.png` into the run folder at every validation, ground truth left, found right.

    The run folder is `trainer.default_root_dir`; the names come from `trainer.datamodule.class_names`. With
    a WandbLogger each image is also logged as W&B media under `val/pictures/<image_id>`, with boxes that can be
    toggled. Rank 0 draws from its own share of the images; the sanity check draws nothing.

    Args:
        count: how many images of each validation, the first ones.
        score_threshold: detections with a lower score, in [0, 1], are left out.
    """

    def __init__(self, count: int = 8, score_threshold: float = 0.3) -> None:
        self.count = count
        self.score_threshold = score_threshold
        self._drawn = 0

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start anew."""
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
        """Draw the images of a batch while `count` is not reached.

        Args:
            outputs: what `validation_step` returned: per image `boxes`, `scores`, `labels`.
            batch: (images, targets).
        """
        if trainer.sanity_checking or not trainer.is_global_zero or self._drawn >= self.count:
            return
        class_names: Sequence[str] = trainer.datamodule.class_names  # type: ignore[attr-defined]
        for image, target, found in list(zip(*batch, outputs, strict=True))[: self.count - self._drawn]:
            self._drawn += 1
            image_id = int(target["image_id"])
            keep = found["scores"] >= self.score_threshold
            found = {name: column[keep] for name, column in found.items()}
            path = Path(trainer.default_root_dir) / "pictures" / f"{trainer.global_step:06d}_{image_id}.png"
            write_png(path, _beside(image, target, found, class_names))
            boxes = {"ground_truth": _wandb_boxes(target, class_names), "predictions": _wandb_boxes(found, class_names)}
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    # One key per image: W&B shows the images of one list as if all had the size of the first.
                    pixels = [image.cpu().permute(1, 2, 0).numpy()]
                    logger.log_image(f"val/pictures/{image_id}", pixels, trainer.global_step, boxes=[boxes])


def _beside(
    image: Tensor, target: Mapping[str, Tensor], found: Mapping[str, Tensor], class_names: Sequence[str]
) -> Picture:
    return side_by_side(
        [
            draw_boxes(image, target["boxes"], target["labels"], class_names),
            draw_boxes(image, found["boxes"], found["labels"], class_names, found["scores"]),
        ],
        ["ground truth", "predictions"],
    )


def _wandb_boxes(objects: Mapping[str, Tensor], class_names: Sequence[str]) -> dict[str, Any]:
    """Boxes as `wandb.Image` wants them."""
    scores = objects["scores"].tolist() if "scores" in objects else None
    rows = []
    for index, ((x1, y1, x2, y2), label) in enumerate(
        zip(objects["boxes"].tolist(), objects["labels"].tolist(), strict=True)
    ):
        row: dict[str, Any] = {
            "position": {"minX": x1, "minY": y1, "maxX": x2, "maxY": y2},
            "domain": "pixel",
            "class_id": label,
            "box_caption": class_names[label - 1],
        }
        if scores is not None:
            row["scores"] = {"score": scores[index]}
            row["box_caption"] += f" {scores[index]:.2f}"
        rows.append(row)
    return {"box_data": rows, "class_labels": dict(enumerate(class_names, start=1))}
