"""Base class of two-stage detectors: a region proposal network and a head that classifies and refines regions."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from lit_cv.models.detection.detector import Detection, Detector, restore
from lit_cv.models.images import ImageBatch, batch_objects, fit_images
from lit_cv.models.network import Target
from lit_cv.models.rcnn.roi_head import RegionHead, RegionSample
from lit_cv.models.rcnn.rpn import ProposalCount, RegionProposalNetwork
from lit_cv.ops.roi import as_rois


class TwoStageDetector(Detector, ABC):
    """A region proposal network and a region head on one backbone, trained together (approximate joint training).

    A subclass builds ``backbone``, which maps pixels (B, 3, H, W) to a dictionary of feature maps, ``rpn`` and
    ``roi_heads``, and implements the classification of regions.

    Args:
        num_classes: Number of classes with the background.
        min_size: Pixels of the shorter side of the resized image.
        max_size: Limit of its longer side.
        channels_last: Memory format of the batch.
        keep_train: How many proposals there are in ``losses``.
        keep_test: The same in ``predict``.

    Attributes:
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
        num_classes: int,
        min_size: int,
        max_size: int,
        channels_last: bool,
        keep_train: ProposalCount,
        keep_test: ProposalCount,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.min_size, self.max_size, self.channels_last = min_size, max_size, channels_last
        self.keep_train, self.keep_test = keep_train, keep_test
        self.trained: Literal["both", "proposals", "regions"] = "both"
        self.proposer: tuple[nn.Module] | None = None

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``; Ren et al. 2015, eq. 1, and Girshick 2015, eq. 1."""
        batch = self._batch(images)
        objects = batch_objects(targets, batch)
        maps = list(self.backbone(batch.pixels).values())
        seen = maps if self.proposer is None else list(self.proposer[0](batch.pixels).values())
        predictions = self.rpn(batch, self._proposal_maps(seen))
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
        class_loss, box_loss = self.roi_heads.losses(*self._classify(batch, maps, sample.rois), sample)
        return {"roi_class": class_loss, "roi_box": box_loss}

    def _predict(self, images: list[Tensor]) -> list[Detection]:
        batch = self._batch(images)
        return restore(self._detect(batch, list(self.backbone(batch.pixels).values())), batch)

    def _detect(self, batch: ImageBatch, maps: list[Tensor]) -> list[Detection]:
        """Return the detections of each image, in pixels of the resized images."""
        proposals = self.rpn.propose(self.rpn(batch, self._proposal_maps(maps)), batch.sizes, self.keep_test)
        logits, deltas = self._classify(batch, maps, as_rois(proposals))
        return self.roi_heads.detect(logits, deltas, proposals, batch.sizes)

    def _proposal_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """Select the input maps of the region proposal network."""
        return maps

    @abstractmethod
    def _classify(self, batch: ImageBatch, maps: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (K, classes) and deltas (K, classes, 4), float32, of regions (K, 5), see ``pool_rois``."""

    def _batch(self, images: list[Tensor]) -> ImageBatch:
        return fit_images(images, self.min_size, self.max_size, self.device, self.channels_last)
