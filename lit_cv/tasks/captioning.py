"""Dense captioning: regions and a phrase for each."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from lit_cv.contract import Batch, HasVocabulary, data_of, require
from lit_cv.metrics import DenseCaptionAP
from lit_cv.metrics.densecap import Measure
from lit_cv.metrics.facts import Fact
from lit_cv.models.rcnn.densecap import DenseCap
from lit_cv.ops.vocabulary import SPECIAL, Vocabulary
from lit_cv.renderers import PhraseRenderer
from lit_cv.tasks.base import Predictions, Size, Targets, Task, sgd, warmup


class CaptioningTask(Task):
    """Train and evaluate a `DenseCap`.

    A batch is `(images, targets)`: uint8 images (3, H, W) and dictionaries with `boxes`, `labels`, `tokens` and
    `phrases`. Predictions are the network's with `phrases`, the words of its tokens. Logged, in [0, 1] with higher
    better and -1 where there is nothing to evaluate: `densecap_map`, the mean AP over thresholds of IoU and METEOR,
    `box_map` of boxes alone, `meteor`, the mean of the phrases, what else `DenseCaptionAP` computes, and each loss.
    With `meteor: exact_match_meteor` the names of what is another measure then begin with `exact_match_`.

    Args:
        network: the network, injected by `class_path`.
        meteor: see `DenseCaptionAP`.
        test_boxes: `found`: evaluation finds regions and describes them; `given`: it describes the boxes of the targets
            (the column "GT" of Johnson et al. 2016, Table 1).
        loss_weights: see `Task`.
        optimizer: see `Task`.
        scheduler: see `Task`.
    """

    network: DenseCap
    SIZE: ClassVar[str] = "vocabulary_size"
    MONITOR: ClassVar[str] = "val/densecap_map"

    def __init__(
        self,
        network: DenseCap,
        meteor: Measure = "meteor",
        test_boxes: Literal["found", "given"] = "found",
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = sgd,
        scheduler: LRSchedulerCallable = warmup,
    ) -> None:
        super().__init__(network, loss_weights, optimizer, scheduler)
        self.meteor, self.test_boxes = meteor, test_boxes
        self.vocabulary = Vocabulary(SPECIAL)
        if meteor == "exact_match_meteor":
            self.MONITOR = "val/exact_match_densecap_map"  # type: ignore[misc]

    def facts(self, class_names: Sequence[str]) -> dict[str, Fact]:
        """Return unit and direction of each number of ``compute_metrics``; there are none for single classes."""
        return DenseCaptionAP.facts(self.meteor)

    def setup(self, stage: str) -> None:
        """Take the vocabulary of the data and build the metric."""
        data = data_of(self.trainer)
        if stage != "predict" and data is not None:
            self.vocabulary = require(self, data, HasVocabulary).vocabulary
            self.average_precision = DenseCaptionAP(self.meteor)
        super().setup(stage)

    @classmethod
    def size(cls, data: object) -> Size:
        """Return the number of words that the network needs for a DataModule."""
        words = len(require(cls, data, HasVocabulary).vocabulary)
        return Size(words, f"a vocabulary of {words} words")

    @classmethod
    def target_renderer(cls, data: object) -> PhraseRenderer:
        """Return what draws the targets of the data."""
        return PhraseRenderer(score_threshold=0.0)

    def renderer(self, score_threshold: float) -> PhraseRenderer:
        """Return what draws the boxes and writes the phrases."""
        return PhraseRenderer(score_threshold)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return losses and described regions of an evaluation batch."""
        images, targets = batch
        if self.test_boxes == "given":
            found: Predictions = self.network.describe(images, [target["boxes"] for target in targets])
        else:
            found = self.network.predict(images)
        return self.network.losses(images, targets), self.worded(found)

    def predict_step(self, batch: Batch, batch_idx: int) -> Predictions:
        """Return the described regions of each image, in its own pixels."""
        return self.worded(super().predict_step(batch, batch_idx))

    def worded(self, found: Predictions) -> Predictions:
        """Add `phrases`, a list of strings, to predictions with `tokens`."""
        return [{**one, "phrases": self.vocabulary.decode(one["tokens"])} for one in found]

    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the described regions of a batch."""
        self.average_precision.update(found, targets)

    def compute_metrics(self) -> dict[str, Any]:
        """Return the average precisions."""
        values = self.average_precision.compute()
        self.average_precision.reset()
        return dict(values)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the vocabulary with the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["vocabulary"] = list(self.vocabulary.words)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the vocabulary."""
        super().on_load_checkpoint(checkpoint)
        self.vocabulary = Vocabulary(checkpoint["vocabulary"])
