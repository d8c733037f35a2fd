"""Class-agnostic proposals, measured by their recall."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from lit_cv.contract import Batch, HasClasses, require
from lit_cv.metrics import ProposalRecall
from lit_cv.metrics.facts import Fact
from lit_cv.models.rcnn.proposer import Proposer
from lit_cv.ops.limits import at_least
from lit_cv.ops.objects import without_crowds
from lit_cv.renderers import BoxRenderer
from lit_cv.tasks.base import Predictions, Targets, Task, sgd, warmup


class ProposalTask(Task):
    """Train and evaluate a ``Proposer``.

    A batch is that of ``DetectionTask``; with ``network.source: selective_search``, targets need ``proposals``. The
    task logs each loss and ``recall_50_at_<N>`` and ``recall_70_at_<N>``, see ``ProposalRecall``.

    Args:
        network: The network, injected by ``class_path``.
        parts: Number of parts of the evaluated images. A run evaluates the part of its seed: image i if
            ``i % parts == seed % parts``. Then seeds differ for every source, also for those without randomness, and
            an interval over as many consecutive seeds as parts is one over disjoint sets of images.
        loss_weights: See ``Task``.
        optimizer: See ``Task``.
        scheduler: See ``Task``.
        options: Further arguments of ``Task``.
    """

    network: Proposer
    METRICS: ClassVar[Mapping[str, Fact]] = ProposalRecall.FACTS
    MONITOR: ClassVar[str] = "val/recall_50_at_1000"
    FOUND: ClassVar[tuple[str, ...]] = ("boxes", "scores", "labels")
    OF_NETWORK: ClassVar[tuple[str, ...]] = tuple(ProposalRecall.FACTS)  # the part follows from the run's seed

    def __init__(
        self,
        network: Proposer,
        parts: int = 1,
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = sgd,
        scheduler: LRSchedulerCallable | None = warmup,
        **options: Any,
    ) -> None:
        super().__init__(network, loss_weights, optimizer, scheduler, **options)
        at_least(1, parts=parts)
        self.parts = parts

    def setup(self, stage: str) -> None:
        """Build the metric for the part of the seed."""
        super().setup(stage)
        if stage != "predict":
            seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
            self.recall = ProposalRecall(seed % self.parts, self.parts)

    @classmethod
    def target_renderer(cls, data: object) -> BoxRenderer:
        """Return the renderer for the targets of a DataModule."""
        return BoxRenderer(require(cls, data, HasClasses).class_names, score_threshold=0.0)

    def renderer(self, score_threshold: float) -> BoxRenderer:
        """Return the renderer for boxes, which have no class."""
        return BoxRenderer(["object"] * len(self.class_names), score_threshold)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return the losses and the proposals of an evaluation batch."""
        images, targets = batch
        given = self.network.given(targets) if self.network.source == "selective_search" else None
        return self.network.losses(images, [without_crowds(target) for target in targets]), self.predict(images, given)

    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the proposals of a batch."""
        self.recall.update(found, targets)

    def compute_metrics(self) -> dict[str, Any]:
        """Return the recalls."""
        values: dict[str, Any] = {**self.recall.compute()}
        self.recall.reset()
        return values

    def facts(self, class_names: Sequence[str]) -> dict[str, Fact]:
        """Return unit and direction of each number of ``compute_metrics``; there is none for single classes."""
        return dict(self.METRICS)
