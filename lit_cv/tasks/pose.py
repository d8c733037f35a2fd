"""Human pose: the joints of one person a crop."""

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
    """Train and evaluate a `PoseNet`.

    A batch is `(images, targets)`: crops of one person, uint8 (3, H, W), and dictionaries with `keypoints` float32
    (1, K, 3), `head_size` and `torso_size` in pixels of the crop. Logged, in [0, 1] with higher better and nan where
    there is nothing to evaluate: `pckh_50`, `pckh_20`, `pckh_10`, the share of labelled joints within half, a fifth and
    a tenth of the head's size (`pckh` is `pckh_50`); `pck_20`, within a fifth of the torso's; `pckh_50/<joint>` and
    `pck_20/<joint>`; and the loss. The totals of PCKh leave out the joints that the data set says (MPII: pelvis and
    thorax). The names of the joints, the limbs and the left and right ones come from the DataModule.

    Args: see `Task`.
    """

    network: PoseNet
    METRICS: ClassVar[Mapping[str, Fact]] = {
        **dict.fromkeys(("pckh", "pckh_50", "pckh_20", "pckh_10"), PCKh.FACT),
        "pck_20": PCK.FACT,
    }
    PER_CLASS: ClassVar[Mapping[str, Fact]] = {"pckh_50": PCKh.FACT, "pck_20": PCK.FACT}
    SIZE: ClassVar[str] = "num_joints"
    MONITOR: ClassVar[str] = "val/pckh"
    limbs: Sequence[Sequence[int]] = ()
    pairs: Sequence[Sequence[int]] = ()

    def setup(self, stage: str) -> None:
        """Take the skeleton of the data and build the metrics for it."""
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
        """Return what draws the targets of the data."""
        people = require(cls, data, HasSkeleton)
        return PoseRenderer(people.class_names, people.skeleton.limbs, people.skeleton.pairs)

    def renderer(self, score_threshold: float) -> PoseRenderer:
        """Return what draws the skeletons; poses have no scores."""
        return PoseRenderer(self.class_names, self.limbs, self.pairs)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return losses and predictions of one forward pass."""
        output = self.network.evaluate(*batch)
        return output.losses, output.found

    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the poses of a batch."""
        points = torch.cat([pose["keypoints"] for pose in found])
        keypoints = torch.cat([target["keypoints"] for target in targets])
        for metric, size in ((self.pckh, "head_size"), (self.pck, "torso_size")):
            sizes = torch.stack([target[size] for target in targets])
            metric.update(points, keypoints[..., :2], keypoints[..., 2] > 0, sizes)

    def compute_metrics(self) -> dict[str, Any]:
        """Return the shares of joints that were found."""
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
        """Keep the skeleton with the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["skeleton"] = {"limbs": self.limbs, "pairs": self.pairs}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the skeleton."""
        super().on_load_checkpoint(checkpoint)
        self.limbs, self.pairs = checkpoint["skeleton"]["limbs"], checkpoint["skeleton"]["pairs"]
