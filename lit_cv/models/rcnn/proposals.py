"""Base class of detectors that classify given regions: R-CNN and Fast R-CNN."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models.detection.detector import Detection, Detector
from lit_cv.models.images import AnyImage, as_tensor
from lit_cv.models.network import Target, evaluating
from lit_cv.ops.limits import at_least
from lit_cv.ops.selective_search.search import selective_search


class ProposalDetector(Detector):
    """A detector that classifies given regions.

    A target also has ``proposals`` float32 (P, 4), ``x1, y1, x2, y2`` in pixels of the input image, best first. P may
    be 0. DataModules add them (``data.proposals``).

    Args:
        proposals_train: Maximum number of proposals per image in ``losses`` and in the stages after the training of the
            network, best first.
        proposals_test: Maximum number of proposals per image that ``predict`` classifies, best first.
        options: Arguments of ``Detector``.
    """

    def __init__(self, *args: Any, proposals_train: int = 2000, proposals_test: int = 2000, **options: Any) -> None:
        super().__init__(*args, **options)
        at_least(1, proposals_train=proposals_train, proposals_test=proposals_test)
        self.proposals_train, self.proposals_test = proposals_train, proposals_test

    def given(self, targets: list[Target]) -> list[Tensor]:
        """Return the proposals of each image.

        Raises:
            UserError: A target has no proposals.
        """
        if not all("proposals" in target for target in targets):
            raise UserError(f"{type(self).__name__} needs the proposals of each image: set data.init_args.proposals.")
        return [target["proposals"] for target in targets]

    def predict(self, images: Sequence[AnyImage], proposals: list[Tensor] | None = None) -> list[Detection]:
        """Predict without gradients and in eval mode; the modes of all submodules are restored.

        Args:
            images: The batch, see ``Network``.
            proposals: (P, 4) for each image, see the class; None computes them by Selective Search.

        Returns:
            One detection for each image.
        """
        if proposals is None:
            return super().predict(images)
        with torch.no_grad(), evaluating(self):
            return self._detect([as_tensor(image) for image in images], proposals)

    def _predict(self, images: list[Tensor]) -> list[Detection]:
        return self._detect(images, [propose(image) for image in images])

    @abstractmethod
    def _detect(self, images: list[Tensor], proposals: list[Tensor]) -> list[Detection]:
        """Implement ``predict``. Gradients are off and every module is in eval mode."""


def propose(image: Tensor, limit: int = 2000) -> Tensor:
    """Run Selective Search on an image uint8 (3, H, W) and return its best boxes, float32 (P, 4), on its device."""
    boxes = selective_search(image.permute(1, 2, 0).contiguous().cpu().numpy())[:limit]
    return torch.from_numpy(boxes).to(image.device)
