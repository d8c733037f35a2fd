"""Object detection: boxes, labels and scores."""

from typing import Any, ClassVar, cast

from torch import Tensor

from lit_cv.metrics import COCOAveragePrecision, VOCAveragePrecision
from lit_cv.models.detector import Detection, Detector
from lit_cv.tasks.base import Batch, Task


class DetectionTask(Task):
    """Train and evaluate a `Detector` (`FasterRCNN`, `SSD`, ...).

    A batch is `(images, targets)`: uint8 images (3, H, W) and torchvision-style targets. Logged, in [0, 1] with
    higher better and -1 or nan where there is nothing to evaluate: COCO's `map`, `map_50`, `map_75`, by size,
    `mar_*`, per class `ap/<class>` (IoU .5:.95); VOC's `voc_map` (area under the curve, VOC2010 and later),
    `voc_map_11point` (VOC2007), `voc_ap/<class>` (area); and each loss.

    Args: see `Task`.
    """

    network: Detector
    METRICS: ClassVar[tuple[str, ...]] = (
        *("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100"),
        *("voc_map", "voc_map_11point"),
    )
    MONITOR: ClassVar[str] = "val/map"

    def setup(self, stage: str) -> None:
        """Build the metrics for the classes of the data."""
        super().setup(stage)
        if stage != "predict":
            self.coco = COCOAveragePrecision(class_names=self.class_names)
            self.voc = VOCAveragePrecision(self.class_names, interpolation="area")
            self.voc_11point = VOCAveragePrecision(self.class_names, interpolation="11point")

    def validation_step(self, batch: Batch, batch_idx: int) -> list[Detection]:  # type: ignore[override]
        """Update metrics and mean losses; return the detections for callbacks that draw them."""
        self.update_losses(batch, batch_idx)
        images, targets = batch
        detections = self.network.predict(images)
        for metric in (self.coco, self.voc, self.voc_11point):
            metric.update(detections, targets)
        return detections

    def test_step(self, batch: Batch, batch_idx: int) -> list[Detection]:  # type: ignore[override]
        """Evaluate as in validation."""
        return self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Detection]:
        """Return the detections of each image, boxes in its own pixels."""
        return self.network.predict(batch[0])

    def on_validation_epoch_end(self) -> None:
        """Log what the epoch measured."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log what the epoch measured."""
        self._log_metrics("test")

    def _log_metrics(self, stage: str) -> None:
        coco, voc, voc_11point = self.coco.compute(), self.voc.compute(), self.voc_11point.compute()
        values: dict[str, Any] = {name: coco[name] for name in self.METRICS if name in coco}
        values |= {"voc_map": voc["map"], "voc_map_11point": voc_11point["map"]}
        for metric, result in (("ap", coco), ("voc_ap", voc)):
            per_class = cast(Tensor, result["map_per_class"])
            values |= {f"{metric}/{name}": ap for name, ap in zip(self.class_names, per_class, strict=True)}
        self.log_dict({f"{stage}/{name}": value for name, value in values.items()})
        self.log_losses(stage)
        for metric_object in (self.coco, self.voc, self.voc_11point):
            metric_object.reset()
