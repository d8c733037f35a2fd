"""Instances without an instance head: the connected components of a semantic segmentation."""

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from lit_cv.models.images import ImageBatch
from lit_cv.models.instances import Instance, InstanceNetwork
from lit_cv.models.network import Target
from lit_cv.models.segmentation.fcn import FCN
from lit_cv.ops.limits import at_least
from lit_cv.ops.mask_runs import decode_masks, encode_masks
from lit_cv.ops.objects import masks_of


class ComponentFCN(InstanceNetwork, FCN):
    """An ``FCN`` whose connected components are taken as objects, to compare it with networks that tell objects apart.

    Targets are those of ``MaskRCNN``. The loss is that of ``FCN`` for the class of each pixel; where masks overlap, the
    smaller one counts, and crowd regions count as background.

    In a prediction, all pixels of one class that are connected, also over corners, are one object. Its box is the
    smallest one around them, and its score the mean probability of the class in these pixels. Objects of one class that
    touch are therefore found as one, and an object that is cut in two by another one is found as two.

    Args:
        smallest: Components of fewer pixels of the input image are left out.
        options: Arguments of ``FCN``.
    """

    heads = ("mask",)

    def __init__(self, *args: Any, smallest: int = 16, **options: Any) -> None:
        super().__init__(*args, **options)
        at_least(1, smallest=smallest)
        self.smallest = smallest

    def losses_of(self, outputs: Tensor, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the cross-entropy, see ``Segmenter``."""
        return super().losses_of(outputs, batch, [{**target, "mask": painted(target)} for target in targets])

    def found_in(self, outputs: Tensor, batch: ImageBatch) -> list[Instance]:  # type: ignore[override]
        """Resize logits to the input images and take the connected components of each class."""
        return [self._components(logits.softmax(dim=0)) for logits in self.scores_in(outputs, batch)]

    def _components(self, shares: Tensor) -> Instance:
        """Return the components in the probabilities of the classes, float32 (num_classes, H, W)."""
        best = shares.max(dim=0)
        classes, scores = best.indices.to(torch.uint8).cpu().numpy(), best.values.cpu().numpy()
        masks, boxes, labels = [], [], []
        for label in range(1, self.num_classes):
            _, places, facts, _ = cv2.connectedComponentsWithStats((classes == label).view(np.uint8), connectivity=8)
            for number, (left, top, width, height, area) in enumerate(facts.tolist()):
                if number and area >= self.smallest:  # 0 is all other classes
                    masks.append(places == number)
                    boxes.append((left, top, left + width, top + height))
                    labels.append(label)
        found = np.stack(masks) if masks else np.zeros((0, *classes.shape), dtype=bool)
        means = torch.tensor([scores[mask].mean() for mask in masks], dtype=torch.float32)
        order = means.argsort(descending=True, stable=True)
        runs = encode_masks(torch.from_numpy(found)[order])
        device = shares.device
        return Instance(
            boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4)[order].to(device),
            scores=means[order].to(device),
            labels=torch.tensor(labels, dtype=torch.int64)[order].to(device),
            mask_runs=runs.runs.to(device),
            mask_lengths=runs.lengths.to(device),
            mask_size=torch.tensor(runs.size, device=device),
        )


def painted(target: Target) -> Tensor:
    """Return the class of each pixel of a target with masks, uint8 (H, W); 0 is the background."""
    masks = decode_masks(masks_of(target)).bool()
    classes = masks.new_zeros(masks.shape[1:], dtype=torch.uint8)
    for number in masks.sum(dim=(1, 2)).argsort(descending=True, stable=True).tolist():
        classes[masks[number]] = target["labels"][number].to(torch.uint8)
    return classes
