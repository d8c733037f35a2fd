"""Mosaic, MixUp, large-scale jitter and copy-paste: cases computed by hand, and data sets of every form."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

import datamodules
from datamodules import COCOKeypointDataModule, Shapes
from datamodules.augmentation.mixing import CopyPaste, Mixing, MixUp, Mosaic, ScaleJitter
from datamodules.augmentation.mixing.base import Scene, mix
from datamodules.augmentation.mixing.canvas import MEAN
from datamodules.loading.loader import Loader
from lit_cv.errors import UserError
from tests.datamodules.coco.test_masks import masks_of
from tests.datamodules.yolo.small_yolo import write
from tests.helpers.small_shapes import opened

GRAY = list(MEAN)


def scene(value: int, size: tuple[int, int], *boxes: tuple[int, int, int, int], **more: Any) -> Scene:
    """Return an image of one value with rectangles as objects, which have one joint in their upper right pixel."""
    width, height = size
    masks = np.zeros((len(boxes), height, width), dtype=np.uint8)
    joints = np.zeros((len(boxes), 1, 3), dtype=np.float32)
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        masks[row, y1:y2, x1:x2], joints[row] = 1, (x2 - 1, y1, 2)
    corners = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    columns = {"area": (corners[:, 2:] - corners[:, :2]).prod(axis=1), "labels": np.full(len(boxes), value)}
    columns |= {"iscrowd": np.zeros(len(boxes), dtype=np.int64), "difficult": np.ones(len(boxes), dtype=np.bool_)}
    objects = {"boxes": corners, "masks": masks, "keypoints": joints, **columns, **more}
    return Scene(np.full((height, width, 3), value, dtype=np.uint8), objects)


def others(*scenes: Scene) -> Callable[[], Scene]:
    return iter(scenes).__next__


def test_mosaic_by_hand() -> None:
    """Four images of 4 x 4 pixels around the point (5, 3), which the first numbers of stream 0 choose."""
    images = [scene(value, (4, 4), (1, 0, 3, 2)) for value in (10, 20, 30, 40)]
    mosaic = Mosaic(size=8, scale=(0.5, 0.5), visible=0.5)
    image, found = mosaic(images[0], others(*images[1:]), np.random.default_rng(0))
    expected = np.full((8, 8, 3), GRAY, dtype=np.uint8)
    expected[0:3, 1:5], expected[0:3, 5:8], expected[3:7, 1:5], expected[3:7, 5:8] = 10, 20, 30, 40
    assert np.array_equal(image, expected)
    assert found["boxes"].tolist() == [[2, 0, 4, 1], [6, 0, 8, 1], [2, 3, 4, 5], [6, 3, 8, 5]]
    assert found["area"].tolist() == [2, 2, 4, 4]
    assert found["labels"].tolist() == [10, 20, 30, 40]
    assert found["difficult"].tolist() == [True] * 4
    assert found["keypoints"][:, 0].tolist() == [[0, 0, 0], [0, 0, 0], [3, 3, 2], [7, 3, 2]]
    for mask, (x1, y1, x2, y2) in zip(found["masks"], found["boxes"].astype(int).tolist(), strict=True):
        assert mask.sum() == (x2 - x1) * (y2 - y1) == mask[y1:y2, x1:x2].sum()
    # Half of the upper objects is visible, which is now too little.
    mosaic = Mosaic(size=8, scale=(0.5, 0.5), visible=0.51)
    _, found = mosaic(images[0], others(*images[1:]), np.random.default_rng(0))
    assert found["labels"].tolist() == [30, 40]


def test_mixup_by_hand() -> None:
    """The share of the first image is 0.39488, the first number of stream 0."""
    first, second = scene(100, (2, 1), (0, 0, 1, 1)), scene(200, (1, 2), (0, 1, 1, 2))
    image, found = MixUp()(first, others(second), np.random.default_rng(0))
    assert image[..., 0].tolist() == [[161, 39], [121, 0]]
    assert found["boxes"].tolist() == [[0, 0, 1, 1], [0, 1, 1, 2]]
    assert found["labels"].tolist() == [100, 200]
    assert found["masks"].tolist() == [[[1, 0], [0, 0]], [[0, 0], [1, 0]]]


def test_scale_jitter_by_hand() -> None:
    before = scene(50, (4, 2), (1, 0, 3, 1), (0, 1, 1, 2))
    image, found = ScaleJitter(size=8, scale=(0.5, 0.5))(before, others(), np.random.default_rng(0))
    expected = np.full((8, 8, 3), GRAY, dtype=np.uint8)
    expected[:2, :4] = 50
    assert np.array_equal(image, expected)
    assert found["boxes"].tolist() == before.objects["boxes"].tolist()
    assert found["masks"][:, :2, :4].tolist() == before.objects["masks"].tolist()
    image, found = ScaleJitter(size=8, scale=(1.0, 1.0))(before, others(), np.random.default_rng(0))
    assert (image[:4] == 50).all()
    assert (image[4:] == GRAY).all()
    assert found["boxes"].tolist() == [[2, 0, 6, 2], [0, 2, 2, 4]]
    assert found["area"].tolist() == [8, 4]
    assert found["keypoints"][:, 0].tolist() == [[4.5, 0.5, 2], [0.5, 2.5, 2]]  # centers of pixels of twice the size
    # A random part is seen of an image that is twice as wide as the square.
    wide = scene(0, (8, 4), (0, 0, 3, 4), (5, 1, 8, 2))._replace(image=np.indices((4, 8, 3), dtype=np.uint8)[1])
    cuts = set()
    for seed in range(20):
        image, found = ScaleJitter(size=4, scale=(2.0, 2.0))(wide, others(), np.random.default_rng(seed))
        x = int(image[0, 0, 0])
        assert np.array_equal(image, wide.image[:, x : x + 4])
        boxes = (wide.objects["boxes"] - [x, 0, x, 0]).clip(0, 4)
        kept = boxes[:, 2] > boxes[:, 0]
        assert found["boxes"].tolist() == boxes[kept].tolist()
        assert np.array_equal(found["masks"], wide.objects["masks"][kept][:, :, x : x + 4])
        cuts.add(x)
    assert cuts == {0, 1, 2, 3, 4}


def test_copy_paste_by_hand() -> None:
    below = scene(1, (6, 6), (0, 0, 4, 4), (2, 3, 4, 5), (0, 2, 3, 4), (0, 5, 1, 6))
    crowd = {"iscrowd": np.array([0, 1])}
    source = scene(9, (8, 5), (2, 2, 7, 5), (0, 0, 1, 1), **crowd)
    seed = next(seed for seed in range(9) if _pastes(np.random.default_rng(seed)))
    image, found = CopyPaste()(below, others(source), np.random.default_rng(seed))
    expected = np.ones((6, 6, 3), dtype=np.uint8)
    expected[2:5, 2:6] = 9
    assert np.array_equal(image, expected)
    # An L keeps its box; the second is covered entirely; the third loses a column and the joint is below it.
    assert found["boxes"].tolist() == [[0, 0, 4, 4], [0, 2, 2, 4], [0, 5, 1, 6], [2, 2, 6, 5]]
    assert found["area"].tolist() == [12, 4, 1, 12]
    assert found["masks"].sum(axis=(1, 2)).tolist() == [12, 4, 1, 12]
    assert (found["masks"].sum(axis=0) <= 2).all()
    assert not (found["masks"][:3].any(axis=0) & found["masks"][3].astype(bool)).any()
    assert found["keypoints"][:, 0].tolist() == [[3, 0, 2], [2, 2, 1], [0, 5, 2], [0, 0, 0]]
    assert found["iscrowd"].tolist() == [0, 0, 0, 0]
    assert below.objects["masks"].sum() == 16 + 4 + 6 + 1  # the sample itself stays
    few = CopyPaste(visible=0.7)(below, others(source), np.random.default_rng(seed)).objects
    assert few["boxes"].tolist() == [[0, 0, 4, 4], [0, 5, 1, 6], [2, 2, 6, 5]]
    seed = next(seed for seed in range(9) if not _pastes(np.random.default_rng(seed)))
    assert CopyPaste()(below, others(source), np.random.default_rng(seed)) is below


def _pastes(rng: np.random.Generator) -> bool:
    rng.permutation(np.array([0]))
    return bool(rng.integers(1, endpoint=True))


def test_images_without_objects_are_mixed() -> None:
    for mixing in (Mosaic(size=8), MixUp(), ScaleJitter(size=8), CopyPaste()):
        empty = scene(3, (5, 4))
        found = mixing(empty, lambda: empty, np.random.default_rng(0)).objects  # noqa: B023
        assert {key: len(column) for key, column in found.items()} == dict.fromkeys(empty.objects, 0)


def test_a_mixing_gets_others_as_those_before_it_leave_them() -> None:
    def plain() -> Scene:
        return scene(7, (4, 4), (0, 0, 4, 4))

    rng = np.random.default_rng(1)
    mixings: list[Mixing] = [ScaleJitter(size=8, scale=(0.5, 2.0)), MixUp(p=1.0)]
    image, found = mix(mixings, plain(), plain, rng)
    assert image.shape == (8, 8, 3)  # both are jittered, each by its own factor
    assert len({tuple(box) for box in found["boxes"].tolist()}) == 2
    never: list[Mixing] = [Mosaic(p=0.0), CopyPaste(p=0.0)]
    same = plain()
    assert mix(never, same, plain, rng) is same


LISTS: dict[str, list[dict[str, Any]]] = {
    "mosaic": [{"class_path": "Mosaic", "init_args": {"size": 96, "p": 0.8}}],
    "mixup": [{"class_path": "MixUp"}],
    "all": [
        {"class_path": "ScaleJitter", "init_args": {"size": 80, "scale": [0.5, 2.0]}},
        {"class_path": "CopyPaste", "init_args": {"p": 0.8}},
        {"class_path": "Mosaic", "init_args": {"size": 96}},
        {"class_path": "MixUp"},
    ],
}


def parsed(name: str) -> list[Mixing]:
    """Return mixings as an experiment names them."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--mixing", type=list[Mixing] | None)
    given = [{**entry, "class_path": f"datamodules.augmentation.mixing.{entry['class_path']}"} for entry in LISTS[name]]
    mixings: list[Mixing] = parser.instantiate_classes(parser.parse_object({"mixing": given})).mixing
    return mixings


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coco")


def data(people: Path, **options: Any) -> COCOKeypointDataModule:
    found = opened("COCOKeypointDataModule", people / "coco", masks=True, **options)
    assert isinstance(found, COCOKeypointDataModule)
    return found


def flat(loader: Loader, epoch: int) -> Iterator[tuple[int, bytes]]:
    loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
    for images, targets in loader:
        for image, target in zip(images, targets, strict=True):
            content = b"".join(value.numpy().tobytes() for _, value in sorted(target.items()))
            yield int(target["image_id"]), image.numpy().tobytes() + content


@pytest.mark.parametrize("name", LISTS)
def test_workers_do_not_change_a_byte_and_epochs_differ(people: Path, name: str) -> None:
    options = {"augmentation": "flip", "mixing": parsed(name)}
    alone = data(people, **options).train_dataloader()
    workers = data(people, num_workers=2, cache="decoded", **options).train_dataloader()
    epochs = [list(flat(alone, epoch)) for epoch in (0, 1)]
    assert [list(flat(workers, epoch)) for epoch in (0, 1)] == epochs
    assert len(set(epochs[0]) & set(epochs[1])) < len(epochs[0])


def test_only_training_samples_are_mixed_and_the_augmentation_stays(people: Path) -> None:
    mixed, plain = data(people, mixing=parsed("all")), data(people)
    never = data(people, mixing=[Mosaic(p=0.0)])
    assert list(flat(never.train_dataloader(), 0)) == list(flat(plain.train_dataloader(), 0))
    for split in ("val_dataloader", "train_in_order"):
        for found, wanted in zip(getattr(mixed, split)(), getattr(plain, split)(), strict=True):
            assert all(map(torch.equal, found[0], wanted[0]))


def test_masks_joints_and_boxes_stay_together(people: Path) -> None:
    dataset = data(people, mixing=parsed("all"), augmentation="ssd").train_dataloader().dataset
    joints, count = 0, 0
    for epoch in range(4):
        for index in range(len(dataset)):  # type: ignore[arg-type]
            image, target = dataset[epoch, index]
            masks = masks_of(target)
            assert image.dtype == torch.uint8
            assert masks.shape == (len(target["boxes"]), *image.shape[1:])
            assert (target["boxes"][:, 2:] > target["boxes"][:, :2]).all()
            assert (target["boxes"] >= 0).all()
            assert (target["boxes"][:, 2:] <= torch.tensor([image.shape[2], image.shape[1]])).all()
            for box, mask, points in zip(target["boxes"].numpy(), masks, target["keypoints"].numpy(), strict=True):
                ys, xs = np.nonzero(mask)
                if len(xs):
                    assert (np.floor(box[:2]) <= [xs.min() + 1, ys.min() + 1]).all()
                    assert (np.ceil(box[2:]) >= [xs.max(), ys.max()]).all()
                seen = points[:, 2] > 0
                assert (points[~seen] == 0).all()
                assert ((points[seen, :2] >= 0) & (points[seen, :2] <= [image.shape[2], image.shape[1]])).all()
                joints, count = joints + int(seen.sum()), count + 1
    assert count > 60
    assert joints > 100


def test_every_form_of_boxes_can_be_mixed(tmp_path: Path, generated: Path) -> None:
    voc = opened("VOCDetectionDataModule", generated, source="local", mixing=[Mosaic(size=64, p=1.0)], difficult=True)
    polygon = "0 0.1 0.1 0.6 0.1 0.6 0.6 0.1 0.6\n"
    root = write(tmp_path / "yolo", dict.fromkeys(("a", "b b", "c"), polygon))
    yolo = datamodules.YOLOInstanceDataModule(str(root), batch_size=2, mixing=[CopyPaste(p=1.0)], seed=1)
    yolo.prepare_data()
    yolo.setup()
    coco = datamodules.COCODetectionDataModule(
        str(tmp_path / "coco"), source="shapes", shapes=Shapes(4, 2, 40), batch_size=2, mixing=[MixUp(p=1.0)]
    )
    coco.prepare_data()
    coco.setup()
    for module in (voc, yolo, coco):
        plain = module.train_in_order().dataset
        mixed = module.train_dataloader().dataset
        wholes, founds = zip(*((plain[0, k][1], mixed[0, k][1]) for k in range(len(plain))), strict=True)  # type: ignore[arg-type]
        assert [found.keys() for found in founds] == [whole.keys() for whole in wholes]
        assert sum(len(found["boxes"]) for found in founds) > 0


def test_data_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.mixing has CopyPaste, which needs the masks of objects"):
        datamodules.VOCDetectionDataModule(str(tmp_path), mixing=[CopyPaste()])
    with pytest.raises(UserError, match=r"data.mixing has CopyPaste, which needs the masks of objects"):
        datamodules.COCOKeypointDataModule(str(tmp_path), mixing=[CopyPaste()])
    with pytest.raises(UserError, match=r"data.mixing and data.proposals exclude each other"):
        datamodules.COCODetectionDataModule(str(tmp_path), mixing=[MixUp()], proposals=datamodules.Proposals())
    for make, words in (
        (lambda: Mosaic(p=1.5), "p: 1.5 makes no sense"),
        (lambda: Mosaic(scale=(1.0, 0.5)), r"scale: \[1.0, 0.5\] is no range"),
        (lambda: ScaleJitter(size=0), "size: 0 makes no sense"),
        (lambda: MixUp(alpha=0), "alpha: 0 makes no sense"),
    ):
        with pytest.raises(UserError, match=words):
            make()
