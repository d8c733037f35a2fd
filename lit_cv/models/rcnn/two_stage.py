"""Base class of two-stage detectors: a region proposal network and a head that classifies and refines regions."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator

from lit_cv.models.detection.anchors import on_cpu
from lit_cv.models.detection.detector import Detection, Detector, restore
from lit_cv.models.images import ImageBatch, Size, batch_objects, size_of
from lit_cv.models.network import Target
from lit_cv.models.rcnn.roi_head import RegionHead, RegionSample
from lit_cv.models.rcnn.rpn import Predictions, ProposalCount, RegionProposalNetwork
from lit_cv.models.resizing import FittedImages
from lit_cv.ops.limits import above_zero, at_least, fractions
from lit_cv.ops.roi import as_rois


class HeadOutputs(NamedTuple):
    """Raw outputs of the heads for K regions, float32.

    Attributes:
        logits: (K, num_classes).
        deltas: (K, num_classes, 4), relative to the regions and multiplied by ``ROI_WEIGHTS``.
        more: Outputs of further heads, see the subclasses of ``TwoStageDetector``.
    """

    logits: Tensor
    deltas: Tensor
    more: tuple[Tensor, ...] = ()


class TwoStageOutputs(NamedTuple):
    """Raw outputs for A anchors and K regions, float32.

    Attributes:
        rpn_logits: (B, A), objectness of the anchors.
        rpn_deltas: (B, A, 4), relative to the anchors.
        anchors: (A, 4), ``x1, y1, x2, y2`` in pixels of the resized images.
        rois: (K, 5), the regions: index of the image, then ``x1, y1, x2, y2`` in pixels of the resized images.
        logits: (K, num_classes), see ``HeadOutputs``.
        deltas: (K, num_classes, 4), see ``HeadOutputs``.
        more: See ``HeadOutputs``.
    """

    rpn_logits: Tensor
    rpn_deltas: Tensor
    anchors: Tensor
    rois: Tensor
    logits: Tensor
    deltas: Tensor
    more: tuple[Tensor, ...]


class TwoStageDetector(FittedImages, Detector, ABC):
    """A region proposal network and a region head on one backbone, trained together (approximate joint training).

    A subclass builds ``backbone``, which maps pixels (B, 3, H, W) to a dictionary of feature maps, ``rpn`` and
    ``roi_heads``, and implements the classification of regions.

    ``forward`` computes the outputs of the heads for the network's own proposals or for given regions. The number of
    proposals depends on the pixels, so tracers and exporters need given regions. Trace a network with a pyramid on the
    CPU, because on GPUs the regions of each level are counted. ``losses`` and ``predict`` call the same parts as
    ``forward``; between them the proposals are clipped to each image, sampled or refined.

    Args:
        anchor_ratios: Height divided by width of the anchors, the same on every level. Default: 0.5, 1, 2.
        rpn_pre_nms_train: Maximum number of proposals of each level before NMS, in ``losses``.
        rpn_pre_nms_test: Maximum number of proposals of each level before NMS, in ``predict``.
        rpn_post_nms_train: Maximum number of proposals of each image after NMS, in ``losses``.
        rpn_post_nms_test: Maximum number of proposals of each image after NMS, in ``predict``.
        rpn_nms_threshold: If two proposals have an IoU above this, the less likely one is removed.
        rpn_batch: Maximum number of anchors sampled per image for the loss.
        roi_batch: Maximum number of regions sampled per image for the loss.
        options: Arguments of ``FittedImages`` and ``Detector``.

    Attributes:
        keep_train: Maximum number of proposals in ``losses``.
        keep_test: Maximum number of proposals in ``predict``.
        trained: Losses that are computed: those of the ``proposals``, those of the ``regions`` or ``both``. The others
            are 0. ``lit_cv.callbacks.AlternatingTraining`` sets it.
        proposer: Backbone for only the proposals of ``losses``, in a tuple, so that it is not a submodule; None uses
            the network's own backbone.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("rpn_objectness", "rpn_box", "roi_class", "roi_box")
    backbone: nn.Module
    rpn: RegionProposalNetwork
    roi_heads: RegionHead

    def __init__(
        self,
        *args: Any,
        anchor_ratios: list[float] | None = None,
        rpn_pre_nms_train: int = 2000,
        rpn_pre_nms_test: int = 1000,
        rpn_post_nms_train: int = 2000,
        rpn_post_nms_test: int = 1000,
        rpn_nms_threshold: float = 0.7,
        rpn_batch: int = 256,
        roi_batch: int = 512,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        kept = {"rpn_pre_nms_train": rpn_pre_nms_train, "rpn_pre_nms_test": rpn_pre_nms_test}
        kept |= {"rpn_post_nms_train": rpn_post_nms_train, "rpn_post_nms_test": rpn_post_nms_test}
        at_least(1, **kept, rpn_batch=rpn_batch, roi_batch=roi_batch)
        fractions(rpn_nms_threshold=rpn_nms_threshold)
        above_zero(anchor_ratios=anchor_ratios)
        self.anchor_ratios = [0.5, 1.0, 2.0] if anchor_ratios is None else anchor_ratios
        self.keep_train = ProposalCount(rpn_pre_nms_train, rpn_post_nms_train)
        self.keep_test = ProposalCount(rpn_pre_nms_test, rpn_post_nms_test)
        self.rpn_nms_threshold, self.rpn_batch, self.roi_batch = rpn_nms_threshold, rpn_batch, roi_batch
        self.trained: Literal["both", "proposals", "regions"] = "both"
        self.proposer: tuple[nn.Module] | None = None

    def build_rpn(self, channels: int, anchors: AnchorGenerator, score_threshold: float = 0.0) -> RegionProposalNetwork:
        """Build the region proposal network, see there for the arguments."""
        return RegionProposalNetwork(channels, anchors, self.rpn_batch, self.rpn_nms_threshold, score_threshold)

    def forward(self, pixels: Tensor, rois: Tensor | None = None) -> TwoStageOutputs:
        """Compute the outputs for all anchors and for regions.

        Args:
            pixels: float32 (B, 3, H, W), normalized; H and W are multiples of 32.
            rois: float32 (K, 5), see ``TwoStageOutputs``; None: the proposals of ``predict``.
        """
        size, maps = size_of(pixels), self._maps(pixels)
        found: Predictions = self.rpn(size, self._proposal_maps(maps))
        if rois is None:
            rois = as_rois(self.rpn.propose(found, [size] * len(pixels), self.keep_test))
        return TwoStageOutputs(found.logits, found.deltas, found.anchors, rois, *self.head_outputs(size, maps, rois))

    def head_outputs(self, size: Size, maps: list[Tensor], rois: Tensor) -> HeadOutputs:
        """Compute the outputs of the heads for regions (K, 5), see ``TwoStageOutputs``.

        Args:
            size: Height and width of the batch in pixels.
            maps: Feature maps of the batch, finest first.
            rois: The regions.
        """
        return HeadOutputs(*self._classify(size, maps, rois))

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``; Ren et al. 2015, eq. 1, and Girshick 2015, eq. 1."""
        batch = self.batch(images)
        objects, size = batch_objects(targets, batch, self.num_classes), size_of(batch.pixels)
        maps = self._maps(batch.pixels)
        seen = maps if self.proposer is None else list(self.proposer[0](batch.pixels).values())
        predictions = self.rpn(size, self._proposal_maps(seen))
        losses = dict.fromkeys(self.loss_names, predictions.logits.new_zeros(()))
        if self.trained != "regions":
            losses["rpn_objectness"], losses["rpn_box"] = self.rpn.losses(predictions, objects)
        if self.trained != "proposals":
            proposals = self.rpn.propose(predictions, batch.sizes, self.keep_train)
            losses |= self._region_losses(batch, maps, self.roi_heads.sample(proposals, objects), targets)
        return losses

    def _region_losses(
        self, batch: ImageBatch, maps: list[Tensor], sample: RegionSample, targets: list[Target]
    ) -> dict[str, Tensor]:
        """Compute the losses of sampled regions."""
        logits, deltas = self._classify(size_of(batch.pixels), maps, sample.rois)
        class_loss, box_loss = self.roi_heads.losses(logits, deltas, sample)
        return {"roi_class": class_loss, "roi_box": box_loss}

    def _predict(self, images: list[Tensor]) -> list[Detection]:
        return self.predict_batch(self.batch(images))

    def predict_batch(self, batch: ImageBatch) -> list[Detection]:
        """Predict for resized and normalized images, see ``Network.predict``."""
        return restore(self._detect(batch, self._maps(batch.pixels)), batch)

    def _detect(self, batch: ImageBatch, maps: list[Tensor]) -> list[Detection]:
        """Return the detections of each image, in pixels of the resized images."""
        proposals = self._propose(batch, maps)
        logits, deltas = self._classify(size_of(batch.pixels), maps, as_rois(proposals))
        return self.roi_heads.detect(logits, deltas, proposals, batch.sizes)

    def _propose(self, batch: ImageBatch, maps: list[Tensor]) -> list[Tensor]:
        """Return the proposals of ``predict`` for each image, (N, 4) in pixels of the resized images."""
        found = self.rpn(size_of(batch.pixels), self._proposal_maps(maps))
        return self.rpn.propose(found, batch.sizes, self.keep_test)

    def anchors_on(self, pixels: Tensor) -> Tensor:
        """Return the anchors of the proposals, see ``Anchored``."""
        return torch.cat(self.rpn.anchors(size_of(pixels), on_cpu(self._proposal_maps(self._maps(pixels)))))

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        return list(self.backbone(pixels).values())

    def _proposal_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """Select the input maps of the region proposal network."""
        return maps

    @abstractmethod
    def _classify(self, size: Size, maps: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and deltas of ``head_outputs``."""
