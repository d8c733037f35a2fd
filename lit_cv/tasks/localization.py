"""Classification and localization: class and box of the only object of an image."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from lit_cv.contract import Batch, HasClasses, require
from lit_cv.metrics import LocalizationAccuracy
from lit_cv.metrics.facts import Fact
from lit_cv.models.localization import LocalizationNet
from lit_cv.renderers import TopBoxRenderer
from lit_cv.tasks.base import Predictions, Size, Targets, Task


class LocalizationTask(Task):
    """Train and evaluate a ``LocalizationNet``.

    A batch is ``(images, targets)``: uint8 images (3, H, W) and targets with one box and one label each.

    The task logs each loss and the numbers of ``LocalizationAccuracy``, in [0, 1]: ``loc_accuracy``,
    ``loc_accuracy_top5``, ``gt_class_error`` (lower is better), ``class_accuracy`` and ``mean_iou``. The checkpoint
    with the highest ``val/loc_accuracy`` is the best one. The total loss cannot select it, because it depends on the
    chosen weights of class loss and box loss.

    The arguments are those of ``Task``.
    """

    network: LocalizationNet
    METRICS: ClassVar[Mapping[str, Fact]] = LocalizationAccuracy.FACTS
    MONITOR: ClassVar[str] = "val/loc_accuracy"
    FOUND: ClassVar[tuple[str, ...]] = ("boxes", "labels")

    def setup(self, stage: str) -> None:
        """Build the metric."""
        super().setup(stage)
        if stage != "predict":
            self.accuracy = LocalizationAccuracy()

    @classmethod
    def size(cls, data: object) -> Size:
        """Return the number of classes that the network needs for a DataModule."""
        classes = len(require(cls, data, HasClasses).class_names)
        return Size(classes, f"{classes} classes", " (there is no background)")

    @classmethod
    def target_renderer(cls, data: object) -> TopBoxRenderer:
        """Return the renderer for the targets of a DataModule."""
        return TopBoxRenderer(require(cls, data, HasClasses).class_names)

    def renderer(self, score_threshold: float) -> TopBoxRenderer:
        """Return the renderer that draws the box of the most probable class and describes the best five."""
        return TopBoxRenderer(self.class_names)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return the losses and the predictions of one forward pass."""
        output = self.network.evaluate(*batch)
        return output.losses, output.found if self.tta is None else self.predict(batch[0])

    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the predictions of a batch."""
        self.accuracy.update(found, targets)

    def compute_metrics(self) -> dict[str, Any]:
        """Return the shares of images, see ``LocalizationAccuracy``."""
        values = self.accuracy.compute()
        self.accuracy.reset()
        return {name: values[name] for name in self.METRICS}
