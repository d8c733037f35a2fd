"""Human pose: the joints of one person in each crop."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from lit_cv.contract import Batch, HasSkeleton, data_of, require
from lit_cv.metrics import PCK, PCKh
from lit_cv.metrics.facts import Fact
from lit_cv.models.pose import PoseNet
from lit_cv.renderers import PoseRenderer
from lit_cv.tasks.base import Predictions, Size, Targets, Task


class PoseTask(Task):
    """Train and evaluate a ``PoseNet``.

    A batch is ``(images, targets)``: crops of one person, uint8 (3, H, W), and dictionaries with ``keypoints`` float32
    (1, K, 3), ``head_size`` and ``torso_size`` in pixels of the crop. The DataModule provides the names of the joints,
    the limbs, and the pairs of right and left joints.

    The task logs the loss and the following numbers. They are in [0, 1], higher is better, and NaN means that there was
    nothing to evaluate:

    * ``pckh_50``, ``pckh_20``, ``pckh_10``: the share of labeled joints within a half, a fifth and a tenth of the
      size of the head, without the joints that the data set excludes (MPII: pelvis and thorax);
    * ``pckh``: the same as ``pckh_50``;
    * ``pck_20``: the share of labeled joints within a fifth of the size of the torso;
    * ``pckh_50/<joint>`` and ``pck_20/<joint>``.

    The arguments are those of ``Task``.
    """

    network: PoseNet
    METRICS: ClassVar[Mapping[str, Fact]] = {
        **dict.fromkeys(("pckh", "pckh_50", "pckh_20", "pckh_10"), PCKh.FACT),
        "pck_20": PCK.FACT,
    }
    PER_CLASS: ClassVar[Mapping[str, Fact]] = {"pckh_50": PCKh.FACT, "pck_20": PCK.FACT}
    SIZE: ClassVar[str] = "num_joints"
    MONITOR: ClassVar[str] = "val/pckh"
    FOUND: ClassVar[tuple[str, ...]] = ("keypoints",)
    limbs: Sequence[Sequence[int]] = ()
    pairs: Sequence[Sequence[int]] = ()

    @property
    def joint_pairs(self) -> Sequence[Sequence[int]]:
        """See ``Task``."""
        return self.pairs

    def setup(self, stage: str) -> None:
        """Take the skeleton from the DataModule and build the metrics."""
        super().setup(stage)
        data = data_of(self.trainer)
        if stage == "predict" or data is None:
            return
        skeleton = require(self, data, HasSkeleton).skeleton
        self.limbs = [list(limb) for limb in skeleton.limbs]
        self.pairs = [list(pair) for pair in skeleton.pairs]
        self.pckh, self.pck = PCKh(left_out=skeleton.left_out), PCK()

    @classmethod
    def size(cls, data: object) -> Size:
        """Return the number of joints that the network needs for a DataModule."""
        joints = len(require(cls, data, HasSkeleton).class_names)
        return Size(joints, f"{joints} joints")

    @classmethod
    def target_renderer(cls, data: object) -> PoseRenderer:
        """Return the renderer for the targets of a DataModule."""
        people = require(cls, data, HasSkeleton)
        return PoseRenderer(people.class_names, people.skeleton.limbs, people.skeleton.pairs)

    def renderer(self, score_threshold: float) -> PoseRenderer:
        """Return the renderer for skeletons; poses have no scores."""
        return PoseRenderer(self.class_names, self.limbs, self.pairs)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return the losses and the predictions of one forward pass."""
        output = self.network.evaluate(*batch)
        return output.losses, output.found if self.tta is None else self.predict(batch[0])

    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the poses of a batch."""
        points = torch.cat([pose["keypoints"] for pose in found])
        keypoints = torch.cat([target["keypoints"] for target in targets])
        for metric, size in ((self.pckh, "head_size"), (self.pck, "torso_size")):
            sizes = torch.stack([target[size] for target in targets])
            metric.update(points, keypoints[..., :2], keypoints[..., 2] > 0, sizes)

    def compute_metrics(self) -> dict[str, Any]:
        """Return the shares of correct joints."""
        shares = self.pckh.compute() | self.pck.compute()
        shares["pckh"] = shares["pckh_50"]
        values: dict[str, Any] = {name: shares[name] for name in self.METRICS}
        for name in self.PER_CLASS:
            per_joint = shares[f"{name}_per_joint"]
            values |= {f"{name}/{joint}": share for joint, share in zip(self.class_names, per_joint, strict=True)}
        self.pckh.reset()
        self.pck.reset()
        return values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the skeleton with the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["skeleton"] = {"limbs": self.limbs, "pairs": self.pairs}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the skeleton."""
        super().on_load_checkpoint(checkpoint)
        self.limbs, self.pairs = checkpoint["skeleton"]["limbs"], checkpoint["skeleton"]["pairs"]
