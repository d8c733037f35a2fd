"""SSD (Liu et al. 2016): one-stage detection with default boxes on several feature maps."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSDHead

from lit_cv.errors import UserError
from lit_cv.models.detection.anchors import on_cpu
from lit_cv.models.detection.detector import Detection, Detector, Keep, keep_best, restore
from lit_cv.models.detection.ssd_features import VGG16_STEPS, ExtendedFeatures, vgg16_features
from lit_cv.models.images import ImageBatch, Objects, batch_objects, size_of
from lit_cv.models.network import OnePassNetwork, Target
from lit_cv.models.resizing import SquareImages
from lit_cv.ops.boxes import clip_boxes, decode_boxes, encode_boxes, match_best, take
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.limits import above_zero, at_least

WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # factors of dx, dy, dw, dh: the inverse variances of Liu's code
MATCH_IOU = 0.5
CANDIDATES = 400  # maximum number of boxes of each class before NMS
PAPER_RATIOS = [[2.0], [2.0, 3.0], [2.0, 3.0], [2.0, 3.0], [2.0], [2.0]]
PAPER_RATIOS_512 = [*PAPER_RATIOS[:4], [2.0, 3.0], *PAPER_RATIOS[4:]]

# Liu's VGG-16 was trained on pixels of 0 to 255 from which only the mean was subtracted.
VGG16_MEAN = (0.48235, 0.45882, 0.40784)
VGG16_STD = (1 / 255, 1 / 255, 1 / 255)


class SSDOutputs(NamedTuple):
    """Raw outputs for A default boxes, finest map first, float32.

    Attributes:
        logits: (B, A, num_classes).
        deltas: (B, A, 4), relative to the default boxes and multiplied by ``WEIGHTS``.
        anchors: (A, 4), the default boxes, ``x1, y1, x2, y2`` in pixels of the resized images.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor


class SSD(SquareImages, OnePassNetwork, Detector):
    """SSD on any backbone.

    With ``vgg16`` it is the paper's SSD300 or SSD512. With ``atrous``, SSD300 has the parameters, losses and detections
    of torchvision's ``ssd300_vgg16``, whose published state dict loads with ``load_state_dict``. Both expect the pixels
    of Liu's VGG-16. With this backbone, ``weights: imagenet`` are torchvision's ``IMAGENET1K_FEATURES``; a local state
    dict should hold these weights, too. Other backbones provide their maps at strides 8 and 16, and extra blocks halve
    the last one.

    Args:
        size: Height and width of the resized image in pixels; 300 or 512 on ``vgg16``.
        anchor_ratios: A list for each map, finest first; the number of lists is the number of maps. Each map has two
            squares, and each ratio r adds a box r times as wide as high and a box r times as high as wide. Default: the
            paper's ratios.
        anchor_scales: Side of the square boxes of each map, divided by the side of the image, and one more number for
            the second square of the last map. Default: 0.07, then evenly spaced from 0.15 to 1.05.
        atrous: For ``vgg16``. True: pool5 is 3x3 with stride 1, and fc6 has dilation 6. False: pool5 is 2x2 with stride
            2 as in VGG, fc6 is a 3x3 convolution without dilation, and conv5_3 is an additional prediction map, as in
            section 3.2 of the paper (which also keeps fc6 and fc7 whole: 7x7 and 4,096 channels; here 3x3 and 1,024).
            One extra block is left out, so that the grids are the same.
        negatives_per_positive: Maximum number of negative default boxes in the class loss for each positive one.
        options: Arguments of ``SquareImages`` and ``Detector``.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("class", "box")
    class_layers = {"head.classification_head.module_list.*": "last"}

    def __init__(
        self,
        *args: Any,
        backbone: str = "vgg16",
        size: int = 300,
        anchor_ratios: list[list[float]] | None = None,
        anchor_scales: list[float] | None = None,
        atrous: bool = True,
        negatives_per_positive: float = 3.0,
        score_threshold: float = 0.01,
        nms_threshold: float = 0.45,
        detections_per_image: int = 200,
        **options: Any,
    ) -> None:
        keep = Keep(score_threshold, nms_threshold, detections_per_image)
        super().__init__(*args, backbone=backbone, size=size, **keep._asdict(), **options)
        at_least(0, negatives_per_positive=negatives_per_positive)
        above_zero(anchor_scales=anchor_scales)
        for ratios in anchor_ratios or ():
            above_zero(anchor_ratios=ratios)
        self.negatives_per_positive = negatives_per_positive
        self.is_vgg16 = backbone == "vgg16"
        if anchor_ratios is None:
            anchor_ratios = PAPER_RATIOS_512 if self.is_vgg16 and size == 512 else PAPER_RATIOS
        self.backbone, channels = self._build_features(atrous, len(anchor_ratios))
        scales = anchor_scales or [0.07, *torch.linspace(0.15, 1.05, len(channels)).tolist()]
        if len(anchor_ratios) != len(channels) or len(scales) != len(channels) + 1:
            raise UserError(
                f"anchor_ratios has {len(anchor_ratios)} lists and anchor_scales {len(scales)} numbers: "
                f"SSD on {backbone} has {len(channels)} maps; give one list for each, and one more scale than maps."
            )
        steps = VGG16_STEPS[size] if self.is_vgg16 else None
        self.anchor_generator = DefaultBoxGenerator(anchor_ratios, scales=scales, steps=steps)
        self.head = SSDHead(channels, self.anchor_generator.num_anchors_per_location(), self.num_classes)
        self.use_memory_format()

    def _build_features(self, atrous: bool, maps: int) -> tuple[nn.Module, list[int]]:
        """Build a module that maps pixels to a dictionary of maps, and list their channels."""
        if not self.is_vgg16:
            features = ExtendedFeatures(self.build_trunk().up_to(16).freeze(self.trainable_layers), maps)
            return features, features.channels
        if self.size not in VGG16_STEPS:
            raise UserError(
                f"size={self.size}: SSD on vgg16 is SSD300 or SSD512; choose such a size or another backbone."
            )
        self.mean, self.std = VGG16_MEAN, VGG16_STD
        if self.weights == "imagenet":
            self.weights = "imagenet-features"
        return vgg16_features(self.build_trunk().up_to(16).freeze(self.trainable_layers), self.size, atrous)

    def forward(self, pixels: Tensor) -> SSDOutputs:
        """Compute the outputs for all default boxes for normalized pixels (B, 3, ``size``, ``size``)."""
        maps = list(self.backbone(pixels).values())
        output = self.head(maps)
        like = [level.float() for level in maps]  # the generator uses the dtype of the maps
        anchors = self.anchor_generator(ImageList(pixels, [size_of(pixels)]), like)[0]
        return SSDOutputs(output["cls_logits"].float(), output["bbox_regression"].float(), anchors)

    def anchors_on(self, pixels: Tensor) -> Tensor:
        """Return the default boxes, see ``Anchored``."""
        maps = on_cpu(self.backbone(pixels).values())
        boxes: Tensor = self.anchor_generator(ImageList(pixels, [size_of(pixels)]), maps)[0]
        return boxes

    def losses_of(self, outputs: SSDOutputs, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the losses of raw outputs; Liu et al. 2016, eq. 1-3, with hard negative mining (section 2.2)."""
        logits, deltas, anchors = outputs
        objects = batch_objects(targets, batch, self.num_classes)
        index, positive = self._match(objects, anchors)
        classes = torch.where(positive, objects.labels.gather(1, index), 0)
        count = shared_count(positive)
        # Only positive anchors have a target; the others take themselves, which avoids log(0).
        boxes = torch.where(positive[..., None], take(objects.boxes, index), anchors)
        box = F.smooth_l1_loss(deltas, encode_boxes(boxes, anchors, WEIGHTS), reduction="none") * positive[..., None]
        entropy = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none").view_as(classes)
        # Hard negatives: sorted by descending loss, as many as the number of positives allows.
        negatives = entropy.masked_fill(positive, 0).sort(dim=1, descending=True).values
        allowed = self.negatives_per_positive * positive.sum(dim=1, keepdim=True)
        mined = negatives * (torch.arange(negatives.shape[1], device=negatives.device) < allowed)
        return {"class": ((entropy * positive).sum() + mined.sum()) / count, "box": box.sum() / count}

    def _match(self, objects: Objects, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the object of each default box, int64 (B, A), and whether it has an object, bool (B, A)."""
        matches = [match_best(objects.boxes_of(image), anchors, MATCH_IOU) for image in range(len(objects.counts))]
        index, positive = zip(*matches, strict=True)
        return torch.stack(index), torch.stack(positive)

    def found_in(self, outputs: SSDOutputs, batch: ImageBatch) -> list[Detection]:
        """Decode the default boxes and apply NMS to the best ones of each class."""
        logits, deltas, anchors = outputs
        boxes = clip_boxes(decode_boxes(deltas, anchors, WEIGHTS), batch.sizes)
        scores = logits.softmax(dim=-1)[..., 1:].transpose(1, 2)
        best = scores.topk(min(CANDIDATES, scores.shape[2]), dim=2)
        labels = torch.arange(1, self.num_classes, device=boxes.device)[:, None].expand_as(best.indices[0]).flatten()
        parts = zip(boxes, best.values, best.indices, strict=True)
        return restore(
            [
                keep_best(image_boxes[index.flatten()], image_scores.flatten(), labels, self.keep)
                for image_boxes, image_scores, index in parts
            ],
            batch,
        )
