"""DenseCap's losses against hand-computed ones, its two ways to describe regions, and overfitting of a few images."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models import DenseCap
from lit_cv.models.images import batch_objects
from lit_cv.models.rcnn.language_model import LanguageModel
from lit_cv.models.rcnn.roi_head import ROI_WEIGHTS, RegionSample
from lit_cv.ops.vocabulary import END, SPECIAL, START, Vocabulary
from tests.helpers.scenes import overfit

COLORS = {"red": (230, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230), "white": (250, 250, 250)}
VOCABULARY = Vocabulary([*SPECIAL, "a", "square", "at", "the", "left", "right", *COLORS])


def densecap(**options: object) -> DenseCap:
    torch.manual_seed(0)
    defaults = {"backbone": "tiny", "neck": "c4", "anchor_scales": [24.0], "anchor_ratios": [1.0], "head_features": 64}
    counts = {"rpn_batch": 32, "roi_batch": 32, "rpn_post_nms_train": 20, "rpn_post_nms_test": 10}
    sizes = {"min_size": 64, "max_size": 96, "embedding": 64, "hidden": 64}
    return DenseCap(len(VOCABULARY), **{**defaults, **counts, **sizes, **options})


def squares() -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Return four images of two colored squares, with a phrase for each square."""
    images, targets = [], []
    names = list(COLORS)
    for index in range(4):
        image = torch.full((3, 64, 96), 90, dtype=torch.uint8)
        boxes, phrases = [], []
        for place, left in enumerate((6, 56)):
            color, top, side = names[(index + place) % 4], 4 + 8 * index, 24 + 6 * place
            image[:, top : top + side, left : left + side] = torch.tensor(COLORS[color])[:, None, None]
            boxes.append([left, top, left + side, top + side])
            phrases.append(f"a {color} square" + " at the left" * (1 - place) + " right" * place * (index % 2))
        images.append(image)
        labels, tokens = torch.ones(2, dtype=torch.int64), torch.from_numpy(VOCABULARY.encode(phrases))
        targets.append({"boxes": torch.tensor(boxes).float(), "labels": labels, "tokens": tokens, "phrases": phrases})
    return images, targets


def test_caption_loss_by_hand() -> None:
    torch.manual_seed(1)
    network = LanguageModel(6, len(VOCABULARY), embedding=5, hidden=7, dropout=0.0)
    codes, tokens = torch.randn(2, 6), torch.tensor([[4, 5, 9], [6, 0, 0]])
    expected = []
    for code, phrase in zip(codes, ([4, 5, 9], [6]), strict=True):
        inputs = torch.cat((network.encoder(code)[None], network.words(torch.tensor([START, *phrase]))))
        answers = network.output(network.lstm(inputs)[0][1:])  # after <START> and after each word
        expected += F.cross_entropy(answers, torch.tensor([*phrase, END]) - END, reduction="none").tolist()
    assert len(expected) == 4 + 2  # four words, and an <END> for each phrase
    assert network.loss(codes, tokens).item() == pytest.approx(sum(expected) / 6, rel=1e-5)
    more_padding = F.pad(tokens, (0, 3))
    torch.testing.assert_close(network.loss(codes, more_padding), network.loss(codes, tokens))


def test_losses_of_the_recognition_network_by_hand() -> None:
    head = densecap().roi_heads
    sample = RegionSample(
        rois=torch.tensor([[0.0, 10, 10, 30, 50], [0, 0, 0, 20, 20], [0, 50, 50, 60, 60]]),
        classes=torch.tensor([1, 0, 0]),
        boxes=torch.tensor([[12.0, 10, 32, 50], [0, 0, 0, 0], [0, 0, 0, 0]]),
        objects=torch.tensor([0, 0, 0]),
    )
    logits = torch.tensor([[0.0, 2.0], [1.0, 0.5], [0.0, 0.0]])
    deltas = torch.full((3, 2, 4), 9.0)  # the background's deltas and those of negative regions have no effect
    deltas[0, 1] = torch.tensor([0.3, 2.0, 0.0, 0.0]) * torch.tensor(ROI_WEIGHTS)
    objectness, box = head.losses(logits, deltas, sample)
    expected = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-0.5)) + math.log(2)
    assert objectness.item() == pytest.approx(expected / 3)
    assert box.item() == pytest.approx((0.2**2 / 2 + (2 - 0.5)) / 4)  # errors of 0.3 - 2 / 20 and 2


def test_regions_are_sampled_with_the_thresholds_of_the_paper() -> None:
    network = densecap()
    images, targets = squares()
    objects = batch_objects(targets[:1], network.batch(images[:1]), network.num_classes)
    left, top, right, bottom = objects.boxes_of(0)[0].tolist()
    edges = [right + share * (right - left) for share in (0.25, 1.0, 4.0)]  # IoU 0.8, 0.5 and 0.2
    proposals = torch.tensor([[left, top, edge, bottom] for edge in edges])
    sample = network.roi_heads.sample([proposals], objects)
    chosen = {roi[3].item(): label for roi, label in zip(sample.rois, sample.classes.tolist(), strict=True)}
    boxes = {box[2].item(): 1 for box in objects.boxes_of(0)}
    assert chosen == {**boxes, edges[0]: 1, edges[2]: 0}


def test_a_batch_without_objects_has_losses_and_gradients() -> None:
    network = densecap()
    images, targets = squares()
    for target in targets:
        target |= {name: target[name][:0] for name in ("boxes", "labels", "tokens")}
    losses = network.losses(images, targets)
    assert tuple(losses) == network.loss_names
    assert losses["caption"] == losses["box"] == losses["rpn_box"] == 0
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.slow
def test_it_overfits_descriptions_of_squares() -> None:
    options = {"head_features": 256, "embedding": 128, "hidden": 256, "nms_threshold": 0.3, "score_threshold": 0.5}
    network = densecap(roi_op="bilinear", **options)
    images, targets = squares()

    def check() -> None:
        for beam in (1, 3):
            network.beam = beam
            for found, target in zip(network.predict(images), targets, strict=True):
                order = found["boxes"][:, 0].argsort()  # left to right, like the targets
                torch.testing.assert_close(found["boxes"][order], target["boxes"], rtol=0, atol=4)
                assert VOCABULARY.decode(found["tokens"][order]) == target["phrases"]
        described = network.describe(images, [target["boxes"] for target in targets])
        for found, target in zip(described, targets, strict=True):
            assert torch.equal(found["boxes"], target["boxes"])
            assert VOCABULARY.decode(found["tokens"]) == target["phrases"]
            assert (found["scores"] > 0.5).all()

    overfit(network, images, targets, 250, check, dict.fromkeys(network.loss_names, 0.1) | {"caption": 1.0})


@pytest.mark.parametrize("options", [{"beam": 0}, {"longest_phrase": 0}])
def test_unusable_settings_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="give at least one word in addition to the 4 special ones"):
        densecap(**options)
    with pytest.raises(UserError, match="vocabulary_size=4"):
        DenseCap(4, backbone="tiny")


def caption_gradients(network: DenseCap) -> tuple[float, float]:
    """Return the largest gradient of the caption loss in the language model, and in all other layers."""
    images, targets = squares()
    network.zero_grad()
    network.losses(images, targets)["caption"].backward()
    found = {name: p.grad.abs().max().item() for name, p in network.named_parameters() if p.grad is not None}
    words = [value for name, value in found.items() if name.startswith("language_model.")]
    return max(words), max(
        (value for name, value in found.items() if not name.startswith("language_model.")), default=0
    )


def test_captions_train_the_detector_only_if_they_are_joint() -> None:
    for captions, reached in (("joint", True), ("image", True), ("detached", False)):
        words, others = caption_gradients(densecap(captions=captions))
        assert words > 0
        assert (others > 0) == reached
    images, targets = squares()
    losses = []
    for captions in ("joint", "detached"):
        network = densecap(captions=captions)
        torch.manual_seed(2)
        losses.append(network.losses(images, targets))
        assert all(
            torch.equal(a["tokens"], b["tokens"])
            for a, b in zip(network.predict(images), densecap().predict(images), strict=True)
        )
    assert losses[0] == losses[1]  # only gradients differ


def test_captions_of_the_image_are_those_of_a_box_around_it() -> None:
    images, _ = squares()
    network, plain = densecap(captions="image"), densecap()
    whole = torch.tensor([[0.0, 0.0, 96.0, 64.0]])
    expected = plain.describe(images, [whole] * len(images))
    given = [torch.tensor([[5.0, 5, 40, 40], [50, 10, 90, 60]])] * len(images)
    for found in (network.predict(images), network.describe(images, given)):
        for one, wanted in zip(found, expected, strict=True):
            assert len(one["tokens"]) > 1
            assert torch.equal(one["tokens"], wanted["tokens"].expand(len(one["tokens"]), -1))
    other = plain.describe(images, given)
    assert any(
        not torch.equal(a["tokens"], b["tokens"]) for a, b in zip(network.describe(images, given), other, strict=True)
    )
