"""Linear SVMs and box regressors for each class, which R-CNN trains on features of regions after its network."""

from typing import Protocol

import torch
from torch import Tensor, nn

from lit_cv.models.network import Target
from lit_cv.ops.boxes import decode_boxes


class RegionClassifiers(nn.Module):
    """SVMs and box regressors as buffers (Girshick et al. 2014, section 2.3 and appendix C).

    They belong to the network's state dict, but they are not parameters: ``lit_cv.callbacks.RegionStages`` trains them
    after the network. Before that, ``svm_trained`` and ``boxes_trained`` are false.

    Args:
        classes: Number of classes C, without the background.
        features: Length of the input vectors of the SVMs.
        box_features: Length of the input vectors of the box regressors; 0 for a network without box regressors.
    """

    svm_weight: Tensor
    svm_bias: Tensor
    svm_trained: Tensor
    box_weight: Tensor
    box_bias: Tensor
    boxes_trained: Tensor

    def __init__(self, classes: int, features: int, box_features: int = 0) -> None:
        super().__init__()
        self.features, self.box_features = features, box_features
        self.register_buffer("svm_weight", torch.zeros(classes, features))
        self.register_buffer("svm_bias", torch.zeros(classes))
        self.register_buffer("svm_trained", torch.tensor(False))
        if not box_features:
            return
        self.register_buffer("box_weight", torch.zeros(classes, 4, box_features))
        self.register_buffer("box_bias", torch.zeros(classes, 4))
        self.register_buffer("boxes_trained", torch.tensor(False))

    @torch.no_grad()
    def set_svms(self, weight: Tensor, bias: Tensor) -> None:
        """Store trained SVMs, (C, D) and (C,). A class with bias -inf is never detected."""
        self.svm_weight.copy_(weight)
        self.svm_bias.copy_(bias)
        self.svm_trained.fill_(True)

    @torch.no_grad()
    def set_boxes(self, weight: Tensor, bias: Tensor) -> None:
        """Store trained box regressors, (C, 4, D) and (C, 4)."""
        self.box_weight.copy_(weight)
        self.box_bias.copy_(bias)
        self.boxes_trained.fill_(True)

    def scores(self, features: Tensor) -> Tensor:
        """Score regions (K, D) for each class by the sigmoid of the SVM's value, float32 (K, C).

        The values themselves are unbounded. The sigmoid keeps their order, and thus the average precision. A region on
        the background's margin, -1, has the score 0.27.
        """
        with torch.autocast(features.device.type, enabled=False):
            return (features.float() @ self.svm_weight.T + self.svm_bias).sigmoid()

    def boxes(self, features: Tensor, regions: Tensor) -> Tensor:
        """Refine regions (K, 4) with features (K, D) for each class, to float32 (K, C, 4)."""
        with torch.autocast(features.device.type, enabled=False):
            deltas = features.float() @ self.box_weight.flatten(0, 1).T + self.box_bias.flatten()
        return decode_boxes(deltas.view(len(regions), -1, 4), regions[:, None])


class StagedDetector(Protocol):
    """A network whose SVMs and box regressors ``lit_cv.callbacks.RegionStages`` can train.

    Attributes:
        region_classifiers: The SVMs and box regressors.
        classifier: ``svm`` if SVMs are to be trained.
        box_regression: True if box regressors are to be trained, provided that ``region_classifiers`` has them.
        proposals_train: Maximum number of proposals per image for the training, best first.
    """

    region_classifiers: RegionClassifiers
    classifier: str
    box_regression: object
    proposals_train: int

    def given(self, targets: list[Target]) -> list[Tensor]:
        """See ``ProposalDetector.given``."""

    def region_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        """Compute the input of the SVMs for given regions, without gradients and in eval mode.

        Args:
            images: uint8 (3, H, W) each.
            regions: float32 (N, 4) for each image, ``x1, y1, x2, y2`` in its pixels; N may be 0.

        Returns:
            float32 (K, D), for the regions of all images, image by image.
        """

    def box_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        """Compute the input of the box regressors, like ``region_features``. Not called if there are none."""
