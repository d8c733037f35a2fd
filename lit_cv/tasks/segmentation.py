"""Semantic segmentation: a class for each pixel."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from torch import Tensor

from lit_cv.contract import Batch, HasClasses, require
from lit_cv.metrics import BoundaryIoU, SegmentationMetrics
from lit_cv.metrics.facts import LOSS, SHARE, Fact
from lit_cv.metrics.mean import ExactMean
from lit_cv.models.segmentation.segmenter import Segmenter
from lit_cv.ops.upsampling import checkerboard
from lit_cv.renderers import MaskRenderer
from lit_cv.tasks.base import Predictions, Targets, Task


class SegmentationTask(Task):
    """Train and evaluate a ``Segmenter`` (``FCN``, ``SlidingWindowSegmenter``, ...).

    A batch is ``(images, targets)``: uint8 images (3, H, W) and targets with ``mask`` uint8 (H, W), 255 void.

    The task logs the loss and the following numbers in [0, 1]. NaN means that there was nothing to evaluate:

    * ``pixel_accuracy``, ``mean_accuracy``, ``miou``, ``fw_iou`` (see ``SegmentationMetrics``) and ``iou/<class>``,
      including the background; higher is better;
    * ``boundary_iou``: the mean IoU of the pixels within 2 pixels of a contour (see ``BoundaryIoU``); higher is better;
    * ``checkerboard``: the mean over images of the share of the scores' spectral energy at the stride of the last
      upsampling (see ``lit_cv.ops.upsampling.checkerboard``); lower is better.

    The arguments are those of ``Task``.
    """

    network: Segmenter
    METRICS: ClassVar[Mapping[str, Fact]] = {
        **SegmentationMetrics.FACTS,
        **BoundaryIoU.FACTS,
        "checkerboard": LOSS,
    }
    PER_CLASS: ClassVar[Mapping[str, Fact]] = {"iou": SHARE}
    MONITOR: ClassVar[str] = "val/miou"
    FOUND: ClassVar[tuple[str, ...]] = ("mask",)
    OF_NETWORK: ClassVar[tuple[str, ...]] = ("checkerboard",)

    def setup(self, stage: str) -> None:
        """Build the metrics for the classes of the data."""
        super().setup(stage)
        if stage != "predict":
            self.masks = SegmentationMetrics(self.network.num_classes)
            self.boundary = BoundaryIoU(self.network.num_classes)
            self.checkerboard = ExactMean()

    def facts(self, class_names: Sequence[str]) -> dict[str, Fact]:
        """Return unit and direction of each number of ``compute_metrics``; the background counts as a class."""
        names = ["background", *class_names]
        constant = Fact(percent=True, higher_is_better=True, trivial=1 / len(names))  # one class for every pixel
        return super().facts(names) | {"mean_accuracy": constant, "miou": constant}

    @classmethod
    def target_renderer(cls, data: object) -> MaskRenderer:
        """Return the renderer for the targets of a DataModule."""
        return MaskRenderer(require(cls, data, HasClasses).class_names)

    def renderer(self, score_threshold: float) -> MaskRenderer:
        """Return the renderer for masks, which have no scores."""
        return MaskRenderer(self.class_names)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return the losses and the predictions of one forward pass, and measure the pattern in the scores."""
        losses, found, scores = self.network.evaluate(*batch)
        self.checkerboard.update(checkerboard(scores, self.network.upsampling_stride), weight=len(scores))
        return losses, found if self.tta is None else self.predict(batch[0])

    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the masks of a batch."""
        self.masks.update(found, targets)
        self.boundary.update(found, targets)

    def compute_metrics(self) -> dict[str, Any]:
        """Return accuracies, IoUs and the checkerboard."""
        values: dict[str, Any] = {**self.masks.compute(), **self.boundary.compute()}
        values["checkerboard"] = self.checkerboard.compute()
        per_class = cast(Tensor, values.pop("iou_per_class"))
        names = ["background", *self.class_names]
        values |= {f"iou/{name}": iou for name, iou in zip(names, per_class, strict=True)}
        self.masks.reset()
        self.boundary.reset()
        self.checkerboard.reset()
        return values
