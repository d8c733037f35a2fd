"""Parts of the stages of R-CNN: the selection of regions, and features on a disk that becomes full."""

import errno
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from datamodules import VOCDetectionDataModule
from lit_cv.callbacks import RegionStages
from lit_cv.callbacks.rcnn_stages.feature_dump import FeatureDump, ran_full
from lit_cv.callbacks.rcnn_stages.rows import RegionRows
from lit_cv.errors import UserError
from lit_cv.models import RCNN, SSD
from lit_cv.runs.checkpoints import AtomicCheckpointIO

SQUARE = [0.0, 0, 100, 100]


def lying(*widths: float) -> Tensor:
    """Return boxes whose IoU with the square is their width / 100."""
    return torch.tensor([[0.0, 0, width, 100] for width in widths])


def target(boxes: list[list[float]], labels: list[int], proposals: Tensor, **more: Tensor) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes).view(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "proposals": proposals,
        **more,
    }


def rows_of_two_images() -> RegionRows:
    targets = [
        target([SQUARE, [200, 0, 300, 100]], [2, 3], lying(29, 30, 59, 60, 100)),
        target([], [], lying(50, 60)),
        target([[0, 0, 10, 10]], [1], lying(70)),
    ]
    return RegionRows.collect(targets, difficult=False, limit=2000)


def test_objects_come_before_the_proposals_of_their_image() -> None:
    rows = rows_of_two_images()
    assert rows.offsets.tolist() == [0, 7, 9, 11]
    assert rows.labels.tolist() == [2, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    assert rows.boxes[9].tolist() == [0, 0, 10, 10]
    assert [part.tolist() for part in rows.positives(4)] == [[9], [0], [1], []]
    assert rows.blocks(8) == [(0, 2), (2, 3)]
    assert rows.blocks(1) == [(0, 1), (1, 2), (2, 3)]


def test_negatives_overlap_all_objects_of_a_class_by_less_than_three_tenths() -> None:
    negative = rows_of_two_images().negatives(0, 2, 3)
    # Class 2 is the square: itself, then 0.29, 0.3, 0.59, 0.6, 1; the object of class 3 is elsewhere.
    assert negative[:7, 1].tolist() == [False, True, True, False, False, False, False]
    assert negative[:7, 2].tolist() == [True, False, True, True, True, True, True]
    assert negative[:7, 0].all()  # no object of class 1: all regions, including the objects of other classes
    assert negative[7:].all()  # an image without objects


def test_pairs_overlap_by_six_tenths_and_have_the_best_object_as_target() -> None:
    pairs = rows_of_two_images().pairs()
    assert pairs.rows.tolist() == [0, 1, 5, 6, 9]
    assert pairs.classes.tolist() == [1, 2, 1, 1, 0]
    # Appendix C, eq. 6-9, of (0, 0, 60, 100) and (0, 0, 100, 100).
    wanted = [(50 - 30) / 60, (50 - 50) / 100, np.log(100 / 60), np.log(100 / 100)]
    torch.testing.assert_close(pairs.deltas[2], torch.tensor(wanted, dtype=torch.float32))
    assert not pairs.deltas[[0, 1, 3, 4]].any()


def test_pairs_of_random_regions_equal_those_of_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = []
    for count in (3, 0, 6, 1):
        corners = torch.rand(60 + count, 2, 2, generator=generator).sort(dim=1).values.flatten(1) * 50 + 1
        corners[:, 2:] += 4
        boxes, labels = corners[:count], torch.randint(1, 4, (count,), generator=generator)
        targets.append({"boxes": boxes, "labels": labels, "proposals": corners[count:]})
    rows = RegionRows.collect(targets, difficult=False, limit=50)
    found, place = [], 0
    for item in targets:
        regions = torch.cat((item["boxes"], item["proposals"][:50]))
        for region in regions:
            overlaps = box_iou(region[None], item["boxes"])[0]
            if len(overlaps) and overlaps.max() >= 0.6:
                found.append((place, int(item["labels"][overlaps.argmax()]) - 1))
            place += 1
    pairs = rows.pairs()
    assert list(zip(pairs.rows.tolist(), pairs.classes.tolist(), strict=True)) == found
    assert [len(part) for part in rows.split(pairs.rows, 1, 3)] == [
        sum(rows.offsets[i] <= row < rows.offsets[i + 1] for row, _ in found) for i in (1, 2, 3)
    ]


def test_difficult_objects_are_left_out_unless_the_data_keeps_them() -> None:
    item = target([SQUARE, SQUARE], [1, 2], lying(5), difficult=torch.tensor([True, False]))
    assert RegionRows.collect([item], difficult=False, limit=9).labels.tolist() == [2, 0]
    assert RegionRows.collect([item], difficult=True, limit=9).labels.tolist() == [1, 2, 0]


def dump_of(folder: Path) -> FeatureDump:
    return FeatureDump(folder / "features", rows=30, width=50)


def features(count: int, seed: int) -> Tensor:
    return torch.rand(count, 50, generator=torch.Generator().manual_seed(seed))


def test_a_dump_continues_after_the_recorded_rows(tmp_path: Path) -> None:
    dump = dump_of(tmp_path)
    dump.append(features(10, 0), images=2)
    dump.append(features(0, 1), images=1)
    with dump.file.open("ab") as handle:
        handle.write(b"half a row that a kill left")
    dump = dump_of(tmp_path)
    assert (dump.images, dump.written) == (3, 10)
    dump.append(features(20, 2), images=1)
    assert dump.file.stat().st_size == dump.size == 30 * 50 * 2
    whole = torch.cat((features(10, 0), features(20, 2)))
    read = dump.read(torch.tensor([3, 29, 0]))
    assert read.dtype == torch.float32
    torch.testing.assert_close(read, whole[[3, 29, 0]] * dump.scale, rtol=1e-3, atol=1e-3)
    assert dump.read(torch.arange(30)).norm(dim=1).mean().item() == pytest.approx(20, rel=1e-4)
    assert dump_of(tmp_path).scale == dump.scale
    assert dump.read(torch.tensor([], dtype=torch.int64)).shape == (0, 50)
    dump.delete()
    assert not list(tmp_path.iterdir())


def test_a_dump_without_rows_is_empty(tmp_path: Path) -> None:
    dump = FeatureDump(tmp_path / "features", rows=0, width=50)
    dump.announce()
    dump.append(features(0, 0), images=2)
    assert dump.scale == 1
    assert dump.read(torch.arange(0)).shape == (0, 50)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_dump_is_announced_and_refused_if_the_disk_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = FeatureDump(tmp_path / "features", rows=2_000_000, width=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 20 * 10**9))
    dump.announce()
    assert "features of 2,000,000 regions take 16.4 GB; 20.0 GB are free." in capsys.readouterr().out
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 16 * 10**9))
    with pytest.raises(UserError, match=r"features\.f16: .* need 16\.4 GB .* 16\.0 GB .* add --resume") as error:
        dump.announce()
    assert "\n" not in str(error.value)
    dump.written = 250_000  # written rows need no more room
    dump.announce()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Make the system refuse to write larger files."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_nothing_is_lost_when_the_disk_becomes_full(tmp_path: Path) -> None:
    dump = dump_of(tmp_path)
    dump.append(features(10, 0), images=1)
    with largest_file(1700), pytest.raises(UserError, match=r"make room and add --resume") as error:
        dump.append(features(20, 1), images=1)
    assert "\n" not in str(error.value)
    assert (dump.images, dump.written) == (1, 10)
    dump = dump_of(tmp_path)
    assert (dump.images, dump.written) == (1, 10)
    dump.append(features(20, 1), images=1)
    wanted = torch.cat((features(10, 0), features(20, 1))) * dump.scale
    torch.testing.assert_close(dump.read(torch.arange(30)), wanted, rtol=1e-3, atol=1e-3)


def test_a_full_disk_is_found_behind_the_error_of_torch(tmp_path: Path) -> None:
    with largest_file(5000), pytest.raises((OSError, RuntimeError)) as error:
        AtomicCheckpointIO().save_checkpoint({"weight": torch.zeros(100_000)}, tmp_path / "svms.pt")
    assert ran_full(error.value)
    assert not ran_full(RuntimeError("out of memory"))
    assert not ran_full(OSError(errno.EIO, "input/output error"))
    assert not (tmp_path / "svms.pt").exists()


def test_other_errors_of_the_disk_are_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(OSError, match="input/output"):
        dump_of(tmp_path).append(features(3, 0), images=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 70_000.0])
def test_features_that_half_precision_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    wrong = features(3, 0)
    wrong[1, 7] = value
    with pytest.raises(UserError, match="not finite or above 65,504"):
        dump_of(tmp_path).append(wrong, images=1)


class Fake:
    """An object with the given attributes."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def test_a_full_disk_in_any_stage_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(RegionStages, "_train", full)
    module = Fake(network=RCNN(3, backbone="tiny", size=48, padding=4))
    with pytest.raises(UserError, match="the disk is full; make room and add --resume") as error:
        RegionStages().after_training(Fake(), module, tmp_path)
    assert "\n" not in str(error.value)


def test_unusable_settings_are_refused_before_the_training() -> None:
    stages = RegionStages()
    rcnn = Fake(network=RCNN(3, backbone="tiny", size=48, padding=4))
    data = VOCDetectionDataModule("data")
    stages.setup(Fake(world_size=1, datamodule=data), rcnn, "fit")
    stages.setup(Fake(), Fake(), "validate")
    with pytest.raises(UserError, match=r"one process: set trainer\.devices to 1"):
        stages.setup(Fake(world_size=2, datamodule=data), rcnn, "fit")
    with pytest.raises(UserError, match="shuffle_targets to false"):
        stages.setup(Fake(world_size=1, datamodule=VOCDetectionDataModule("data", shuffle_targets=True)), rcnn, "fit")
    with pytest.raises(UserError, match="RegionStages needs a DataModule with class_names, which Fake lacks"):
        stages.setup(Fake(world_size=1, datamodule=Fake()), rcnn, "fit")
    ssd = Fake(network=SSD(3, backbone="tiny", size=96, anchor_ratios=[[2.0]] * 3))
    with pytest.raises(UserError, match="SSD has no SVMs or box regressors"):
        stages.setup(Fake(world_size=1, datamodule=data), ssd, "fit")
    with pytest.raises(UserError, match="passes=0"):
        RegionStages(passes=0)
