"""Fast R-CNN (Girshick 2015): classifies and refines given regions on one feature map of the whole image."""

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lit_cv.models.backbones.necks import single_map
from lit_cv.models.detection.detector import Detection, restore
from lit_cv.models.images import ImageBatch, batch_objects
from lit_cv.models.layers.tensor_cache import TensorCache, version_of
from lit_cv.models.network import Target, evaluating
from lit_cv.models.rcnn.proposals import ProposalDetector
from lit_cv.models.rcnn.region_svm import RegionClassifiers
from lit_cv.models.rcnn.roi_detector import RoIHeadDetector
from lit_cv.models.rcnn.roi_head import RoIHead
from lit_cv.models.rcnn.truncated_svd import check_ranks, truncate_head
from lit_cv.models.resizing import MinSize
from lit_cv.ops.limits import at_least, fractions
from lit_cv.ops.roi import RoIOp, as_rois

BoxRegression = Literal["joint", "inward", "separate", "train", "none"]


class FastRCNNOutputs(NamedTuple):
    """Raw outputs for K regions, float32.

    Attributes:
        logits: (K, num_classes).
        deltas: (K, num_classes, 4), relative to the regions and multiplied by ``ROI_WEIGHTS``.
        features: (K, D), the input of the last layers.
    """

    logits: Tensor
    deltas: Tensor
    features: Tensor


class FastRCNN(RoIHeadDetector, ProposalDetector):
    """Fast R-CNN on any backbone, with the feature map at stride 16.

    In training, the objects themselves are added to the proposals. At most ``roi_batch`` regions are sampled from each
    image: up to a quarter with an IoU of at least 0.5 with an object; the others, as background, with an IoU from
    ``lowest_negative`` to 0.5 (section 2.3). In an image without objects, all regions are background.

    Args:
        roi_batch: Maximum number of regions sampled per image for the loss.
        lowest_negative: Minimum IoU of a background region with an object. It mines hard negatives; see above.
        box_regression: The columns of Table 6. ``joint``: the box loss trains the whole network, and detections are
            refined proposals. ``separate``: the box loss trains only the box layer, on features trained by the class
            loss, as in stage-wise training. ``train``: as ``joint``, but detections are unrefined proposals. ``none``:
            the box loss is 0, and detections are unrefined proposals. Beyond the paper, ``inward``: as ``joint``, but
            detections are clamped to their proposal, so that offsets only point inwards.
        classifier: ``softmax``, or ``svm``: SVMs on the output of the head. ``lit_cv.callbacks.RegionStages`` trains
            them after the network (section 5.4); before that, the softmax is used.
        svd: Number of singular values that ``predict`` keeps of each fully connected layer of the head, first to last
            (section 3.1; the paper keeps 1024 of fc6 and 256 of fc7). None keeps the layers as they are.
        options: Arguments of ``RoIHeadDetector`` and ``ProposalDetector``.

    Attributes:
        outside: Of the regions that the last ``predict`` classified as objects, the number whose box of that class
            leaves the region by more than a pixel of the resized image, and the number of all; int64 scalars.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("roi_class", "roi_box")
    class_layers = {**RoIHeadDetector.class_layers, "region_classifiers.*": "whole"}
    stages: ClassVar[dict[str, str]] = {**ProposalDetector.stages, "_features": "heads"}

    def __init__(
        self,
        *args: Any,
        backbone: str = "vgg16",
        roi_op: RoIOp = "pool",
        min_size: MinSize = 600,
        max_size: int = 1000,
        nms_threshold: float = 0.3,
        roi_batch: int = 64,
        lowest_negative: float = 0.1,
        box_regression: BoxRegression = "joint",
        classifier: Literal["softmax", "svm"] = "softmax",
        svd: list[int] | None = None,
        **options: Any,
    ) -> None:
        at_least(1, roi_batch=roi_batch)
        fractions(lowest_negative=lowest_negative)
        super().__init__(
            *args,
            backbone=backbone,
            roi_op=roi_op,
            min_size=min_size,
            max_size=max_size,
            nms_threshold=nms_threshold,
            **options,
        )
        self.box_regression = box_regression
        self.outside = (torch.tensor(0), torch.tensor(0))
        trunk = self.build_trunk().up_to(16)
        self.backbone, channels, _ = single_map(trunk, self.trainable_layers)
        self.strides = [trunk.stages[-1].stride]
        box_head, features = self.build_box_head(channels)
        if svd is not None:
            check_ranks(box_head, svd)
        self.svd = svd
        self._truncated = TensorCache[nn.Module](limit=1)
        beta = 1.0  # eq. 3
        self.roi_heads = RoIHead(
            box_head, features, self.num_classes, roi_op, roi_batch, self.keep, lowest_negative, beta
        )
        self.classifier = classifier
        self.region_classifiers = RegionClassifiers(self.num_classes - 1, features)
        self.use_memory_format()

    def forward(self, pixels: Tensor, rois: Tensor) -> FastRCNNOutputs:
        """Classify and refine regions with the whole head, also if ``predict`` truncates it (``svd``).

        Args:
            pixels: float32 (B, 3, H, W), normalized; H and W are multiples of 32.
            rois: float32 (K, 5): index of the image, then ``x1, y1, x2, y2`` in pixels of the resized images.
        """
        features = self.roi_heads.box_head(self._pool(pixels, rois))
        return FastRCNNOutputs(*self.roi_heads.classify(features), features)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``. The targets need ``proposals``, see ``ProposalDetector``."""
        given = self.given(targets)
        batch = self.batch(images)
        proposals = _resized([boxes[: self.proposals_train] for boxes in given], batch)
        sample = self.roi_heads.sample(proposals, batch_objects(targets, batch, self.num_classes))
        logits, deltas, features = self(batch.pixels, sample.rois)
        if self.box_regression == "separate":
            _, deltas = self.roi_heads.classify(features.detach())
        class_loss, box_loss = self.roi_heads.losses(logits, deltas, sample)
        if self.box_regression == "none":
            box_loss = 0 * box_loss  # not a constant: distributed training needs a gradient for every parameter
        return dict(zip(self.loss_names, (class_loss, box_loss), strict=True))

    def region_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        """Compute the input of the last layers for given regions, without gradients and in eval mode.

        Args:
            images: The batch, see ``Network``.
            regions: float32 (N, 4) for each image, ``x1, y1, x2, y2`` in pixels of the input image; N may be 0.

        Returns:
            float32 (K, D), for the regions of all images, image by image.
        """
        with torch.no_grad(), evaluating(self):
            batch = self.batch(images)
            return self._features(self._pool(batch.pixels, as_rois(_resized(regions, batch)))).float()

    def _detect(self, images: list[Tensor], proposals: list[Tensor]) -> list[Detection]:
        batch = self.batch(images)
        resized = _resized([boxes[: self.proposals_test] for boxes in proposals], batch)
        features = self._features(self._pool(batch.pixels, as_rois(resized)))
        logits, deltas = self.roi_heads.classify(features)
        if self.box_regression in ("train", "none"):
            deltas = torch.zeros_like(deltas)
        if self.classifier == "svm" and self.region_classifiers.svm_trained:
            scores = self.region_classifiers.scores(features)
        else:
            scores = logits.softmax(dim=1)[:, 1:]
        regions = torch.cat(resized)
        boxes = self.roi_heads.boxes(deltas, regions)
        if self.box_regression == "inward":
            boxes = inside(boxes, regions[:, None])
        self.outside = _outside(boxes, regions, logits.argmax(dim=1))
        return restore(self.roi_heads.select(scores, boxes, resized, batch.sizes), batch)

    def _pool(self, pixels: Tensor, rois: Tensor) -> Tensor:
        return self.roi_heads.pool(list(self.backbone(pixels).values()), self.strides, rois)

    def _features(self, pooled: Tensor) -> Tensor:
        """Apply the head of ``predict``; with ``svd``, its truncated copy, made once for the current weights."""
        head: nn.Module = self.roi_heads.box_head
        if (ranks := self.svd) is not None:
            whole = head
            head = self._truncated.get(version_of(whole.parameters()), lambda: truncate_head(whole, ranks))
        features: Tensor = head(pooled)
        return features


def inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """Clamp the corners of boxes (..., 4) to regions (..., 4); a box beside its region becomes part of its edge."""
    low, high = (torch.cat((corner, corner), dim=-1) for corner in (regions[..., :2], regions[..., 2:]))
    return torch.maximum(torch.minimum(boxes, high), low)


def _outside(boxes: Tensor, regions: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Count boxes (K, classes without background, 4) that leave their regions (K, 4), see ``FastRCNN.outside``."""
    found = classes.nonzero()[:, 0]
    own, regions = boxes[found, classes[found] - 1], regions[found]
    leaves = ((own[:, :2] < regions[:, :2] - 1) | (own[:, 2:] > regions[:, 2:] + 1)).any(dim=1)
    return leaves.sum(), torch.tensor(len(found))


def _resized(boxes: list[Tensor], batch: ImageBatch) -> list[Tensor]:
    """Scale boxes (N, 4) of each image like the image and make them at least one pixel wide and high."""
    scaled = []
    for part, scale in zip(boxes, batch.scales(), strict=True):
        corners = part.to(scale.device, non_blocking=True) * scale
        scaled.append(torch.cat((corners[:, :2], torch.maximum(corners[:, 2:], corners[:, :2] + 1)), dim=1))
    return scaled
