"""Object detection: boxes, labels and scores."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from torch import Tensor

from lit_cv.contract import Batch, HasClasses, require
from lit_cv.metrics import COCOAveragePrecision, VOCAveragePrecision
from lit_cv.metrics.facts import ERROR, SHARE, Fact
from lit_cv.metrics.mean import ExactMean
from lit_cv.models.detection.detector import Detector
from lit_cv.models.rcnn.fast_rcnn import FastRCNN
from lit_cv.models.rcnn.proposals import ProposalDetector
from lit_cv.ops.objects import without_crowds
from lit_cv.renderers import BoxRenderer
from lit_cv.tasks.base import Predictions, Targets, Task


class DetectionTask(Task):
    """Train and evaluate a ``Detector`` (``FasterRCNN``, ``SSD``, ...).

    A batch is ``(images, targets)``: uint8 images (3, H, W) and torchvision-style targets.

    The task logs each loss and the following numbers. They are in [0, 1], higher is better, and -1 or NaN means that
    there was nothing to evaluate:

    * COCO's ``map``, ``map_50``, ``map_75``, ``map_<size>`` and ``mar_*``, and ``ap/<class>`` (IoU 0.5 to 0.95);
    * VOC's ``voc_map`` (area under the curve, VOC2010 and later) and ``voc_map_11point`` (VOC2007), and
      ``voc_ap/<class>`` (area);
    * of ``FastRCNN``, ``boxes_outside``: the share of the regions classified as objects whose box leaves the region by
      more than a pixel of the resized image.

    The arguments are those of ``Task``.
    """

    network: Detector
    METRICS: ClassVar[Mapping[str, Fact]] = {
        **COCOAveragePrecision.FACTS["bbox"],
        **dict.fromkeys(("voc_map", "voc_map_11point"), VOCAveragePrecision.FACT),
    }
    PER_CLASS: ClassVar[Mapping[str, Fact]] = {"ap": SHARE, "voc_ap": SHARE}
    MONITOR: ClassVar[str] = "val/map"
    FOUND: ClassVar[tuple[str, ...]] = ("boxes", "scores", "labels")
    OF_NETWORK: ClassVar[tuple[str, ...]] = ("boxes_outside",)

    def facts(self, class_names: Sequence[str]) -> dict[str, Fact]:
        """Return unit and direction of each number of ``compute_metrics``."""
        own = {"boxes_outside": ERROR} if isinstance(self.network, FastRCNN) else {}
        return super().facts(class_names) | own

    def setup(self, stage: str) -> None:
        """Build the metrics for the classes of the data."""
        super().setup(stage)
        if stage != "predict":
            self.coco = COCOAveragePrecision(class_names=self.class_names)
            self.voc = VOCAveragePrecision(self.class_names, interpolation="area")
            self.voc_11point = VOCAveragePrecision(self.class_names, interpolation="11point")
            self.boxes_outside = ExactMean()

    @classmethod
    def target_renderer(cls, data: object) -> BoxRenderer:
        """Return the renderer for the targets of a DataModule."""
        return BoxRenderer(require(cls, data, HasClasses).class_names, score_threshold=0.0)

    def renderer(self, score_threshold: float) -> BoxRenderer:
        """Return the renderer for boxes."""
        return BoxRenderer(self.class_names, score_threshold)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return the losses and the detections of an evaluation batch, on its proposals if the network takes any."""
        images, targets = batch
        given = self.network.given(targets) if isinstance(self.network, ProposalDetector) else None
        losses = self.network.losses(images, [without_crowds(target) for target in targets])
        found = self.predict(images, given)
        if isinstance(self.network, FastRCNN) and (count := int(self.network.outside[1])):
            self.boxes_outside.update(self.network.outside[0].double() / count, weight=count)
        return losses, found

    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the detections of a batch."""
        for metric in (self.coco, self.voc, self.voc_11point):
            metric.update(found, targets)

    def compute_metrics(self) -> dict[str, Any]:
        """Return the average precisions."""
        coco, voc, voc_11point = self.coco.compute(), self.voc.compute(), self.voc_11point.compute()
        values: dict[str, Any] = {name: coco[name] for name in self.METRICS if name in coco}
        values |= {"voc_map": voc["map"], "voc_map_11point": voc_11point["map"]}
        for metric, result in (("ap", coco), ("voc_ap", voc)):
            per_class = cast(Tensor, result["map_per_class"])
            values |= {f"{metric}/{name}": ap for name, ap in zip(self.class_names, per_class, strict=True)}
        for metric_object in (self.coco, self.voc, self.voc_11point):
            metric_object.reset()
        if isinstance(self.network, FastRCNN):
            values["boxes_outside"] = self.boxes_outside.compute()
            self.boxes_outside.reset()
        return values
