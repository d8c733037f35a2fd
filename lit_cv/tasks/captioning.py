"""Dense captioning: regions with a phrase for each."""

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
    """Train and evaluate a ``DenseCap``.

    A batch is ``(images, targets)``: uint8 images (3, H, W) and dictionaries with ``boxes``, ``labels``, ``tokens`` and
    ``phrases``. Predictions are those of the network with ``phrases``, the words of the tokens.

    The task logs each loss and the numbers of ``DenseCaptionAP``. They are in [0, 1], higher is better, and -1 means
    that there was nothing to evaluate:

    * ``densecap_map``: the mean AP over thresholds of IoU and METEOR;
    * ``box_map``: the mean AP of the boxes without their phrases;
    * ``meteor``: the mean METEOR of the phrases;
    * the parts of the two APs.

    With ``meteor: exact_match_meteor``, names of numbers that depend on the measure begin with ``exact_match_``.

    Args:
        network: The network, injected by ``class_path``.
        meteor: See ``DenseCaptionAP``.
        test_boxes: With ``found``, the evaluation finds regions and describes them. With ``given``, it describes the
            boxes of the targets (column "GT" of Johnson et al. 2016, Table 1).
        loss_weights: See ``Task``.
        optimizer: See ``Task``.
        scheduler: See ``Task``.
        options: Further arguments of ``Task``.
    """

    network: DenseCap
    SIZE: ClassVar[str] = "vocabulary_size"
    MONITOR: ClassVar[str] = "val/densecap_map"
    FOUND: ClassVar[tuple[str, ...]] = ("boxes", "scores", "phrases")

    def __init__(
        self,
        network: DenseCap,
        meteor: Measure = "meteor",
        test_boxes: Literal["found", "given"] = "found",
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = sgd,
        scheduler: LRSchedulerCallable | None = warmup,
        **options: Any,
    ) -> None:
        super().__init__(network, loss_weights, optimizer, scheduler, **options)
        self.meteor, self.test_boxes = meteor, test_boxes
        self.vocabulary = Vocabulary(SPECIAL)
        if meteor == "exact_match_meteor":
            self.MONITOR = "val/exact_match_densecap_map"  # type: ignore[misc]

    def facts(self, class_names: Sequence[str]) -> dict[str, Fact]:
        """Return unit and direction of each number of ``compute_metrics``; there is none for single classes."""
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

    def output_names(self) -> list[str]:
        """Return the words."""
        return list(self.vocabulary.words)

    @classmethod
    def target_renderer(cls, data: object) -> PhraseRenderer:
        """Return the renderer for the targets of a DataModule."""
        return PhraseRenderer(score_threshold=0.0)

    def renderer(self, score_threshold: float) -> PhraseRenderer:
        """Return the renderer for boxes and phrases."""
        return PhraseRenderer(score_threshold)

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return the losses and the described regions of an evaluation batch."""
        images, targets = batch
        if self.test_boxes == "given":
            found: Predictions = self.network.describe(images, [target["boxes"] for target in targets])
        else:
            found = self.network.predict(images)
        return self.network.losses(images, targets), self.worded(found)

    def predict_step(self, batch: Batch, batch_idx: int) -> Predictions:
        """Return the described regions of each image, in the pixels of the input image."""
        return self.worded(super().predict_step(batch, batch_idx))

    def worded(self, found: Predictions) -> Predictions:
        """Add ``phrases``, a list of strings, to predictions with ``tokens``."""
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
        """Save the vocabulary with the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["vocabulary"] = list(self.vocabulary.words)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the vocabulary."""
        super().on_load_checkpoint(checkpoint)
        self.vocabulary = Vocabulary(checkpoint["vocabulary"])
