"""Human pose by regression (Toshev & Szegedy 2014): the coordinates of all joints from one feature vector."""

from typing import ClassVar, Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.models.backbones.trunk import Norm, build_trunk
from lit_cv.models.images import ImageBatch, batch_images
from lit_cv.models.layers.fully_connected import average_pool, fully_connected
from lit_cv.models.network import Network, Target, evaluating
from lit_cv.ops.global_batch import shared_count

Loss = Literal["l2", "l1", "smooth_l1"]


class Pose(TypedDict):
    """The person in one image.

    Attributes:
        keypoints: float32 (1, K, 2), x and y in pixels of the image as it was given, (0, 0) the centre of the first
            one; they may lie outside.
    """

    keypoints: Tensor


class PoseOutput(NamedTuple):
    """One forward pass of an evaluation.

    Attributes:
        losses: As of ``losses()``.
        found: One prediction an image.
    """

    losses: dict[str, Tensor]
    found: list[Pose]


class PoseNet(Network):
    """Regress K joints from the crop of one person; ``predict`` gives a ``Pose`` an image.

    A target has ``keypoints`` float32 (1, K, 3): x and y in pixels of its image and a flag, 0 where not labelled.

    Every image, of any size, is resized to ``size`` x ``size`` and taken to show one person, as the crops of the pose
    data sets do; its aspect ratio is not kept. A joint is regressed in the crop's own coordinates (Toshev & Szegedy
    2014, section 3.1, with the crop as the box): -0.5 at the left or upper edge, 0.5 at the opposite one. The loss is
    the mean over the labelled joints of the batch, 0 where there is none. With d the difference of a joint in these
    coordinates, it is

    * ``l2``: d_x^2 + d_y^2 (their eq. 4),
    * ``l1``: |d_x| + |d_y|,
    * ``smooth_l1``: the sum over x and y of d^2 / (2 beta) where |d| < beta, and of |d| - beta / 2 elsewhere.

    Everything is deterministic, on GPU too: each cell of the pooled map averages a block of its own.

    Args:
        num_joints: K.
        backbone: A name of ``lit_cv.models.backbones.families.NAMES`` or ``timm/<name>``.
        weights: Of the backbone: ``imagenet``, the path of a state dict, or None.
        loss: See above.
        beta: Of ``smooth_l1``, in sides of the crop; the default is 4.5 pixels of 224.
        size: Pixels of both sides of the resized image, a multiple of the last map's stride times ``pool``.
        pool: Height and width in cells to which the last map is averaged.
        head_features: Widths of the hidden layers, the paper's being ``[4096, 4096]``; one number is one layer.
        dropout: Probability of a hidden unit to be dropped in training; the paper's is 0.6.
        trainable_layers: How many stages of the backbone are trained, counted from the last; None trains all.
        norm: ``frozen`` or ``train``, see ``build_trunk``.
        channels_last: Memory format of the network; faster on CPU and with bfloat16.

    Raises:
        UserError: ``size`` or ``pool`` does not fit the backbone.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("joints",)

    def __init__(
        self,
        num_joints: int,
        backbone: str = "resnet50",
        weights: str | None = None,
        loss: Loss = "l2",
        beta: float = 0.02,
        size: int = 224,
        pool: int = 7,
        head_features: int | list[int] = 1024,
        dropout: float = 0.0,
        trainable_layers: int | None = None,
        norm: Norm = "frozen",
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.num_joints, self.size, self.channels_last = num_joints, size, channels_last
        self.loss, self.beta = loss, beta
        trunk = build_trunk(backbone, weights, norm).freeze(trainable_layers)
        stride, channels = trunk.stages[-1].stride, trunk.stages[-1].channels
        self.backbone = trunk.layers
        self.pool = average_pool(size, stride, pool)
        hidden = [head_features] if isinstance(head_features, int) else head_features
        self.head = fully_connected(channels, pool, hidden, dropout, 2 * num_joints)
        # Training starts with all joints at about the centre of the crop.
        weight, bias = list(self.head.parameters())[-2:]
        nn.init.normal_(weight, std=0.01 * weight.shape[1] ** -0.5)
        nn.init.zeros_(bias)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses`` and the class."""
        batch = self._batch(images)
        return self._losses(self._forward(batch), batch, targets)

    def evaluate(self, images: list[Tensor], targets: list[Target]) -> PoseOutput:
        """Return losses and predictions of one forward pass, without gradients and as in eval mode."""
        with torch.no_grad(), evaluating(self):
            batch = self._batch(images)
            points = self._forward(batch)
            return PoseOutput(self._losses(points, batch, targets), _poses(points, batch))

    def _predict(self, images: list[Tensor]) -> list[Pose]:
        batch = self._batch(images)
        return _poses(self._forward(batch), batch)

    def _batch(self, images: list[Tensor]) -> ImageBatch:
        sizes = [(self.size, self.size)] * len(images)
        device = next(self.head.parameters()).device
        return batch_images(images, sizes, device, divisible=1, channels_last=self.channels_last)

    def _forward(self, batch: ImageBatch) -> Tensor:
        """Return the joints in coordinates of the crop, float32 (B, K, 2)."""
        points: Tensor = self.head(self.pool(self.backbone(batch.pixels))).float()
        return points.view(-1, self.num_joints, 2)

    def _losses(self, points: Tensor, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        keypoints = torch.cat([target["keypoints"] for target in targets]).to(points.device, non_blocking=True)
        labelled = keypoints[..., 2] > 0
        wanted = (keypoints[..., :2] + 0.5) / _original_sizes(batch) - 0.5
        # The loss of a joint without a label may be anything, also NaN: it is never multiplied.
        wanted = torch.where(labelled[..., None], wanted, points.detach())
        if self.loss == "l2":
            distances = F.mse_loss(points, wanted, reduction="none")
        elif self.loss == "l1":
            distances = F.l1_loss(points, wanted, reduction="none")
        else:
            distances = F.smooth_l1_loss(points, wanted, reduction="none", beta=self.beta)
        return {"joints": distances.sum() / shared_count(labelled)}


def _original_sizes(batch: ImageBatch) -> Tensor:
    """Return width and height of the images as they were given, float32 (B, 1, 2)."""
    sizes = torch.tensor(batch.original_sizes, dtype=torch.float32).flip(1)[:, None]
    return sizes.to(batch.pixels.device, non_blocking=True)


def _poses(points: Tensor, batch: ImageBatch) -> list[Pose]:
    pixels = (points + 0.5) * _original_sizes(batch) - 0.5
    return [Pose(keypoints=person[None]) for person in pixels]
