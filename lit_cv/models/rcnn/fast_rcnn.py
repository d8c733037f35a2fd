"""Fast R-CNN (Girshick 2015): given regions, classified and refined on one feature map of the whole image."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from lit_cv.models.backbones.classifier_ends import Head, backbone_head
from lit_cv.models.backbones.necks import single_map
from lit_cv.models.backbones.trunk import Norm, build_trunk
from lit_cv.models.detection.detector import Detection, Keep, restore
from lit_cv.models.images import ImageBatch, batch_objects, fit_images
from lit_cv.models.network import Target, evaluating
from lit_cv.models.rcnn.proposals import ProposalDetector
from lit_cv.models.rcnn.region_heads import mlp_head
from lit_cv.models.rcnn.region_svm import RegionClassifiers
from lit_cv.models.rcnn.roi_head import RoIHead
from lit_cv.models.rcnn.truncated_svd import check_ranks, truncate_head
from lit_cv.ops.roi import RoIOp, as_rois

BoxRegression = Literal["joint", "separate", "train", "none"]


class FastRCNN(ProposalDetector):
    """Fast R-CNN on any backbone; its last map has a stride of 16.

    In training the objects themselves join the proposals. Of each image at most ``roi_batch`` regions are drawn: a
    quarter with an IoU of at least 0.5 with an object, the rest, as background, with one from ``lowest_negative`` to
    0.5 (section 2.3). An image without objects gives background of any IoU.

    Args:
        num_classes: Number of classes with the background.
        backbone: A name of ``lit_cv.models.backbones.families.NAMES`` or ``timm/<name>``.
        weights: Of the backbone: ``imagenet``, the path of a state dict, or None.
        roi_op: ``pool`` as in the paper, or ``align``.
        min_size: Pixels of the shorter side of the resized image.
        max_size: Limit of its longer side.
        trainable_layers: How many stages of the backbone are trained, counted from the last; None trains all.
        norm: ``frozen`` or ``train``, see ``build_trunk``.
        channels_last: Memory format of the network; faster on CPU and with bfloat16.
        score_threshold: Detections with a lower probability go.
        nms_threshold: IoU above which the less likely detection of the same class goes; the paper's code has 0.3.
        detections_per_image: The best so many are kept.
        proposals_train: The best so many proposals of an image are candidates for ``losses``.
        proposals_test: The best so many are classified by ``predict``.
        roi_batch: Regions drawn for the loss in each image.
        lowest_negative: IoU from which a region may be background, a way of mining hard ones; see above.
        head: On each region: ``mlp`` is two new layers; ``backbone`` the end of the classification network with its
            weights (fc6 and fc7 of VGG, as in the paper), see ``backbone_head``.
        head_features: Width of the two layers of ``mlp``.
        box_regression: The columns of Table 6. ``joint``: the box loss trains everything, and detections are refined
            proposals. ``separate``: the box loss trains the box layer alone, on features that the class loss makes, as
            in stage-wise training. ``train``: as ``joint``, but detections are proposals as they are. ``none``: no box
            loss (it is 0), detections are proposals.
        classifier: ``softmax``, or ``svm``: SVMs on the output of the head, which ``lit_cv.callbacks.RegionStages``
            trains after the network (section 5.4); until then it is the softmax.
        svd: For ``predict``, the numbers of singular values kept of the head's fully connected layers, first to last
            (section 3.1; the paper keeps 1024 of fc6 and 256 of fc7); None leaves them whole.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("roi_class", "roi_box")
    stages: ClassVar[dict[str, str]] = {**ProposalDetector.stages, "_features": "heads"}

    def __init__(
        self,
        num_classes: int,
        backbone: str = "vgg16",
        weights: str | None = None,
        roi_op: RoIOp = "pool",
        min_size: int = 600,
        max_size: int = 1000,
        trainable_layers: int | None = None,
        norm: Norm = "frozen",
        channels_last: bool = False,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.3,
        detections_per_image: int = 100,
        proposals_train: int = 2000,
        proposals_test: int = 2000,
        roi_batch: int = 64,
        lowest_negative: float = 0.1,
        head: Head = "mlp",
        head_features: int = 1024,
        box_regression: BoxRegression = "joint",
        classifier: Literal["softmax", "svm"] = "softmax",
        svd: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.min_size, self.max_size = min_size, max_size
        self.channels_last = channels_last
        self.proposals_train, self.proposals_test = proposals_train, proposals_test
        self.box_regression = box_regression
        trunk = build_trunk(backbone, weights, norm).up_to(16)
        self.backbone, channels, _ = single_map(trunk, trainable_layers)
        self.strides = [trunk.stages[-1].stride]
        box_head, features = (
            backbone_head(backbone, weights, norm) if head == "backbone" else mlp_head(channels, head_features)
        )
        if svd is not None:
            check_ranks(box_head, svd)
        self.svd = svd
        self._truncated: tuple[object, nn.Module] | None = None
        self.roi_heads = RoIHead(
            box_head,
            features,
            num_classes,
            roi_op,
            roi_batch,
            Keep(score_threshold, nms_threshold, detections_per_image),
            lowest_negative,
            beta=1.0,  # equation 3
        )
        self.classifier = classifier
        self.region_classifiers = RegionClassifiers(num_classes - 1, features)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``; the targets need ``proposals``, see ``ProposalDetector``."""
        given = self.given(targets)
        batch = self._batch(images)
        proposals = _resized([boxes[: self.proposals_train] for boxes in given], batch)
        sample = self.roi_heads.sample(proposals, batch_objects(targets, batch))
        features = self.roi_heads.box_head(self._pool(batch, sample.rois))
        logits, deltas = self.roi_heads.classify(features)
        if self.box_regression == "separate":
            _, deltas = self.roi_heads.classify(features.detach())
        class_loss, box_loss = self.roi_heads.losses(logits, deltas, sample)
        if self.box_regression == "none":
            box_loss = 0 * box_loss  # not a constant: every parameter must have a gradient in distributed training
        return dict(zip(self.loss_names, (class_loss, box_loss), strict=True))

    def region_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        """Compute what the last layers see of given regions, without gradients and as in eval mode.

        Args:
            images: The batch, see ``Network``.
            regions: float32 (N, 4) an image, ``x1, y1, x2, y2`` in pixels of the image as it is given; N may be 0.

        Returns:
            float32 (K, D), the regions of all images one after the other.
        """
        with torch.no_grad(), evaluating(self):
            batch = self._batch(images)
            return self._features(self._pool(batch, as_rois(_resized(regions, batch)))).float()

    def _detect(self, images: list[Tensor], proposals: list[Tensor]) -> list[Detection]:
        batch = self._batch(images)
        resized = _resized([boxes[: self.proposals_test] for boxes in proposals], batch)
        features = self._features(self._pool(batch, as_rois(resized)))
        logits, deltas = self.roi_heads.classify(features)
        if self.box_regression in ("train", "none"):
            deltas = torch.zeros_like(deltas)
        if self.classifier == "svm" and self.region_classifiers.svm_trained:
            scores = self.region_classifiers.scores(features)
        else:
            scores = logits.softmax(dim=1)[:, 1:]
        return restore(self.roi_heads.choose(scores, deltas, resized, batch.sizes), batch)

    def _pool(self, batch: ImageBatch, rois: Tensor) -> Tensor:
        return self.roi_heads.pool(list(self.backbone(batch.pixels).values()), self.strides, rois)

    def _batch(self, images: list[Tensor]) -> ImageBatch:
        return fit_images(images, self.min_size, self.max_size, self.device, self.channels_last)

    def _features(self, pooled: Tensor) -> Tensor:
        """Apply the head of ``predict``: with ``svd``, that of the weights as they are now, made once for them."""
        head: nn.Module = self.roi_heads.box_head
        if self.svd is not None:
            # A parameter's version counts the changes of its values; its address changes with its device.
            weights = tuple((value.device, value.data_ptr(), value._version) for value in head.parameters())
            if self._truncated is None or self._truncated[0] != weights:
                self._truncated = weights, truncate_head(head, self.svd)
            head = self._truncated[1]
        features: Tensor = head(pooled)
        return features


def _resized(boxes: list[Tensor], batch: ImageBatch) -> list[Tensor]:
    """Scale boxes (N, 4) of each image like the images; each is then at least a pixel wide and high."""
    scaled = []
    for part, scale in zip(boxes, batch.scales(), strict=True):
        corners = part.to(scale.device, non_blocking=True) * scale
        scaled.append(torch.cat((corners[:, :2], torch.maximum(corners[:, 2:], corners[:, :2] + 1)), dim=1))
    return scaled
