"""The stages of R-CNN after the training of its network: features on disk, SVMs, box regressors."""

from pathlib import Path
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks.model_checkpoint import ModelCheckpoint
from torch import nn

from lit_cv.callbacks.after_training import AfterTraining
from lit_cv.callbacks.rcnn_stages.feature_dump import ran_full
from lit_cv.callbacks.rcnn_stages.training import RegionTraining
from lit_cv.contract import HasTrainingOrder, data_of, require
from lit_cv.errors import UserError
from lit_cv.models.rcnn.region_svm import RegionClassifiers


class RegionStages(AfterTraining):
    """Train one SVM and one box regressor per class after the network itself (Girshick et al. 2014).

    For ``RCNN`` and other networks with ``region_classifiers`` (``StagedDetector``). ``FastRCNN`` takes only SVMs:
    its box regressors are part of the network. All stages belong to one ``litcv fit``: after its last step and before
    its final validation, on the training images in order and without augmentation:

    1. the features of all objects and proposals go to ``<run>/stages/features.f16``, whose size is announced before;
    2. linear SVMs: positives are the objects, negatives the regions with an IoU below 0.3 with all objects of the
       class, mined for hard ones (section 2.3 and appendix B); only with ``network.classifier: svm``;
    3. ridge regression from the features of regions to the objects that they overlap by at least 0.6 (appendix C),
       only with ``network.box_regression: true``;
    4. both are stored in the network, and the network in ``checkpoints/last.ckpt``. A ``best.ckpt`` holds the network
       before these stages and is removed: its classifiers are not those of the run's result.

    A run that was killed or stopped by a full disk continues in its stage, with the same result. The results of the
    stages are kept in ``<run>/stages``, the features are not.

    Args:
        keep_features: Whether the features stay on disk at the end.
        passes: Maximum number of passes over all regions for the SVMs; a pass without a new negative is the last. The
            paper found one pass enough.

    Raises:
        UserError: The network has nothing to train here, there are several processes, or the training targets are
            shuffled.
    """

    def __init__(self, keep_features: bool = False, passes: int = 1) -> None:
        if passes < 1:
            raise UserError(f"passes={passes}: the SVMs have to see the regions once at least.")
        self.keep_features, self.passes = keep_features, passes

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse impossible settings before anything is trained."""
        if stage != "fit":
            return
        if not isinstance(getattr(pl_module.network, "region_classifiers", None), RegionClassifiers):
            raise UserError(
                f"RegionStages: {type(pl_module.network).__name__} has no SVMs or box regressors; take the callback "
                "out or choose RCNN."
            )
        if trainer.world_size > 1:
            raise UserError("RegionStages works in one process: set trainer.devices to 1.")
        if require(self, data_of(trainer), HasTrainingOrder).shuffle_targets:
            raise UserError("RegionStages takes each image's own targets: set data.shuffle_targets to false.")

    def after_training(self, trainer: Trainer, pl_module: LightningModule, folder: Path) -> None:
        """Carry out the missing stages, and store the results in the network and in ``last.ckpt``.

        Args:
            folder: Folder of the run.

        Raises:
            UserError: The disk is full, or the training images have no proposals.
        """
        if not _has_stages(pl_module.network):
            return
        try:
            self._train(trainer, pl_module, folder)
        except (OSError, RuntimeError) as error:
            if not ran_full(error):
                raise
            raise UserError(f"{folder}: the disk is full; make room and add --resume: nothing is lost.") from None

    def _train(self, trainer: Trainer, pl_module: LightningModule, folder: Path) -> None:
        pl_module.to(trainer.strategy.root_device)
        with trainer.precision_plugin.forward_context():
            data = require(self, data_of(trainer), HasTrainingOrder)
            network = cast(nn.Module, pl_module.network)
            RegionTraining(network, data, folder / "stages", self.passes, self.keep_features).run()
        pl_module.cpu()
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):
                callback.best_model_path, callback.best_model_score = "", None
        (folder / "checkpoints" / "best.ckpt").unlink(missing_ok=True)
        trainer.save_checkpoint(folder / "checkpoints" / "last.ckpt", weights_only=False)


def _has_stages(network: Any) -> bool:
    with_boxes = network.box_regression and network.region_classifiers.box_features
    return network.classifier == "svm" or bool(with_boxes)
