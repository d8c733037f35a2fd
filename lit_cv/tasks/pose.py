"""Human pose: the joints of one person a crop."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.metrics import PCK, PCKh
from lit_cv.models.pose import PoseNet
from lit_cv.renderers import PoseRenderer
from lit_cv.tasks.base import Batch, Predictions, Targets, Task


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
    METRICS: ClassVar[tuple[str, ...]] = ("pckh", "pckh_50", "pckh_20", "pckh_10", "pck_20")
    MONITOR: ClassVar[str] = "val/pckh"
    limbs: Sequence[Sequence[int]] = ()
    pairs: Sequence[Sequence[int]] = ()

    def setup(self, stage: str) -> None:
        """Take the skeleton of the data and build the metrics for it."""
        super().setup(stage)
        datamodule = getattr(self.trainer, "datamodule", None)
        if stage == "predict" or datamodule is None:
            return
        skeleton = datamodule.skeleton
        self.limbs = [list(limb) for limb in skeleton.limbs]
        self.pairs = [list(pair) for pair in skeleton.pairs]
        self.pckh, self.pck = PCKh(left_out=skeleton.left_out), PCK()

    def check_outputs(self) -> None:
        """Check that the network has as many outputs as the data has joints.

        Raises:
            UserError: it has not.
        """
        if self.network.num_joints != len(self.class_names):
            raise UserError(
                f"the data has {len(self.class_names)} joints, so the network needs num_joints: "
                f"{len(self.class_names)} instead of {self.network.num_joints}."
            )

    @classmethod
    def target_renderer(cls, data: Any) -> PoseRenderer:
        """Return what draws the targets of the data."""
        return PoseRenderer(data.class_names, data.skeleton.limbs, data.skeleton.pairs)

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
        values: dict[str, Any] = {"pckh": shares["pckh_50"]} | {name: shares[name] for name in self.METRICS[1:]}
        for name in ("pckh_50", "pck_20"):
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
