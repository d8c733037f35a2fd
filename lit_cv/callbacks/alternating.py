"""The original training of Faster R-CNN in four alternating steps (Ren et al. 2015, section 3.2)."""

import copy
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lit_cv.callbacks.freezing import Part, freeze_only, refuse_strategy
from lit_cv.errors import UserError
from lit_cv.models.rcnn.two_stage import TwoStageDetector

State = dict[str, Tensor]
FROZEN = (
    ("roi_heads",),
    ("rpn",),
    ("backbone", "roi_heads"),
    ("backbone", "rpn"),
)  # in each step


class AlternatingTraining(Callback):
    """Train the two ends of a ``FasterRCNN`` or ``RFCN`` in turns, first on separate backbones, then on a shared one.

    1. The proposal network and the backbone.
    2. The region head and a backbone that starts from the first weights again, on the proposals of step 1, which keep
       the backbone of step 1.
    3. The proposal network alone, on the backbone of step 2. Its own layers start from their first weights again, as in
       the authors' code: those of step 1 belong to another backbone.
    4. The region head alone, on the proposals of step 3; both now share all of the backbone.

    Difference from the authors' code: proposals are computed when needed, from the augmented image, instead of once
    before step 2 and step 4.

    The losses of frozen parts are 0. Predictions use the current network on one backbone: they are meaningless in
    step 1 and poor in steps 2 and 3, whose checkpoints need step 4.

    The step depends only on the number of optimizer steps, so a resumed run continues in it. The first weights and the
    backbone of step 1 are in the checkpoint as long as they are needed. Frozen parts do not change at all, see
    ``TrainingPhases``. Each step starts with an empty optimizer, without the momentum of the previous step. The
    learning rate follows its own schedule, such as ``lit_cv.tasks.RestartingStepLR``.

    With several processes, plain ``ddp`` needs the gradients of the frozen parts: use
    ``trainer.strategy: ddp_find_unused_parameters_true``, not ``fsdp2``.

    Args:
        steps: Number of optimizer steps of each of the four, at least 1. Further training stays in the last step.

    Raises:
        UserError: There are not four positive numbers, the training is shorter than their sum, the network is no
            ``TwoStageDetector``, the strategy is a plain ``ddp`` or ``fsdp2``, or the checkpoint was written without
            this callback.
    """

    def __init__(self, steps: Sequence[int]) -> None:
        if len(steps) != len(FROZEN) or min(steps) < 1:
            raise UserError(f"steps={list(steps)}: AlternatingTraining needs four numbers of steps, each at least 1.")
        self.ends = list(accumulate(steps))
        self.step = 0
        self._first: dict[str, State] = {}
        self._proposer: State = {}
        self._parts: dict[str, Part] = {}

    def step_of(self, optimizer_step: int) -> int:
        """Return the step, 0 to 3, of an optimizer step."""
        return sum(optimizer_step >= end for end in self.ends[:-1])

    def state_dict(self) -> dict[str, Any]:
        """Return the current step and the weights that later steps need."""
        return {"step": self.step, "first": self._first, "proposer": self._proposer}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.step = state_dict["step"]
        self._first, self._proposer = state_dict["first"], state_dict["proposer"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the first weights and the trainable parameters, or continue from a checkpoint."""
        self._check(trainer, pl_module)
        network = cast(TwoStageDetector, pl_module.network)
        if trainer.global_step == 0:
            self.step, self._proposer = 0, {}
            self._first = {name: _copied(network.get_submodule(name)) for name in ("backbone", "rpn")}
        self._parts = {name: Part(network.get_submodule(name)) for name in ("backbone", "rpn", "roi_heads")}
        self._arrange(network)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Start the next step when it is due, and freeze exactly the parts that it does not train."""
        while self.step < self.step_of(trainer.global_step):
            self._advance(cast(TwoStageDetector, pl_module.network))
            for optimizer in trainer.optimizers:
                optimizer.state.clear()
        freeze_only(self._parts, FROZEN[self.step])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the network's original state."""
        freeze_only(self._parts, ())
        network = cast(TwoStageDetector, pl_module.network)
        network.trained, network.proposer = "both", None

    def _check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        refuse_strategy(self, trainer)
        if not isinstance(pl_module.network, TwoStageDetector):
            name = type(pl_module.network).__name__
            raise UserError(f"AlternatingTraining trains a FasterRCNN or an RFCN, not {name}: remove the callback.")
        if trainer.estimated_stepping_batches < self.ends[-1]:
            raise UserError(
                f"AlternatingTraining takes {self.ends[-1]} steps, but the training ends after "
                f"{trainer.estimated_stepping_batches}: raise trainer.max_steps or lower the callback's steps."
            )
        if trainer.global_step and not self.step and not self._first:
            raise UserError(
                "The checkpoint was written without AlternatingTraining and does not hold the first weights: "
                "train with the callback from the start."
            )

    def _advance(self, network: TwoStageDetector) -> None:
        self.step += 1
        if self.step == 1:
            self._proposer = _copied(network.backbone)
            network.backbone.load_state_dict(self._first.pop("backbone"))
        elif self.step == 2:
            self._proposer = {}
            network.rpn.load_state_dict(self._first.pop("rpn"))
        self._arrange(network)

    def _arrange(self, network: TwoStageDetector) -> None:
        """Select the losses that the network computes and the source of its proposals."""
        network.trained = "regions" if self.step % 2 else "proposals"
        network.proposer = None
        if self._proposer:
            backbone = copy.deepcopy(network.backbone).requires_grad_(False).eval()
            backbone.load_state_dict(self._proposer)
            network.proposer = (backbone,)


def _copied(module: nn.Module) -> State:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
