"""R-CNN (Girshick et al. 2014): each region is cut out, warped and classified separately."""

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image

from lit_cv.errors import UserError
from lit_cv.models.backbones.classifier_ends import WindowHead
from lit_cv.models.detection.detector import Detection, best_of_regions
from lit_cv.models.images import batch_images
from lit_cv.models.network import Network, Target, evaluating
from lit_cv.models.rcnn.proposals import ProposalDetector
from lit_cv.models.rcnn.region_svm import RegionClassifiers
from lit_cv.ops.boxes import match_boxes, sample_balanced
from lit_cv.ops.global_batch import gather_rows, shared_count
from lit_cv.ops.global_random import uniform
from lit_cv.ops.limits import at_least
from lit_cv.ops.warp import warp_regions

FeatureLayer = Literal["pool5", "fc6", "fc7"]


class RCNNOutputs(NamedTuple):
    """Raw outputs for K windows.

    Attributes:
        logits: float32 (K, num_classes), of the softmax.
        features: (K, D), the input of the SVMs.
        pool5: (K, D'), the input of the box regressors.
    """

    logits: Tensor
    features: Tensor
    pool5: Tensor


class RCNN(ProposalDetector):
    """R-CNN on any backbone.

    The loss fine-tunes the network with a softmax over the classes and the background (section 2.3 and appendix B). The
    objects themselves are added to the regions. Regions with an IoU of at least 0.5 with an object are positive; up to
    a quarter of ``windows`` are positive, 32 of 128 in the paper. They are sampled from all images of the batch
    together. The paper samples from the whole data set, so a batch should contain several images.

    ``lit_cv.callbacks.RegionStages`` trains the SVMs and the box regressors afterwards. Before that, detections are
    classified by the softmax and not refined. The score of a detection is the probability of the softmax or the sigmoid
    of the SVM's value, see ``RegionClassifiers.scores``.

    Args:
        size: Height and width of a warped region in pixels; 227 for the paper's AlexNet.
        padding: Pixels of context on each side of the proposal in the warped region.
        feature_layer: Input of the SVMs: ``fc7``, ``fc6`` or ``pool5`` on AlexNet or a plain VGG, whose softmax always
            follows fc7; on other backbones only ``pool5``, the last map averaged to 3 x 3. None is the last layer that
            exists. The input of the box regressors is always ``pool5``.
        classifier: ``svm`` trains SVMs after the network; ``softmax`` keeps the network's softmax (appendix B).
        box_regression: Whether box regressors are trained after the network (appendix C).
        windows: Maximum number of regions sampled for the loss from all images of a batch.
        region_batch: Number of regions in one forward pass without gradients; limits memory.
        options: Arguments of ``ProposalDetector``.

    Raises:
        UserError: The padding leaves nothing of the region, or the backbone lacks the layer.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("region_class",)
    class_layers = {"class_head.*": "first", "region_classifiers.*": "whole"}
    stages: ClassVar[dict[str, str]] = {
        **Network.stages,
        **dict.fromkeys(("region_classifiers.scores", "region_classifiers.boxes"), "heads"),
    }

    def __init__(
        self,
        *args: Any,
        backbone: str = "alexnet",
        size: int = 227,
        padding: int = 16,
        feature_layer: FeatureLayer | None = None,
        classifier: Literal["svm", "softmax"] = "svm",
        box_regression: bool = True,
        windows: int = 128,
        region_batch: int = 128,
        nms_threshold: float = 0.3,
        **options: Any,
    ) -> None:
        super().__init__(*args, backbone=backbone, nms_threshold=nms_threshold, **options)
        at_least(1, size=size, windows=windows, region_batch=region_batch)
        if not 0 <= 2 * padding < size:
            raise UserError(f"padding={padding}: a warped region of size={size} has no room for it; reduce it.")
        self.size, self.padding = size, padding
        self.classifier, self.box_regression = classifier, box_regression
        self.windows, self.region_batch = windows, region_batch
        trunk = self.build_trunk().freeze(self.trainable_layers)
        self.backbone = trunk.layers
        self.head = WindowHead(trunk, self.weights)
        lengths = self.head.lengths
        self.feature_layer = feature_layer or self.head.last
        if self.feature_layer not in lengths:
            raise UserError(f"feature_layer={feature_layer}: {backbone} has {', '.join(lengths)}; choose from these.")
        self.class_head = self.head.classifier(self.num_classes)
        self.region_classifiers = RegionClassifiers(self.num_classes - 1, lengths[self.feature_layer], lengths["pool5"])
        self.use_memory_format()

    def forward(self, windows: Tensor) -> RCNNOutputs:
        """Classify warped regions, normalized pixels (K, 3, ``size``, ``size``)."""
        vectors = self.head(self.backbone(windows))
        return RCNNOutputs(self._logits(vectors), vectors[self.feature_layer], vectors["pool5"])

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``. The targets need ``proposals``, see ``ProposalDetector``."""
        regions, classes = self._sample(images, targets)
        windows = [self._warp(self._pixels(image), part) for image, part in zip(images, regions, strict=True)]
        total = F.cross_entropy(self(torch.cat(windows)).logits, classes, reduction="sum")
        return {"region_class": total / shared_count(classes >= 0)}

    def _logits(self, vectors: dict[str, Tensor]) -> Tensor:
        """Apply the softmax layer, (K, classes); the vectors of ``pool5`` are scaled to unit variance first."""
        last = vectors[self.head.last]
        if self.head.last == "pool5":
            last = F.layer_norm(last, last.shape[1:])
        logits: Tensor = self.class_head(last).float()
        return logits

    def _sample(self, images: list[Tensor], targets: list[Target]) -> tuple[list[Tensor], Tensor]:
        """Sample regions of each image, float32 (K, 4), with the classes of all of them, int64, 0 for background."""
        device = self.device
        candidates, labels, states = [], [], []
        for image, target, given in zip(images, targets, self.given(targets), strict=True):
            boxes, own = target["boxes"].to(device), target["labels"].to(device)
            regions = torch.cat((boxes, given[: self.proposals_train].to(device)))
            if not len(regions):  # without any region, the whole image is background
                regions = boxes.new_tensor([[0, 0, image.shape[-1], image.shape[-2]]])
            index, state = match_boxes(boxes, regions, high=0.5, low=0.5)
            labels.append(torch.where(state > 0, F.pad(own, (0, 1))[index], 0))  # padded, because own may be empty
            candidates.append(regions)
            states.append(state)
        every, first = gather_rows(torch.cat(states))
        keys = uniform((1, len(every)), device)  # the same on all ranks
        indices, valid = sample_balanced(every[None], self.windows, 0.25, keys)
        chosen = torch.zeros_like(every, dtype=torch.bool)
        chosen[indices[valid]] = True
        chosen = chosen[first : first + sum(map(len, states))]
        parts = torch.split(chosen, [len(regions) for regions in candidates])
        return [regions[part] for regions, part in zip(candidates, parts, strict=True)], torch.cat(labels)[chosen]

    def region_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        """See ``StagedDetector``. Returns the vectors of ``feature_layer``."""
        return self._features(images, regions, self.feature_layer)

    def box_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        """See ``StagedDetector``. Returns the vectors of ``pool5``."""
        return self._features(images, regions, "pool5")

    def _features(self, images: list[Tensor], regions: list[Tensor], layer: str) -> Tensor:
        parts = [self.class_head.weight.new_zeros(0, self.head.lengths[layer])]
        with torch.no_grad(), evaluating(self):
            for image, boxes in zip(images, regions, strict=True):
                pixels = self._pixels(image)
                parts += [
                    self.head(self.backbone(self._warp(pixels, part)), last=layer)[layer].float()
                    for part in torch.split(boxes.to(pixels.device), self.region_batch)
                ]
        return torch.cat(parts)

    def _detect(self, images: list[Tensor], proposals: list[Tensor]) -> list[Detection]:
        return [
            self._detect_one(image, boxes[: self.proposals_test])
            for image, boxes in zip(images, proposals, strict=True)
        ]

    def _detect_one(self, image: Tensor, proposals: Tensor) -> Detection:
        pixels = self._pixels(image)
        classes = self.num_classes - 1
        scores, boxes = [pixels.new_zeros(0, classes)], [pixels.new_zeros(0, classes, 4)]
        with_svms = self.classifier == "svm" and bool(self.region_classifiers.svm_trained)
        with_boxes = self.box_regression and bool(self.region_classifiers.boxes_trained)
        for part in torch.split(proposals.to(pixels.device), self.region_batch):
            vectors = self.head(self.backbone(self._warp(pixels, part)))
            if with_svms:
                scores.append(self.region_classifiers.scores(vectors[self.feature_layer]))
            else:
                scores.append(self._logits(vectors).softmax(dim=1)[:, 1:])
            refined = self.region_classifiers.boxes(vectors["pool5"], part) if with_boxes else part[:, None]
            boxes.append(refined.expand(-1, classes, -1))
        return best_of_regions(clip_boxes_to_image(torch.cat(boxes), image.shape[-2:]), torch.cat(scores), self.keep)

    def _pixels(self, image: Tensor) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        return batch_images([image], [size], self.device, divisible=1).pixels[0]

    def _warp(self, pixels: Tensor, regions: Tensor) -> Tensor:
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        warped = warp_regions(pixels, regions, self.size, self.padding)
        return warped.to(self.dtype, memory_format=memory_format)
