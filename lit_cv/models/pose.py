"""Human pose estimation by regression of joint coordinates (Toshev & Szegedy 2014)."""

from typing import Any, ClassVar, Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.models.backbone_network import BackboneNetwork
from lit_cv.models.images import ImageBatch
from lit_cv.models.layers.fully_connected import average_pool, fully_connected
from lit_cv.models.network import OnePassNetwork, Target, known_size
from lit_cv.models.resizing import SquareImages
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.limits import above_zero, at_least, fractions

Loss = Literal["l2", "l1", "smooth_l1"]


class Pose(TypedDict):
    """The pose of the person in one image.

    Attributes:
        keypoints: float32 (1, K, 2), x and y in pixels of the input image. (0, 0) is the center of the first pixel.
            Joints may lie outside the image.
    """

    keypoints: Tensor


class PoseNet(SquareImages, OnePassNetwork, BackboneNetwork):
    """Regression of K joints from the crop of one person. ``predict`` returns a ``Pose`` for each image.

    A target has ``keypoints`` float32 (1, K, 3): x and y in pixels of its image and a flag, 0 for unlabeled joints.

    Every image shows one person, as the crops of the pose data sets do. It is resized to ``size`` x ``size``, without
    keeping its aspect ratio. Joints are regressed in the coordinates of the crop (Toshev & Szegedy 2014, section 3.1,
    with the crop as the box): -0.5 is the left or upper edge, 0.5 the opposite one. The loss is the mean over the
    labeled joints of the batch, or 0 if there are none. If d is the difference of a joint in these coordinates, the
    loss of the joint is

    * ``l2``: d_x^2 + d_y^2 (eq. 4 of the paper),
    * ``l1``: |d_x| + |d_y|,
    * ``smooth_l1``: the sum over x and y of d^2 / (2 beta) if |d| < beta, else of |d| - beta / 2.

    All operations are deterministic, on GPUs too: the cells of the pooled map average disjoint blocks.

    Args:
        num_joints: Number of joints K; null in an experiment takes it from the data.
        loss: ``l2``, ``l1`` or ``smooth_l1``, see above.
        beta: Parameter of ``smooth_l1``, in sides of the crop. The default is 4.5 pixels of 224.
        pool: Height and width of the average-pooled last map. ``size`` must be a multiple of the map's stride times
            ``pool``.
        head_features: Widths of the hidden layers; one number is one layer. The paper has ``[4096, 4096]``.
        dropout: Dropout probability of the hidden layers, in [0, 1). The paper has 0.6.
        options: Arguments of ``SquareImages`` and ``BackboneNetwork``.

    Raises:
        UserError: ``size`` or ``pool`` does not fit the backbone.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("joints",)

    def __init__(
        self,
        num_joints: int | None,
        *,
        loss: Loss = "l2",
        beta: float = 0.02,
        pool: int = 7,
        head_features: int | list[int] = 1024,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.num_joints, self.loss, self.beta = known_size("num_joints", num_joints), loss, beta
        at_least(1, pool=pool, head_features=head_features)
        above_zero(beta=beta)
        fractions(dropout=dropout)
        trunk = self.build_trunk().freeze(self.trainable_layers)
        stride, channels = trunk.stages[-1].stride, trunk.stages[-1].channels
        self.backbone = trunk.layers
        self.pool = average_pool(self.size, stride, pool)
        hidden = [head_features] if isinstance(head_features, int) else head_features
        self.head = fully_connected(channels, pool, hidden, dropout, 2 * self.num_joints)
        self.class_layers = {f"head.{len(self.head) - 1}.*": "first"}  # type: ignore[misc]
        # At first all joints are predicted close to the center of the crop.
        weight, bias = list(self.head.parameters())[-2:]
        nn.init.normal_(weight, std=0.01 * weight.shape[1] ** -0.5)
        nn.init.zeros_(bias)
        self.use_memory_format()

    def forward(self, pixels: Tensor) -> Tensor:
        """Regress joints: normalized pixels (B, 3, ``size``, ``size``) to float32 (B, K, 2), see the class."""
        points: Tensor = self.head(self.pool(self.backbone(pixels))).float()
        return points.view(-1, self.num_joints, 2)

    def losses_of(self, outputs: Tensor, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the loss of joints, see the class."""
        points = outputs
        keypoints = torch.cat([target["keypoints"] for target in targets]).to(points.device, non_blocking=True)
        labeled = keypoints[..., 2] > 0
        wanted = (keypoints[..., :2] + 0.5) / _original_sizes(batch) - 0.5
        # Unlabeled joints may hold any value, even NaN, which a factor of 0 would not remove: they are replaced.
        wanted = torch.where(labeled[..., None], wanted, points.detach())
        if self.loss == "l2":
            distances = F.mse_loss(points, wanted, reduction="none")
        elif self.loss == "l1":
            distances = F.l1_loss(points, wanted, reduction="none")
        else:
            distances = F.smooth_l1_loss(points, wanted, reduction="none", beta=self.beta)
        return {"joints": distances.sum() / shared_count(labeled)}

    def found_in(self, outputs: Tensor, batch: ImageBatch) -> list[Pose]:
        """Convert joints to pixels of the input images."""
        pixels = (outputs + 0.5) * _original_sizes(batch) - 0.5
        return [Pose(keypoints=person[None]) for person in pixels]


def _original_sizes(batch: ImageBatch) -> Tensor:
    """Return width and height of the input images, float32 (B, 1, 2)."""
    sizes = torch.tensor(batch.original_sizes, dtype=torch.float32).flip(1)[:, None]
    return sizes.to(batch.pixels.device, non_blocking=True)
