"""Mask R-CNN (He et al. 2017): Faster R-CNN with branches for masks and keypoints."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models.detection.detector import Detection, restore
from lit_cv.models.images import ImageBatch, Size
from lit_cv.models.instances import Branch, Instance, InstanceNetwork
from lit_cv.models.network import Target
from lit_cv.models.rcnn.faster_rcnn import FasterRCNN
from lit_cv.models.rcnn.keypoint_head import keypoint_layers, keypoint_loss, read_enlarged, read_keypoints
from lit_cv.models.rcnn.mask_head import (
    MaskHeadKind,
    MaskLoss,
    mask_layers,
    mask_loss,
    mask_probabilities,
    mask_targets,
)
from lit_cv.models.rcnn.region_heads import FINE_POOLED, shared_stage
from lit_cv.models.rcnn.roi_head import RegionSample
from lit_cv.models.rcnn.two_stage import HeadOutputs
from lit_cv.ops.limits import at_least
from lit_cv.ops.masks import paste_dense, paste_masks, paste_rounded
from lit_cv.ops.objects import masks_of
from lit_cv.ops.roi import as_rois, pool_rois

Readout = Literal["exact", "torchvision"]
NEEDED: dict[Branch, tuple[str, ...]] = {"mask": ("mask_runs", "masks"), "keypoint": ("keypoints",)}  # in the targets


class MaskRCNN(FasterRCNN, InstanceNetwork):
    """Mask R-CNN on any backbone.

    Targets also have ``mask_runs``, ``mask_lengths`` and ``mask_size``, or dense ``masks`` bool or uint8 (N, H, W), for
    the mask branch, and ``keypoints`` float32 (N, K, 3) for the keypoint branch. The last column of ``keypoints`` is 0
    for unlabeled joints. Mask targets are cropped at the resolution of the input image.

    With the same settings, the parameters, losses and detections are those of torchvision's ``MaskRCNN`` and
    ``KeypointRCNN``, whose published state dicts load with ``load_state_dict``. There are two differences: torchvision
    resizes the masks of the targets with the image, and its results are rounded to pixels, see ``readout``.

    ``more`` in the raw outputs holds the logits of each branch in the order of ``heads``: float32
    (K, num_classes, M, M) for masks and (K, joints, M, M) for keypoints.

    Args:
        heads: The branches in addition to the box branch: ``mask``, ``keypoint``, both or none.
        mask_head: ``fcn`` or ``mlp``, see ``mask_layers``.
        mask_loss: ``sigmoid`` or ``softmax``, see ``lit_cv.models.rcnn.mask_head.mask_loss``.
        mask_widths: Channels of the convolutions of ``mask_head: fcn``, 256 for each of four by default.
        num_keypoints: Number of joints K.
        keypoint_widths: Channels of the convolutions of the keypoint branch, 512 for each of eight by default.
        readout: ``exact`` pastes masks into the exact boxes and finds joints between the cells of their maps.
            ``torchvision`` pastes masks into boxes of whole pixels and finds joints in maps enlarged to the size of
            each region, which takes longer; it gives torchvision's results.
        options: Arguments of ``FasterRCNN``.

    Raises:
        UserError: A branch is unknown or named twice, or widths do not fit the mask head.
    """

    loss_names: ClassVar[tuple[str, ...]] = (*FasterRCNN.loss_names, "mask", "keypoint")
    class_layers = {
        **FasterRCNN.class_layers,
        **dict.fromkeys(("roi_heads.mask_predictor.mask_fcn_logits.*", "roi_heads.mask_predictor.0.*"), "first"),
    }
    stages: ClassVar[dict[str, str]] = {
        **FasterRCNN.stages,
        **dict.fromkeys(("roi_heads.mask_head", "roi_heads.mask_predictor", "_masks"), "heads"),
        **dict.fromkeys(("roi_heads.keypoint_head", "roi_heads.keypoint_predictor", "_keypoints"), "heads"),
    }

    def __init__(
        self,
        *args: Any,
        heads: Sequence[Branch] = ("mask",),
        mask_head: MaskHeadKind = "fcn",
        mask_loss: MaskLoss = "sigmoid",
        mask_widths: Sequence[int] | None = None,
        num_keypoints: int = 17,
        keypoint_widths: Sequence[int] | None = None,
        readout: Readout = "exact",
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        at_least(1, num_keypoints=num_keypoints)
        if len(set(heads)) < len(heads) or not set(heads) <= {"mask", "keypoint"}:
            raise UserError(f"heads={list(heads)}: name each of mask and keypoint at most once.")
        self.heads, self.mask_loss, self.num_keypoints = tuple(heads), mask_loss, num_keypoints
        self.readout: Readout = readout
        self.loss_names = (*FasterRCNN.loss_names, *heads)  # type: ignore[misc]
        layers = self.roi_heads
        channels, size = self.rpn.head.cls_logits.in_channels, FINE_POOLED
        if on_stage := shared_stage(layers.box_head) is not None:
            channels, size = cast(int, layers.box_predictor.cls_score.in_features), FINE_POOLED // 2
        if "mask" in heads:
            layers.mask_head, layers.mask_predictor = mask_layers(
                mask_head, channels, size, self.num_classes, on_stage, mask_widths
            )
        if "keypoint" in heads:
            layers.keypoint_head, layers.keypoint_predictor = keypoint_layers(channels, num_keypoints, keypoint_widths)
        self.use_memory_format()

    def head_outputs(self, size: Size, maps: list[Tensor], rois: Tensor) -> HeadOutputs:
        """See ``TwoStageDetector.head_outputs`` and the class."""
        logits, deltas = self._classify(size, maps, rois)
        of_branch = {"mask": self._masks, "keypoint": self._keypoints}
        return HeadOutputs(logits, deltas, tuple(of_branch[name](maps, rois) for name in self.heads))

    def _region_losses(
        self, batch: ImageBatch, maps: list[Tensor], sample: RegionSample, targets: list[Target]
    ) -> dict[str, Tensor]:
        for name in self.heads:
            if not all(target.keys() & set(NEEDED[name]) for target in targets):
                raise UserError(
                    f"heads={list(self.heads)}: the targets have no {NEEDED[name][0]}; leave {name} out, or choose a "
                    "DataModule that has them (data.init_args.masks of COCOKeypointDataModule)."
                )
        losses = super()._region_losses(batch, maps, sample, targets)
        positive = sample.classes > 0
        rois, classes, objects = sample.rois[positive], sample.classes[positive], sample.objects[positive]
        counts = torch.bincount(rois[:, 0].long(), minlength=len(targets)).tolist()
        scales = batch.scales()[rois[:, 0].long()]
        boxes, parts = rois[:, 1:] / scales, torch.split(objects, counts)
        if "mask" in self.heads:
            masks, logits = [masks_of(target, rois.device) for target in targets], self._masks(maps, rois)
            wanted = mask_targets(masks, list(parts), list(torch.split(boxes, counts)), logits.shape[-1])
            losses["mask"] = mask_loss(logits, wanted, classes, self.mask_loss)
        if "keypoint" in self.heads:
            points = [target["keypoints"].to(rois.device)[index] for target, index in zip(targets, parts, strict=True)]
            losses["keypoint"] = keypoint_loss(self._keypoints(maps, rois), torch.cat(points), boxes)
        return losses

    def predict_batch(self, batch: ImageBatch) -> list[Detection]:
        """Predict for resized and normalized images, see ``Network.predict``; exporters get dense ``masks``."""
        maps = self._maps(batch.pixels)
        detections = self._detect(batch, maps)
        resized = [found["boxes"] for found in detections]
        rois, peer = as_rois(resized), self.readout == "torchvision"
        counts = [found["boxes"].shape[0] for found in detections]
        found = [cast(Instance, detection) for detection in restore(detections, batch)]
        if "mask" in self.heads:
            labels = torch.cat([one["labels"] for one in found])
            masks = mask_probabilities(self._masks(maps, rois), labels, self.mask_loss)
            for one, own, original in zip(found, torch.split(masks, counts), batch.original_sizes, strict=True):
                if torch.compiler.is_exporting():  # runs are for the memory of evaluations
                    one["masks"] = paste_dense(own, one["boxes"], original)
                    continue
                pasted = (paste_rounded if peer else paste_masks)(own, one["boxes"], original)
                one["mask_runs"], one["mask_lengths"] = pasted.runs, pasted.lengths
                one["mask_size"] = torch.tensor(original, device=rois.device)
        if "keypoint" in self.heads:
            maps_of_joints = torch.split(self._keypoints(maps, rois), counts)
            for one, own, boxes, scale in zip(found, maps_of_joints, resized, batch.scales(), strict=True):
                read = read_enlarged(own, boxes, scale[:2]) if peer else read_keypoints(own, one["boxes"])
                one["keypoints"] = read
        return list[Detection](found)

    def _masks(self, maps: list[Tensor], rois: Tensor) -> Tensor:
        """Return the logits of the masks of regions (K, 5), float32 (K, classes, M, M)."""
        return self._branch("mask", self._regions(maps, rois))

    def _keypoints(self, maps: list[Tensor], rois: Tensor) -> Tensor:
        """Return the logits of the joints' maps of regions (N, 5), float32 (N, K, M, M)."""
        return self._branch("keypoint", self._regions(maps, rois))

    def _branch(self, name: Branch, regions: Tensor) -> Tensor:
        head, predictor = (self.roi_heads.get_submodule(f"{name}_{part}") for part in ("head", "predictor"))
        logits: Tensor = predictor(head(regions))
        return logits.float()

    def _regions(self, maps: list[Tensor], rois: Tensor) -> Tensor:
        """Return the input of the branches for regions (K, 5), as (K, channels, S, S)."""
        pooled = pool_rois(*self.pooled_maps(maps), rois, FINE_POOLED, self.roi_heads.op)
        stage = shared_stage(self.roi_heads.box_head)
        return pooled if stage is None else stage(pooled)
