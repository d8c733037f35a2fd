"""Instances: boxes with masks, with keypoints, or with both."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from lit_cv.contract import Batch, HasClasses, HasJoints, data_of, provides, require
from lit_cv.errors import UserError
from lit_cv.metrics import COCOAveragePrecision
from lit_cv.metrics.coco_tables import COCO_SIGMAS, IouType
from lit_cv.metrics.facts import SHARE, Fact
from lit_cv.models.instances import InstanceNetwork
from lit_cv.ops.objects import without_crowds
from lit_cv.renderers import InstanceRenderer, PoseRenderer
from lit_cv.tasks.base import Predictions, Targets, Task, sgd, warmup

PREFIXES: dict[IouType, str] = {"bbox": "", "segm": "mask_", "keypoints": "oks_"}
HEADS: dict[IouType, str] = {"segm": "mask", "keypoints": "keypoint"}  # of the network


class InstanceTask(Task):
    """Train and evaluate a ``MaskRCNN``, or another ``InstanceNetwork``.

    A batch is ``(images, targets)``: uint8 images (3, H, W) and torchvision-style targets, with masks as runs and with
    keypoints if the network's heads need them.

    The task logs each loss and the following numbers. They are in [0, 1], higher is better, and -1 means that there was
    nothing to evaluate:

    * of boxes: COCO's ``map``, ``map_50``, ..., and ``ap/<class>`` (IoU 0.5 to 0.95);
    * of masks: ``mask_map``, ``mask_map_50``, ..., and ``mask_ap/<class>``;
    * of keypoints: ``oks_map``, ``oks_map_50``, ..., and ``oks_ap/<class>``.

    Crowd regions are part of the evaluation, as in COCO, but of no loss.

    Args:
        network: The network, injected by ``class_path``.
        loss_weights: See ``Task``.
        optimizer: See ``Task``.
        scheduler: See ``Task``.
        sigmas: The spread of each joint, for OKS; the default is that of COCO's 17 joints.
        options: Further arguments of ``Task``.

    Raises:
        UserError: The network has a different number of joints than the data or than ``sigmas``.
    """

    network: InstanceNetwork
    MONITOR: ClassVar[str] = "val/map"
    FOUND: ClassVar[tuple[str, ...]] = ("boxes", "scores", "labels")

    def __init__(
        self,
        network: InstanceNetwork,
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = sgd,
        scheduler: LRSchedulerCallable | None = warmup,
        sigmas: Sequence[float] = COCO_SIGMAS,
        **options: Any,
    ) -> None:
        super().__init__(network, loss_weights, optimizer, scheduler, **options)
        self.sigmas = sigmas
        self.skeleton: dict[str, Any] | None = None

    @property
    def joint_pairs(self) -> Sequence[Sequence[int]]:
        """See ``Task``.

        Raises:
            UserError: The network finds joints of unknown sides.
        """
        if "keypoint" not in self.network.heads:
            return ()
        pairs: Sequence[Sequence[int]] = (self.skeleton or {}).get("pairs", ())
        if self.tta is not None and self.tta.flip and not pairs:
            raise UserError(
                "model.tta.flip: the data does not say which joints are left and right; set tta.flip to false."
            )
        return pairs

    @property
    def kinds(self) -> list[IouType]:
        """The evaluated results: boxes, and the results of the network's heads."""
        return ["bbox", *(kind for kind, head in HEADS.items() if head in self.network.heads)]

    def facts(self, class_names: Sequence[str]) -> dict[str, Fact]:
        """Return unit and direction of each number of ``compute_metrics``, which depend on the network's heads."""
        facts: dict[str, Fact] = {}
        for kind in self.kinds:
            prefix = PREFIXES[kind]
            facts |= {f"{prefix}{name}": fact for name, fact in COCOAveragePrecision.FACTS[kind].items()}
            facts |= {f"{prefix}ap/{name}": SHARE for name in class_names}
        return facts

    def setup(self, stage: str) -> None:
        """Take the skeleton from the DataModule and build the metrics for the network's heads."""
        super().setup(stage)
        data = data_of(self.trainer)
        if stage == "predict" or data is None:
            return
        if "keypoints" in self.kinds:
            self._take_skeleton(require(self, data, HasJoints))
        self.metrics = nn.ModuleDict(
            {kind: COCOAveragePrecision(kind, self.class_names, self.sigmas) for kind in self.kinds}
        )

    def _take_skeleton(self, data: HasJoints) -> None:
        joints = len(data.joint_names)
        if len({joints, len(self.sigmas), self.network.num_keypoints}) > 1:
            raise UserError(
                f"the data has {joints} joints, the network num_keypoints: {self.network.num_keypoints}, the task "
                f"{len(self.sigmas)} sigmas: make these numbers equal."
            )
        self.skeleton = _skeleton(data)

    @classmethod
    def target_renderer(cls, data: object) -> InstanceRenderer:
        """Return the renderer for the targets of a DataModule."""
        poses = PoseRenderer(**_skeleton(data)) if provides(data, HasJoints) else None
        return InstanceRenderer(require(cls, data, HasClasses).class_names, score_threshold=0.0, poses=poses)

    def renderer(self, score_threshold: float) -> InstanceRenderer:
        """Return the renderer for masks, boxes and skeletons."""
        poses = None if self.skeleton is None else PoseRenderer(**self.skeleton)
        return InstanceRenderer(self.class_names, score_threshold, poses)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return the losses and the predictions of an evaluation batch."""
        images, targets = batch
        return self.network.losses(images, [without_crowds(target) for target in targets]), self.predict(images)

    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the predictions of a batch."""
        for metric in self.metrics.values():
            cast(COCOAveragePrecision, metric).update(found, targets)

    def compute_metrics(self) -> dict[str, Any]:
        """Return the average precisions."""
        values: dict[str, Any] = {}
        for kind in self.kinds:
            metric, prefix = cast(COCOAveragePrecision, self.metrics[kind]), PREFIXES[kind]
            result = metric.compute()
            metric.reset()
            values |= {f"{prefix}{name}": result[name] for name in metric.FACTS[kind]}
            per_class = cast(Tensor, result["map_per_class"])
            values |= {f"{prefix}ap/{name}": ap for name, ap in zip(self.class_names, per_class, strict=True)}
        return values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the skeleton with the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["skeleton"] = self.skeleton

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the skeleton."""
        super().on_load_checkpoint(checkpoint)
        self.skeleton = checkpoint["skeleton"]


def _skeleton(data: HasJoints) -> dict[str, Any]:
    return {"joint_names": list(data.joint_names), "limbs": data.limbs, "pairs": data.joint_pairs}
