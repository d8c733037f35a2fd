"""The head that classifies and refines regions."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import clip_boxes_to_image

from lit_cv.models.detection.detector import Detection, Keep, best_of_regions
from lit_cv.models.images import Objects, Size
from lit_cv.models.rcnn.rpn import BETA
from lit_cv.ops.boxes import decode_boxes, encode_boxes, match_boxes, sample_balanced, take
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.roi import RoIOp, pool_rois

ROI_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class RegionSample(NamedTuple):
    """Regions of the whole batch sampled for the loss.

    Attributes:
        rois: float32 (K, 5): index of the image, then ``x1, y1, x2, y2`` in pixels of the resized image.
        classes: int64 (K,), 0 for background.
        boxes: float32 (K, 4), the object with the highest IoU; meaningful only where ``classes > 0``.
        objects: int64 (K,), index of that object among the objects of its image.
    """

    rois: Tensor
    classes: Tensor
    boxes: Tensor
    objects: Tensor


class RegionHead(nn.Module):
    """Base class of heads on regions: the sampling of training regions, the losses and the detections.

    Args:
        sampled: Maximum number of regions sampled per image for the loss.
        keep: Thresholds and maximum number of detections.
        lowest_negative: Minimum IoU of a background region with an object.
        beta: Difference at which the smooth L1 loss of boxes changes from quadratic to linear.

    Attributes:
        positive_iou: Minimum IoU of a positive region with its object.
        negative_iou: Background regions have a lower IoU than this with all objects.
        positives: Maximum share of positive regions.
    """

    positive_iou: ClassVar[float] = 0.5
    negative_iou: ClassVar[float] = 0.5
    positives: ClassVar[float] = 0.25

    def __init__(
        self,
        sampled: int,
        keep: Keep,
        lowest_negative: float = 0.0,
        beta: float = BETA,
    ) -> None:
        super().__init__()
        self.sampled, self.keep = sampled, keep
        self.lowest_negative = lowest_negative
        self.beta = beta

    def sample(self, proposals: list[Tensor], objects: Objects) -> RegionSample:
        """Sample the regions of the loss from the proposals (N, 4) of each image and from the objects themselves."""
        candidates = [torch.cat((boxes, objects.boxes_of(image))) for image, boxes in enumerate(proposals)]
        matches = [
            match_boxes(
                objects.boxes_of(image), boxes, self.positive_iou, self.negative_iou, lowest=self.lowest_negative
            )
            for image, boxes in enumerate(candidates)
        ]
        index = pad_sequence([match[0] for match in matches], batch_first=True)
        state = pad_sequence([match[1] for match in matches], batch_first=True, padding_value=-1)
        chosen, valid = sample_balanced(state, self.sampled, self.positives)
        image, place = valid.nonzero(as_tuple=True)
        chosen = chosen[image, place]
        matched = index[image, chosen]
        return RegionSample(
            rois=torch.cat((image[:, None], pad_sequence(candidates, batch_first=True)[image, chosen]), dim=1),
            classes=torch.where(state[image, chosen] > 0, objects.labels[image, matched], 0),
            boxes=objects.boxes[image, matched],
            objects=matched,
        )

    def losses(self, logits: Tensor, deltas: Tensor, sample: RegionSample) -> tuple[Tensor, Tensor]:
        """Compute the class and box losses of sampled regions (Girshick 2015, eq. 1), both divided by their number.

        Args:
            logits: float32 (K, classes).
            deltas: float32 (K, classes, 4), relative to the regions and multiplied by ``ROI_WEIGHTS``.
            sample: The K regions.
        """
        references, classes = sample.rois[:, 1:], sample.classes
        positive = (classes > 0)[:, None]
        # Only positive regions have a target; the others take themselves, which avoids log(0).
        target = encode_boxes(torch.where(positive, sample.boxes, references), references, ROI_WEIGHTS)
        own = take(deltas, classes[:, None])[:, 0]
        box = F.smooth_l1_loss(own, target, beta=self.beta, reduction="none") * positive
        count = shared_count(classes >= 0)
        return F.cross_entropy(logits, classes, reduction="sum") / count, box.sum() / count

    def detect(self, logits: Tensor, deltas: Tensor, proposals: list[Tensor], sizes: list[Size]) -> list[Detection]:
        """Convert logits and deltas of all proposals, see ``losses``, to detections in pixels of the resized images."""
        return self.choose(logits.softmax(dim=-1)[:, 1:], deltas, proposals, sizes)

    def choose(self, scores: Tensor, deltas: Tensor, proposals: list[Tensor], sizes: list[Size]) -> list[Detection]:
        """Do the same as ``detect`` for scores in [0, 1] (K, classes without background)."""
        return self.select(scores, self.boxes(deltas, torch.cat(proposals)), proposals, sizes)

    def boxes(self, deltas: Tensor, regions: Tensor) -> Tensor:
        """Return the boxes (K, classes without background, 4) of deltas, see ``losses``, on regions (K, 4)."""
        return decode_boxes(deltas, regions[:, None], ROI_WEIGHTS)[:, 1:]

    def select(self, scores: Tensor, boxes: Tensor, proposals: list[Tensor], sizes: list[Size]) -> list[Detection]:
        """Do the same as ``choose`` for ``boxes``."""
        counts = [part.shape[0] for part in proposals]
        return [
            best_of_regions(clip_boxes_to_image(image_boxes, size), image_scores, self.keep)
            for image_boxes, image_scores, size in zip(
                torch.split(boxes, counts), torch.split(scores, counts), sizes, strict=True
            )
        ]


class RoIHead(RegionHead):
    """Classifies regions and refines their boxes, with one regressor for each class (Girshick 2015, section 2.3).

    Args:
        box_head: Module that maps pooled regions (K, C, 7, 7) to ``features`` (K, D).
        features: Length D of the feature vectors.
        num_classes: Number of classes with the background.
        op: Operator that pools regions, see ``pool_rois``.
        sampled: This argument and the next ones: see ``RegionHead``.
    """

    SIZE = 7

    def __init__(
        self,
        box_head: nn.Module,
        features: int,
        num_classes: int,
        op: RoIOp,
        sampled: int,
        keep: Keep,
        lowest_negative: float = 0.0,
        beta: float = BETA,
    ) -> None:
        super().__init__(sampled, keep, lowest_negative, beta)
        self.box_head = box_head
        self.box_predictor = FastRCNNPredictor(features, num_classes)
        self.op = op

    def forward(self, maps: list[Tensor], strides: list[int], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (K, classes) and deltas (K, classes, 4), float32, of regions (K, 5), see ``pool_rois``."""
        return self.classify(self.box_head(self.pool(maps, strides, rois)))

    def pool(self, maps: list[Tensor], strides: list[int], rois: Tensor) -> Tensor:
        """Pool regions (K, 5), see ``pool_rois``, to (K, C, 7, 7), the input of ``box_head``."""
        return pool_rois(maps, strides, rois, self.SIZE, self.op)

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (K, classes) and deltas (K, classes, 4), float32, from the output of ``box_head`` (K, D)."""
        logits, deltas = self.box_predictor(features)
        return logits.float(), deltas.float().unflatten(1, (-1, 4))
