"""The region proposal network (Ren et al. 2015).

Its parameters have torchvision's names, so published state dicts load. All computations are batched, and only NMS
waits for the device.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RPNHead

from lit_cv.models.detection.anchors import AnchorGrid
from lit_cv.models.images import Objects, Size
from lit_cv.ops.boxes import clip_boxes, decode_boxes, encode_boxes, grouped_nms, match_boxes, sample_balanced, take
from lit_cv.ops.global_batch import shared_count

BETA = 1 / 9  # difference at which the smooth L1 loss of boxes changes from quadratic to linear


class ProposalCount(NamedTuple):
    """Maximum number of proposals: of each level before NMS, and of each image after NMS."""

    before: int
    after: int


class Predictions(NamedTuple):
    """Raw output of the region proposal network for a batch with A anchors for each image, in float32.

    Attributes:
        logits: (B, A), objectness.
        deltas: (B, A, 4), relative to the anchors.
        anchors: (A, 4), in pixels of the resized images.
        counts: Number of anchors on each level, with sum A.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: list[int]


class RegionProposalNetwork(nn.Module):
    """Proposes class-agnostic boxes from anchors (Faster R-CNN, Ren et al. 2015, section 3.1).

    Args:
        channels: Channels of the feature maps.
        anchors: Generator of the anchors. All levels must have the same number of anchors for each cell.
        sampled: Maximum number of anchors sampled per image for the loss, at most half of them positive.
        nms_threshold: If two proposals have an IoU above this, the less likely one is removed.
        score_threshold: Proposals with a lower probability are removed.
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
        self.anchors = AnchorGrid(anchors)

    def forward(self, size: Size, maps: list[Tensor]) -> Predictions:
        """Score and regress the anchors of all maps (B, C, h, w) of a batch of the given height and width."""
        logits, deltas = self.head(maps)
        flat_logits = [level.permute(0, 2, 3, 1).flatten(1) for level in logits]
        flat_deltas = [level.permute(0, 2, 3, 1).reshape(len(level), -1, 4) for level in deltas]
        return Predictions(
            logits=torch.cat(flat_logits, dim=1).float(),
            deltas=torch.cat(flat_deltas, dim=1).float(),
            anchors=torch.cat(self.anchors(size, maps)),
            counts=[level.shape[1] for level in flat_logits],
        )

    def losses(self, predictions: Predictions, objects: Objects) -> tuple[Tensor, Tensor]:
        """Compute the objectness and box losses of sampled anchors (Ren et al. 2015, eq. 1).

        Both are divided by the number of sampled anchors, as in torchvision. The paper divides the box loss by the
        number of anchor positions (about 2,400) and multiplies it by lambda = 10.
        """
        anchors = predictions.anchors
        matches = [
            match_boxes(objects.boxes_of(image), anchors, high=0.7, low=0.3, rescue=True)
            for image in range(len(objects.counts))
        ]
        index, state = (torch.stack(part) for part in zip(*matches, strict=True))
        chosen, valid = sample_balanced(state, self.sampled, positive_fraction=0.5)
        positive = (state.gather(1, chosen) > 0) & valid
        logits = predictions.logits.gather(1, chosen)
        objectness = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
        references = anchors[chosen]
        boxes = take(objects.boxes, index.gather(1, chosen))
        # Only positive anchors have a target; the others take themselves, which avoids log(0).
        target = encode_boxes(torch.where(positive[..., None], boxes, references), references)
        box = F.smooth_l1_loss(take(predictions.deltas, chosen), target, beta=BETA, reduction="none")
        count = shared_count(valid)
        return (objectness * valid).sum() / count, (box * positive[..., None]).sum() / count

    @torch.no_grad()
    def propose(self, predictions: Predictions, sizes: list[Size], keep: ProposalCount) -> list[Tensor]:
        """Decode the best anchors of each level and apply NMS.

        Args:
            predictions: Output of ``forward``.
            sizes: Height and width of the resized images, to which the boxes are clipped.
            keep: Maximum number of proposals before and after NMS.

        Returns:
            Proposals of each image, float32 (N, 4), N <= ``keep.after``, by descending score.
        """
        best, start = [], 0
        for level in torch.split(predictions.logits, predictions.counts, dim=1):
            best.append(level.topk(torch.sym_min(keep.before, level.shape[1]), dim=1).indices + start)
            start += level.shape[1]
        levels = torch.cat([torch.full_like(index[0], level) for level, index in enumerate(best)])
        index = torch.cat(best, dim=1)
        boxes = clip_boxes(decode_boxes(take(predictions.deltas, index), predictions.anchors[index]), sizes)
        scores = predictions.logits.gather(1, index).sigmoid()
        usable = (boxes[..., 2:] - boxes[..., :2] >= 1e-3).all(-1) & (scores >= self.score_threshold)
        image, place = usable.nonzero(as_tuple=True)
        chosen = (boxes[image, place], scores[image, place], levels[place])
        # The proposals of one image are not counted, because exporters cannot know the number.
        counts = [place.shape[0]] if len(sizes) == 1 else usable.sum(dim=1).tolist()
        proposals = []
        for image_boxes, image_scores, image_levels in zip(
            *(torch.split(part, counts) for part in chosen), strict=True
        ):
            kept = grouped_nms(image_boxes, image_scores, image_levels, self.nms_threshold)
            proposals.append(image_boxes[kept[: keep.after]])
        return proposals
