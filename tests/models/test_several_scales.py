"""Networks that train at several scales: a random one for each image, the last one in eval mode."""

import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from lit_cv.errors import UserError
from lit_cv.models import FCN, FasterRCNN
from lit_cv.models.anchor_fit import AnchorFit
from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD
from lit_cv.models.resizing import FittedImages
from tests.helpers.scenes import CLASSES, scene

SCALES = [64, 96, 80]
IMAGES = [torch.full((3, 100, 150), 90, dtype=torch.uint8)] * 6


def network(min_size: int | list[int] | None) -> FittedImages:
    return FCN(CLASSES, backbone="tiny", min_size=min_size, max_size=130)


def sizes(model: FittedImages, seed: int, count: int = 6) -> list[tuple[int, int]]:
    torch.manual_seed(seed)
    return model.batch(IMAGES[:count]).sizes


def test_each_training_image_gets_a_scale_of_its_own_stream() -> None:
    model = network(SCALES)
    fitted = {(64, 96), (80, 120), (86, 130)}  # 96 would make the longer side 144
    found = [sizes(model, seed) for seed in range(20)]
    assert {size for batch in found for size in batch} == fitted
    assert all(len(set(batch)) > 1 for batch in found[:1])
    counts = [sum(batch.count(size) for batch in found) for size in fitted]
    assert min(counts) > 120 / 3 - 20
    # A function of the seed and the image's place alone, not of the other images.
    assert found == [sizes(model, seed) for seed in range(20)]
    assert [batch[:2] for batch in found] == [sizes(model, seed, count=2) for seed in range(20)]


def test_eval_mode_takes_the_last_scale_as_torchvision_does() -> None:
    model = network(SCALES).eval()
    theirs = GeneralizedRCNNTransform(SCALES, 130, list(IMAGENET_MEAN), list(IMAGENET_STD), model.divisible).eval()
    expected, _ = theirs([image / 255 for image in IMAGES])
    assert sizes(model, 0) == expected.image_sizes == [(80, 120)] * 6
    torch.testing.assert_close(model.batch(IMAGES).pixels, expected.tensors, rtol=1e-4, atol=1e-4)
    images = scene([2, 1], [(64, 96)] * 2)[0]
    options = {"backbone": "tiny", "head_features": 8, "max_size": 128}
    trained = FasterRCNN(CLASSES, min_size=[32, 64], **options)
    fixed = FasterRCNN(CLASSES, min_size=64, **options)
    fixed.load_state_dict(trained.state_dict())
    for found, wanted in zip(trained.predict(images), fixed.predict(images), strict=True):
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert AnchorFit(trained)._resized((64, 96)) == AnchorFit(fixed)._resized((64, 96)) == ((64, 96), (64, 96))


@pytest.mark.parametrize("min_size", [80, [80], None])
def test_one_scale_takes_no_random_number(min_size: int | list[int] | None) -> None:
    model = network(min_size)
    before = torch.random.get_rng_state()
    assert model.batch(IMAGES).sizes == [(100, 150) if min_size is None else (80, 120)] * 6
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("min_size", [[], [0, 64], 0])
def test_scales_that_make_no_sense_are_refused(min_size: int | list[int]) -> None:
    with pytest.raises(UserError, match="min_size"):
        network(min_size)
