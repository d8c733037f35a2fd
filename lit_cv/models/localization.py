"""Classification and localization of the one object of an image: its class and its box (Simonyan & Zisserman 2014)."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models.backbone_network import BackboneNetwork
from lit_cv.models.backbones.classifier_ends import POOLED, Head, backbone_head
from lit_cv.models.backbones.families import family_of
from lit_cv.models.images import ImageBatch
from lit_cv.models.layers.fully_connected import average_pool, fully_connected
from lit_cv.models.network import OnePassNetwork, Target, known_size
from lit_cv.models.resizing import SquareImages
from lit_cv.ops.boxes import take
from lit_cv.ops.limits import at_least, fractions

BoxHead = Literal["agnostic", "per_class"]
BoxLoss = Literal["l2", "l1", "smooth_l1"]
# Difference at which smooth L1 changes from quadratic to linear, in units of the image's side. With 1 the loss would be
# half of L2 for every box.
BETA = 0.1
# Standard deviations of the initial weights of the output layers of class and box (Girshick 2015, section 2.3). They
# are small because pretrained features are large.
DEVIATIONS = (0.01, 0.001)
# Initial biases of these layers: every box starts in the middle of the image, with half of its width and height. If
# boxes had to grow from size zero, the first steps would change hidden units so much that many of them die.
STARTS = (0.0, 0.5)


class Localization(TypedDict):
    """All classes with their predicted boxes, sorted by descending probability.

    Attributes:
        boxes: float32 (C, 4), ``x1, y1, x2, y2`` in pixels of the input image. Each box lies inside the image and is at
            least one pixel wide and high.
        scores: float32 (C,), probabilities of the classes, descending, with sum 1.
        labels: int64 (C,), each of 1..C once.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class LocalizationOutputs(NamedTuple):
    """Raw outputs, float32.

    Attributes:
        logits: (B, C), of the classes.
        codes: (B, C, 4), coded boxes, see ``encode``; with one box for all classes they are the same for each class.
    """

    logits: Tensor
    codes: Tensor


class LocalizationNet(SquareImages, OnePassNetwork, BackboneNetwork):
    """A classification head and a box regression head on one backbone (Simonyan & Zisserman 2014, appendix A).

    A target has ``boxes`` float32 (1, 4) ``x1, y1, x2, y2`` in pixels and ``labels`` int64 (1,) in 1..C.

    Images are resized to ``size`` x ``size``, without keeping their aspect ratio. A box is coded as in section A.1 of
    the paper: x and y of the center, width and height. x and width are divided by the width of the image, y and height
    by its height, so the whole image is (0.5, 0.5, 1, 1). The box loss is the sum over the four numbers, averaged over
    the images. With one box for each class, it uses the box of the true class only. The class loss is the
    cross-entropy, averaged over the images.

    All operations are deterministic, on GPUs too.

    Args:
        num_classes: Number of classes C, without a background; null in an experiment takes it from the data.
        box_head: ``agnostic``: one box for all classes (single-class regression, SCR, in the paper). ``per_class``: one
            box for each class (PCR).
        box_loss: ``l2``: squared Euclidean distance, as in the paper. ``l1``: sum of absolute differences.
            ``smooth_l1``: Girshick 2015, eq. 3, linear from differences of 0.1 on (differences of 1 hardly occur here).
        head: Layers between the backbone's map and each of the two output layers. ``mlp``: fully connected layers with
            random weights on the average-pooled last map. ``backbone``: the last layers of the classification network
            with their weights. These are pool5, fc6 and fc7 of a VGG, as in the paper, and the last stage and the
            average pooling of a ResNet. Each of the two heads has its own copy; they share only the backbone.
        pool: Height and width of the pooled map, for ``head: mlp``. ``size`` must be a multiple of the last map's
            stride times ``pool``; for the fully connected layers of VGG it must be 224.
        head_features: Width of each hidden layer, for ``head: mlp``.
        dropout: Dropout probability of the hidden layers, in [0, 1).
        options: Arguments of ``SquareImages`` and ``BackboneNetwork``.

    Raises:
        UserError: The backbone does not have this head, or ``size`` does not fit.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("class", "box")

    def __init__(
        self,
        num_classes: int | None,
        *,
        box_head: BoxHead = "per_class",
        box_loss: BoxLoss = "l2",
        head: Head = "mlp",
        pool: int = 7,
        head_features: Sequence[int] = (512,),
        dropout: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.num_classes = known_size("num_classes", num_classes)
        at_least(1, pool=pool, head_features=head_features)
        fractions(dropout=dropout)
        self.box_loss: BoxLoss = box_loss
        trunk = self.build_trunk()
        if head == "backbone":
            trunk = trunk.up_to(16)
        trunk = trunk.freeze(self.trainable_layers)
        self.backbone, last = trunk.layers, trunk.stages[-1]
        outputs = {"class": self.num_classes, "box": 4 * (self.num_classes if box_head == "per_class" else 1)}
        self.pool: nn.Module
        if head == "mlp":
            self.pool = average_pool(self.size, last.stride, pool)
            heads = [fully_connected(last.channels, pool, head_features, dropout, width) for width in outputs.values()]
        else:
            family = family_of(self.backbone_name)
            flat = family.fully_connected is not None and "regions" in family.ends
            self.pool = _pool5(self.size) if flat else nn.Identity()
            heads = [self._pretrained(dropout, width) for width in outputs.values()]
        self.class_head, self.box_head = heads
        of_classes = {"class_head": self.class_head, **({"box_head": self.box_head} if box_head == "per_class" else {})}
        self.class_layers = {f"{name}.{len(layers) - 1}.*": "first" for name, layers in of_classes.items()}  # type: ignore[misc]
        for layers, deviation, start in zip(heads, DEVIATIONS, STARTS, strict=True):
            weight, bias = list(layers.parameters())[-2:]
            nn.init.normal_(weight, std=deviation)
            nn.init.constant_(bias, start)
        self.use_memory_format()

    def _pretrained(self, dropout: float, outputs: int) -> nn.Sequential:
        """Build the last layers of the classification network with their weights, and a random linear output layer."""
        layers, features = backbone_head(self.backbone_name, self.weights, self.norm)
        for layer in layers.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = dropout
        return nn.Sequential(layers, nn.Linear(features, outputs))

    def forward(self, pixels: Tensor) -> LocalizationOutputs:
        """Classify images and regress boxes: normalized pixels (B, 3, ``size``, ``size``) to raw outputs."""
        features = self.pool(self.backbone(pixels))
        codes = self.box_head(features).float().view(len(features), -1, 4)
        return LocalizationOutputs(self.class_head(features).float(), codes.expand(-1, self.num_classes, -1))

    def losses_of(self, outputs: LocalizationOutputs, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the losses of raw outputs, see the class."""
        logits, codes = outputs
        boxes, labels = (
            torch.cat([target[key] for target in targets]).to(logits.device, non_blocking=True)
            for key in ("boxes", "labels")
        )
        wanted = encode(boxes, _widths_and_heights(batch))
        found = take(codes, labels[:, None] - 1)[:, 0]
        return {"class": F.cross_entropy(logits, labels - 1), "box": self._distance(found, wanted) / len(boxes)}

    def found_in(self, outputs: LocalizationOutputs, batch: ImageBatch) -> list[Localization]:
        """Rank the classes of each image with their boxes."""
        scores, order = outputs.logits.softmax(dim=1).sort(dim=1, descending=True, stable=True)
        boxes = take(decode(outputs.codes, _widths_and_heights(batch)), order)
        found = zip(boxes, scores, order + 1, strict=True)
        return [Localization(boxes=box, scores=score, labels=label) for box, score, label in found]

    def _distance(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Return the summed loss of coded boxes (B, 4)."""
        if self.box_loss == "l2":
            return F.mse_loss(found, wanted, reduction="sum")
        if self.box_loss == "l1":
            return F.l1_loss(found, wanted, reduction="sum")
        return F.smooth_l1_loss(found, wanted, reduction="sum", beta=BETA)


def encode(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Code boxes as center, width and height relative to their images (Simonyan & Zisserman 2014, section A.1).

    Args:
        boxes: float32 (B, 4), ``x1, y1, x2, y2`` in pixels.
        sizes: float32 (B, 2), width and height of the images in pixels.

    Returns:
        float32 (B, 4), x, y, width, height; in [0, 1] for boxes inside their images.
    """
    low, high = boxes[:, :2] / sizes, boxes[:, 2:] / sizes
    return torch.cat(((low + high) / 2, high - low), dim=1)


def decode(codes: Tensor, sizes: Tensor) -> Tensor:
    """Convert coded boxes to pixels, clip them to their images and make them at least one pixel wide and high.

    Args:
        codes: float32 (B, C, 4), x, y, width, height; any numbers.
        sizes: float32 (B, 2), width and height of the images in pixels.

    Returns:
        float32 (B, C, 4), ``x1, y1, x2, y2`` in pixels.
    """
    limits = sizes[:, None]
    center, half = codes[..., :2] * limits, codes[..., 2:] * limits / 2
    low = torch.minimum((center - half).clamp(min=0), limits - 1)
    high = torch.maximum(torch.minimum(center + half, limits), low + 1)
    return torch.cat((low, high), dim=-1)


def _widths_and_heights(batch: ImageBatch) -> Tensor:
    """Return the sizes of the input images, float32 (B, 2)."""
    sizes = torch.tensor([(width, height) for height, width in batch.original_sizes], dtype=torch.float32)
    return sizes.to(batch.pixels.device, non_blocking=True)


def _pool5(size: int) -> nn.Module:
    """Build the last pooling of a VGG; check that the pooled map of an image fits fc6."""
    if size != 32 * POOLED:
        raise UserError(
            f"size={size}: head: backbone on a VGG needs size {32 * POOLED}, the size that its fc6 was trained for."
        )
    return nn.MaxPool2d(2)
