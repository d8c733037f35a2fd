"""What detectors with two stages share: the region proposal network and the head that classifies regions.

Parts and the names of their parameters are torchvision's, so its published state dicts load. The work between them is
done for the whole batch at once and waits for the device only where NMS does.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import clip_boxes_to_image

from lit_cv.models.detector import Detection, Keep, best_of_regions
from lit_cv.models.images import ImageBatch, Objects, Size
from lit_cv.models.recent import RecentTensors
from lit_cv.ops.boxes import clip_boxes, decode_boxes, encode_boxes, grouped_nms, match_boxes, sample_balanced, take
from lit_cv.ops.ranks import shared_count
from lit_cv.ops.roi import RoIOp, pool_rois

ROI_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
BETA = 1 / 9  # where the smooth L1 loss of boxes turns from quadratic to linear


class ProposalCount(NamedTuple):
    """How many boxes a region proposal network keeps: on each level before NMS, in each image after it."""

    before: int
    after: int


class Predictions(NamedTuple):
    """Raw output of the region proposal network for a batch with A anchors an image, in float32.

    Attributes:
        logits: (B, A) objectness.
        deltas: (B, A, 4) relative to the anchors.
        anchors: (A, 4), in pixels of the resized images.
        counts: The number of anchors on each level; they sum to A.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: list[int]


class RegionSample(NamedTuple):
    """Regions drawn for the loss of the whole batch.

    Attributes:
        rois: float32 (K, 5): index of the image, then ``x1, y1, x2, y2`` in pixels of the resized image.
        classes: int64 (K,), 0 for background.
        boxes: float32 (K, 4), of the object that the region overlaps most; only those of ``classes > 0`` mean anything.
        objects: int64 (K,), the place of that object among those of its image.
    """

    rois: Tensor
    classes: Tensor
    boxes: Tensor
    objects: Tensor


class RegionProposalNetwork(nn.Module):
    """Proposes class-agnostic boxes from anchors (Faster R-CNN, Ren et al. 2015, section 3.1).

    Args:
        channels: Channels of the feature maps.
        anchors: Generator of the anchors; all levels have equally many an element.
        sampled: Anchors drawn for the loss in each image, at most half of them positive.
        nms_threshold: IoU above which the less likely proposal goes.
        score_threshold: Proposals with a lower probability go.
    """

    def __init__(
        self, channels: int, anchors: AnchorGenerator, sampled: int, nms_threshold: float, score_threshold: float
    ) -> None:
        super().__init__()
        self.anchor_generator = anchors
        self.head = RPNHead(channels, anchors.num_anchors_per_location()[0])
        self.sampled = sampled
        self.nms_threshold = nms_threshold
        self.score_threshold = score_threshold
        self._anchors = RecentTensors()

    def forward(self, batch: ImageBatch, maps: list[Tensor]) -> Predictions:
        """Score and regress the anchors of all maps (B, C, H, W)."""
        logits, deltas = self.head(maps)
        flat_logits = [level.permute(0, 2, 3, 1).flatten(1) for level in logits]
        flat_deltas = [level.permute(0, 2, 3, 1).reshape(len(level), -1, 4) for level in deltas]
        return Predictions(
            logits=torch.cat(flat_logits, dim=1).float(),
            deltas=torch.cat(flat_deltas, dim=1).float(),
            anchors=self._anchors_of(batch, maps),
            counts=[level.shape[1] for level in flat_logits],
        )

    def _anchors_of(self, batch: ImageBatch, maps: list[Tensor]) -> Tensor:
        height, width = batch.pixels.shape[-2:]
        grids = [tuple(level.shape[-2:]) for level in maps]

        def make() -> Tensor:
            strides = [(height // rows, width // columns) for rows, columns in grids]
            # Not the generator's forward: under autocast it would round the anchors to bfloat16.
            self.anchor_generator.set_cell_anchors(torch.float32, maps[0].device)
            return torch.cat(self.anchor_generator.grid_anchors(grids, strides))

        return self._anchors.get((height, width, *grids, maps[0].device), make)

    def losses(self, predictions: Predictions, objects: Objects) -> tuple[Tensor, Tensor]:
        """Compute the objectness and box losses on a sample of anchors (Ren et al. 2015, eq. 1).

        Both are divided by the number of sampled anchors, as in torchvision; the paper divides the second by the number
        of anchor positions (about 2,400) and multiplies it by its lambda of 10.
        """
        anchors = predictions.anchors
        matches = [
            match_boxes(objects.boxes_of(image), anchors, high=0.7, low=0.3, rescue=True)
            for image in range(len(objects.counts))
        ]
        index, state = (torch.stack(part) for part in zip(*matches, strict=True))
        drawn, valid = sample_balanced(state, self.sampled, positive_fraction=0.5)
        positive = (state.gather(1, drawn) > 0) & valid
        logits = predictions.logits.gather(1, drawn)
        objectness = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
        references = anchors[drawn]
        boxes = take(objects.boxes, index.gather(1, drawn))
        # Only positives have a target; elsewhere the reference itself stands in, so that no log(0) appears.
        target = encode_boxes(torch.where(positive[..., None], boxes, references), references)
        box = F.smooth_l1_loss(take(predictions.deltas, drawn), target, beta=BETA, reduction="none")
        count = shared_count(valid)
        return (objectness * valid).sum() / count, (box * positive[..., None]).sum() / count

    @torch.no_grad()
    def propose(self, predictions: Predictions, sizes: list[Size], keep: ProposalCount) -> list[Tensor]:
        """Decode the best anchors of each level and suppress overlapping ones.

        Args:
            predictions: What ``forward`` returned.
            sizes: Height and width of the resized images, to which the boxes are clipped.
            keep: How many.

        Returns:
            Proposals of each image, float32 (N, 4), N <= ``keep.after``, by descending score.
        """
        best, start = [], 0
        for level in torch.split(predictions.logits, predictions.counts, dim=1):
            best.append(level.topk(min(keep.before, level.shape[1]), dim=1).indices + start)
            start += level.shape[1]
        levels = torch.cat([torch.full_like(index[0], level) for level, index in enumerate(best)])
        index = torch.cat(best, dim=1)
        boxes = clip_boxes(decode_boxes(take(predictions.deltas, index), predictions.anchors[index]), sizes)
        scores = predictions.logits.gather(1, index).sigmoid()
        usable = (boxes[..., 2:] - boxes[..., :2] >= 1e-3).all(-1) & (scores >= self.score_threshold)
        counts = usable.sum(dim=1).tolist()
        parts = (torch.split(values[usable], counts) for values in (boxes, scores, levels.expand_as(scores)))
        proposals = []
        for image_boxes, image_scores, image_levels in zip(*parts, strict=True):
            kept = grouped_nms(image_boxes, image_scores, image_levels, self.nms_threshold)
            proposals.append(image_boxes[kept[: keep.after]])
        return proposals


class RegionHead(nn.Module):
    """What heads on regions share: which regions they train on, their losses, and detections from their output.

    Args:
        sampled: Regions drawn for the loss in each image.
        keep: Which of them become detections.
        lowest_negative: IoU with an object from which a region may be drawn as background.
        beta: Where the smooth L1 loss of boxes turns from quadratic to linear.

    Attributes:
        positive_iou: IoU with an object from which a region may be drawn as that object.
        negative_iou: IoU with all objects below which it may be drawn as background.
        positives: The largest share of regions drawn as objects.
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
        """Draw the regions of the loss from the proposals of each image, (N, 4), and the objects themselves."""
        candidates = [torch.cat((boxes, objects.boxes_of(image))) for image, boxes in enumerate(proposals)]
        matches = [
            match_boxes(
                objects.boxes_of(image), boxes, self.positive_iou, self.negative_iou, lowest=self.lowest_negative
            )
            for image, boxes in enumerate(candidates)
        ]
        index = pad_sequence([match[0] for match in matches], batch_first=True)
        state = pad_sequence([match[1] for match in matches], batch_first=True, padding_value=-1)
        drawn, valid = sample_balanced(state, self.sampled, self.positives)
        image, place = valid.nonzero(as_tuple=True)
        drawn = drawn[image, place]
        matched = index[image, drawn]
        return RegionSample(
            rois=torch.cat((image[:, None], pad_sequence(candidates, batch_first=True)[image, drawn]), dim=1),
            classes=torch.where(state[image, drawn] > 0, objects.labels[image, matched], 0),
            boxes=objects.boxes[image, matched],
            objects=matched,
        )

    def losses(self, logits: Tensor, deltas: Tensor, sample: RegionSample) -> tuple[Tensor, Tensor]:
        """Compute the class and box losses of sampled regions (Girshick 2015, eq. 1), both divided by their number.

        Args:
            logits: float32 (K, classes).
            deltas: float32 (K, classes, 4), relative to the regions and times ``ROI_WEIGHTS``.
            sample: The K regions.
        """
        references, classes = sample.rois[:, 1:], sample.classes
        positive = (classes > 0)[:, None]
        # Only positives have a target; elsewhere the region itself stands in, so that no log(0) appears.
        target = encode_boxes(torch.where(positive, sample.boxes, references), references, ROI_WEIGHTS)
        own = take(deltas, classes[:, None])[:, 0]
        box = F.smooth_l1_loss(own, target, beta=self.beta, reduction="none") * positive
        count = shared_count(classes >= 0)
        return F.cross_entropy(logits, classes, reduction="sum") / count, box.sum() / count

    def detect(self, logits: Tensor, deltas: Tensor, proposals: list[Tensor], sizes: list[Size]) -> list[Detection]:
        """Turn logits and deltas, see ``losses``, of all proposals into detections in pixels of the resized images."""
        return self.choose(logits.softmax(dim=-1)[:, 1:], deltas, proposals, sizes)

    def choose(self, scores: Tensor, deltas: Tensor, proposals: list[Tensor], sizes: list[Size]) -> list[Detection]:
        """Do the work of ``detect`` on scores in [0, 1] (K, classes without background)."""
        counts = [len(part) for part in proposals]
        boxes = torch.split(decode_boxes(deltas, torch.cat(proposals)[:, None], ROI_WEIGHTS)[:, 1:], counts)
        return [
            best_of_regions(clip_boxes_to_image(image_boxes, size), image_scores, self.keep)
            for image_boxes, image_scores, size in zip(boxes, torch.split(scores, counts), sizes, strict=True)
        ]


class RoIHead(RegionHead):
    """Classifies regions and refines their boxes, one regressor a class (Fast R-CNN, Girshick 2015, section 2.3).

    Args:
        box_head: Maps pooled regions (K, C, 7, 7) to ``features`` (K, D).
        features: D.
        num_classes: With the background.
        op: How regions are pooled.
        sampled: This and the others, see ``RegionHead``.
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
        """Pool regions (K, 5), see ``pool_rois``, into (K, C, 7, 7), what ``box_head`` takes."""
        return pool_rois(maps, strides, rois, self.SIZE, self.op)

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (K, classes) and deltas (K, classes, 4), float32, from the output of ``box_head`` (K, D)."""
        logits, deltas = self.box_predictor(features)
        return logits.float(), deltas.float().unflatten(1, (-1, 4))
