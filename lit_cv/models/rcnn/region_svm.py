"""What R-CNN trains after its network: one linear SVM and one box regressor per class, on features of regions."""

from typing import Protocol

import torch
from torch import Tensor, nn

from lit_cv.models.network import Target
from lit_cv.ops.boxes import decode_boxes


class RegionClassifiers(nn.Module):
    """SVMs and box regressors (Girshick et al. 2014, section 2.3 and appendix C), kept as buffers.

    They come with the network's state dict and are no parameters: they have their own training, see
    ``lit_cv.callbacks.RegionStages``. Until that ``svm_trained`` and ``boxes_trained`` are false.

    Args:
        classes: C, without the background.
        features: Length of the vectors that the SVMs classify.
        box_features: Length of the vectors that the box regressors take; 0 for a network without them.
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
        """Take trained SVMs, (C, D) and (C,); a class with bias -inf is never found."""
        self.svm_weight.copy_(weight)
        self.svm_bias.copy_(bias)
        self.svm_trained.fill_(True)

    @torch.no_grad()
    def set_boxes(self, weight: Tensor, bias: Tensor) -> None:
        """Take trained box regressors, (C, 4, D) and (C, 4)."""
        self.box_weight.copy_(weight)
        self.box_bias.copy_(bias)
        self.boxes_trained.fill_(True)

    def scores(self, features: Tensor) -> Tensor:
        """Score regions (K, D) for each class: the sigmoid of the SVM's value, float32 (K, C).

        The values themselves are unbounded; the sigmoid keeps their order, and so the average precision. A region on
        the margin of the background, -1, has 0.27.
        """
        with torch.autocast(features.device.type, enabled=False):
            return (features.float() @ self.svm_weight.T + self.svm_bias).sigmoid()

    def boxes(self, features: Tensor, regions: Tensor) -> Tensor:
        """Refine regions (K, 4) with features (K, D) for each class, float32 (K, C, 4)."""
        with torch.autocast(features.device.type, enabled=False):
            deltas = features.float() @ self.box_weight.flatten(0, 1).T + self.box_bias.flatten()
        return decode_boxes(deltas.view(len(regions), -1, 4), regions[:, None])


class StagedDetector(Protocol):
    """A network whose SVMs and box regressors ``lit_cv.callbacks.RegionStages`` can train.

    Attributes:
        region_classifiers: What is trained.
        classifier: ``svm`` where SVMs are to be trained.
        box_regression: True where box regressors are to be trained, if ``region_classifiers`` has room for them.
        proposals_train: The best so many proposals of an image are trained on.
    """

    region_classifiers: RegionClassifiers
    classifier: str
    box_regression: object
    proposals_train: int

    def given(self, targets: list[Target]) -> list[Tensor]:
        """See ``ProposalDetector.given``."""

    def region_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        """Compute what the SVMs see of given regions, without gradients and as in eval mode.

        Args:
            images: uint8 (3, H, W) each.
            regions: float32 (N, 4) an image, ``x1, y1, x2, y2`` in its pixels; N may be 0.

        Returns:
            float32 (K, D), the regions of all images one after the other.
        """

    def box_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        """Compute what the box regressors see of given regions, as ``region_features``; without them never called."""
