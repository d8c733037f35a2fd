"""DenseCap (Johnson, Karpathy & Fei-Fei 2016): one network detects regions and describes them."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import clip_boxes_to_image

from lit_cv.errors import UserError
from lit_cv.models.detection.detector import SMALLEST_SIDE, Detection, restore
from lit_cv.models.images import ImageBatch, Size, size_of
from lit_cv.models.network import Target, evaluating, known_size
from lit_cv.models.rcnn.faster_rcnn import FasterRCNN
from lit_cv.models.rcnn.language_model import LanguageModel
from lit_cv.models.rcnn.roi_head import ROI_WEIGHTS, RegionSample, RoIHead
from lit_cv.models.rcnn.two_stage import HeadOutputs
from lit_cv.ops.boxes import decode_boxes, encode_boxes, grouped_nms
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.limits import at_least, fractions
from lit_cv.ops.roi import as_rois
from lit_cv.ops.vocabulary import SPECIAL

REGION = 1  # the only label
Captions = Literal["joint", "detached", "image"]


class DescribedRegions(Detection):
    """A ``Detection`` with labels 1 and a phrase for each region.

    Attributes:
        tokens: int64 (M, T), padded ids of the words, see ``lit_cv.ops.vocabulary``.
    """

    tokens: Tensor


class RecognitionHead(RoIHead):
    """DenseCap's recognition network without its language model: it predicts objectness and box again (section 3.2).

    The losses are those of the released code (``DenseCapModel.lua``). The objectness loss is a logistic loss of the
    difference of two logits over all sampled regions. The box loss is the mean smooth L1 (quadratic below 1) of the
    four offsets over the positive regions. As in the code and the paper, a region is positive if it has an IoU of at
    least 0.7 with an object and negative below 0.3. At most half of the sampled regions are positive.

    The arguments are those of ``RoIHead``.
    """

    positive_iou: ClassVar[float] = 0.7
    negative_iou: ClassVar[float] = 0.3
    positives: ClassVar[float] = 0.5

    def losses(self, logits: Tensor, deltas: Tensor, sample: RegionSample) -> tuple[Tensor, Tensor]:
        """Compute the losses of objectness and box, see the class; the arguments are those of ``RegionHead.losses``."""
        regions = (sample.classes > 0).long()
        objectness = F.cross_entropy(logits, regions, reduction="sum") / shared_count(regions >= 0)
        positive = regions.nonzero()[:, 0]
        offsets = deltas[positive, REGION] / deltas.new_tensor(ROI_WEIGHTS)
        target = encode_boxes(sample.boxes[positive], sample.rois[positive, 1:])
        box = F.smooth_l1_loss(offsets, target, reduction="sum") / (4 * shared_count(regions > 0))
        return objectness, box

    def detect_rows(
        self, logits: Tensor, deltas: Tensor, proposals: list[Tensor], sizes: list[Size]
    ) -> tuple[list[Detection], Tensor]:
        """Detect as ``detect`` does, and return the proposals that the detections come from.

        Returns:
            The detections of each image; and int64 (M,), the row of ``logits`` of each detection, image by image.
        """
        counts = [len(part) for part in proposals]
        boxes = torch.split(decode_boxes(deltas[:, REGION], torch.cat(proposals), ROI_WEIGHTS), counts)
        scores = torch.split(logits.softmax(dim=1)[:, REGION], counts)
        detections, rows, start = [], [], 0
        for own, score, size in zip(boxes, scores, sizes, strict=True):
            own = clip_boxes_to_image(own, size)
            large = (own[:, 2:] - own[:, :2] >= SMALLEST_SIDE).all(dim=1)
            usable = (large & (score > self.keep.score_threshold)).nonzero()[:, 0]
            one_group = torch.zeros_like(usable)
            kept = grouped_nms(own[usable], score[usable], one_group, self.keep.nms_threshold)
            kept = kept[: self.keep.detections_per_image]
            best = usable[kept]
            detections.append(_regions(own[best], score[best]))
            rows.append(best + start)
            start += len(own)
        return detections, torch.cat(rows)


class DenseCap(FasterRCNN):
    """DenseCap on any backbone.

    Targets have one label, 1, and ``tokens`` int64 (N, T): the padded ids of each phrase's words, without ``<START>``
    and ``<END>``. T is the same for all images of a batch. ``predict`` returns ``DescribedRegions``. The phrase and the
    final box of a region both come from the code of its proposal. The code is only the first input of the language
    model.

    ``experiments/visual_genome/densecap_vgg16.yaml`` has the paper's settings. The weights of the losses are the task's
    ``loss_weights``. Those of the released code are 0.1 for ``rpn_objectness``, 0.05 for ``rpn_box``, 0.1 for
    ``objectness`` and ``box``, and 1 for ``caption``; the paper (section 3.4) has 0.1 for ``rpn_box``, too.
    Differences from the released code:

    * ``caption`` is the mean over the words, as in the paper (which normalizes by batch and length of the sequence).
      The code sums over the words of a phrase and averages over the phrases.
    * ``rpn_objectness`` and ``rpn_box`` are the losses of Faster R-CNN on sampled anchors, see
      ``RegionProposalNetwork.losses``. The code samples 256 of all decoded boxes once, for these losses and for the
      recognition network. Its first loss is the mean over the positives plus the mean over the negatives. Its second
      loss is the mean smooth L1, quadratic below 1, of the positives' offsets. It also pulls all boxes to their anchors
      with a weight of 5e-5. Here regions are sampled from the proposals after NMS and from the objects.
    * No gradient flows to the boxes of the proposals. In the paper it does, through ``roi_op: bilinear``.

    ``more`` in the raw outputs holds the codes that phrases are written from, (K, D), and the logits of the first word
    of each phrase, float32 (K, 1, words). ``language_model`` computes those of the next words from codes and tokens.

    Args:
        vocabulary_size: Number of words, including the special ones: the length of the data's ``vocabulary``;
            null in an experiment takes it from the data.
        embedding: Length of a word vector.
        hidden: Number of LSTM units.
        dropout: Dropout probability of the LSTM's output. The released code has no dropout there; it has 0.5 after fc6
            and fc7, as ``head: backbone`` of a VGG has here.
        longest_phrase: Maximum number of words of a predicted phrase.
        beam: Number of phrases that the beam search keeps; 1 is greedy search, as in the paper.
        captions: ``joint``: the phrase of a region is written from its code, and its loss trains all layers, as in the
            paper. ``detached``: its loss trains the language model alone, so that the detector is the one that its own
            losses give. ``image``: all phrases of an image are written from the code of the whole image, as by the
            paper's baseline "Full image RNN".
        options: Arguments of ``FasterRCNN``, except ``num_classes``.

    Raises:
        UserError: ``vocabulary_size``, ``beam`` or ``longest_phrase`` is too small.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("rpn_objectness", "rpn_box", "objectness", "box", "caption")
    class_layers = {"language_model.words.*": "whole", "language_model.output.*": "whole"}
    stages: ClassVar[dict[str, str]] = {**FasterRCNN.stages, "language_model.write": "heads"}
    roi_heads: RecognitionHead

    def __init__(
        self,
        vocabulary_size: int | None,
        *,
        embedding: int = 512,
        hidden: int = 512,
        dropout: float = 0.0,
        longest_phrase: int = 15,
        beam: int = 1,
        captions: Captions = "joint",
        **options: Any,
    ) -> None:
        super().__init__(num_classes=REGION + 1, **options)
        at_least(1, embedding=embedding, hidden=hidden)
        fractions(dropout=dropout)
        vocabulary_size = known_size("vocabulary_size", vocabulary_size)
        if vocabulary_size <= len(SPECIAL) or beam < 1 or longest_phrase < 1:
            raise UserError(
                f"vocabulary_size={vocabulary_size}, beam={beam}, longest_phrase={longest_phrase}: give at least one "
                f"word in addition to the {len(SPECIAL)} special ones, and at least 1 for the others."
            )
        self.vocabulary_size, self.longest_phrase, self.beam = vocabulary_size, longest_phrase, beam
        self.captions: Captions = captions
        plain = self.roi_heads
        features = plain.box_predictor.cls_score.in_features
        self.roi_heads = RecognitionHead(
            plain.box_head, features, self.num_classes, plain.op, plain.sampled, plain.keep
        )
        self.language_model = LanguageModel(features, vocabulary_size, embedding, hidden, dropout)

    def head_outputs(self, size: Size, maps: list[Tensor], rois: Tensor) -> HeadOutputs:
        """See ``TwoStageDetector.head_outputs`` and the class."""
        codes = self._codes(size, maps, rois)
        own = self._described_codes(maps, codes, rois[:, 0].long(), size, [size] * len(maps[0]))
        words = self.language_model(own, torch.empty(len(codes), 0, dtype=torch.int64, device=codes.device))
        return HeadOutputs(*self.roi_heads.classify(codes), (own, words))

    def describe(self, images: list[Tensor], boxes: list[Tensor]) -> list[DescribedRegions]:
        """Describe given boxes, as ``predict`` describes proposals, without refining or removing any.

        Args:
            images: The batch, see ``Network``.
            boxes: float32 (N, 4) for each image, in its pixels.

        Returns:
            For each image its boxes, in the given order, with objectness scores and phrases.
        """
        with torch.no_grad(), evaluating(self):
            batch = self.batch(images)
            given = [part.to(self.device) for part in boxes]
            rois = as_rois([part * scale for part, scale in zip(given, batch.scales(), strict=True)])
            size, maps = size_of(batch.pixels), self._maps(batch.pixels)
            codes = self._codes(size, maps, rois)
            scores = self.roi_heads.classify(codes)[0].softmax(dim=1)[:, REGION]
            counts = [len(part) for part in given]
            found = [_regions(*pair) for pair in zip(given, torch.split(scores, counts), strict=True)]
            return self._described(found, self._described_codes(maps, codes, rois[:, 0].long(), size, batch.sizes))

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``; the labels of the targets have no effect, since all regions are of one class."""
        regions = [{**target, "labels": torch.full_like(target["labels"], REGION)} for target in targets]
        return super().losses(images, regions)

    def _region_losses(
        self, batch: ImageBatch, maps: list[Tensor], sample: RegionSample, targets: list[Target]
    ) -> dict[str, Tensor]:
        codes = self._codes(size_of(batch.pixels), maps, sample.rois)
        objectness, box = self.roi_heads.losses(*self.roi_heads.classify(codes), sample)
        positive = sample.classes.nonzero()[:, 0]
        tokens = pad_sequence([target["tokens"].to(codes.device) for target in targets], batch_first=True)
        images = sample.rois[positive, 0].long()
        described = self._described_codes(maps, codes[positive], images, size_of(batch.pixels), batch.sizes)
        caption = self.language_model.loss(described, tokens[images, sample.objects[positive]])
        return {"objectness": objectness, "box": box, "caption": caption}

    def _predict(self, images: list[Tensor]) -> list[Detection]:
        batch = self.batch(images)
        size, maps = size_of(batch.pixels), self._maps(batch.pixels)
        proposals = self._propose(batch, maps)
        rois = as_rois(proposals)
        codes = self._codes(size, maps, rois)
        detections, rows = self.roi_heads.detect_rows(*self.roi_heads.classify(codes), proposals, batch.sizes)
        described = self._described_codes(maps, codes[rows], rois[rows, 0].long(), size, batch.sizes)
        return list[Detection](self._described(restore(detections, batch), described))

    def _codes(self, size: Size, maps: list[Tensor], rois: Tensor) -> Tensor:
        """Return the codes (K, D) of regions (K, 5), see ``pool_rois``."""
        codes: Tensor = self.roi_heads.box_head(self.roi_heads.pool(*self.pooled_maps(maps), rois))
        return codes

    def _described_codes(
        self, maps: list[Tensor], codes: Tensor, images: Tensor, size: Size, sizes: list[Size]
    ) -> Tensor:
        """Return the codes that phrases are written from, float32 (K, D), see ``captions``.

        Args:
            maps: Feature maps of the batch.
            codes: float32 (K, D), the codes of the regions.
            images: int64 (K,), the image of each region.
            size: Height and width of the batch in pixels.
            sizes: Height and width of each image in it.
        """
        if self.captions == "image":
            whole = [codes.new_tensor([[0.0, 0.0, width, height]]) for height, width in sizes]
            return self._codes(size, maps, as_rois(whole))[images]
        return codes.detach() if self.captions == "detached" else codes

    def _described(self, found: list[Detection], codes: Tensor) -> list[DescribedRegions]:
        """Add phrases to regions from their codes (M, D), image by image."""
        tokens = self.language_model.write(codes, self.longest_phrase, self.beam)
        parts = torch.split(tokens, [len(one["boxes"]) for one in found])
        return [DescribedRegions(**one, tokens=own) for one, own in zip(found, parts, strict=True)]


def _regions(boxes: Tensor, scores: Tensor) -> Detection:
    return Detection(boxes=boxes, scores=scores, labels=torch.full_like(scores, REGION, dtype=torch.int64))
