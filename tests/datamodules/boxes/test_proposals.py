import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import Proposals, VOCDetectionDataModule
from datamodules.augmentation.presets import Augmentation, make_augmentation
from datamodules.boxes import proposal_search
from datamodules.boxes.proposals import StoredProposals, open_proposals, proposal_folder
from datamodules.loading.decode import read_image
from lit_cv.errors import UserError
from lit_cv.ops.selective_search.search import selective_search

Open = Callable[..., VOCDetectionDataModule]
SINGLE = Proposals("single")


def picture(root: Path, split: str = "train", index: int = 0) -> Path:
    year = root / "VOCdevkit" / "VOC2012"
    name = (year / "ImageSets" / "Main" / f"{split}.txt").read_text().split()[index]
    return year / "JPEGImages" / f"{name}.jpg"


def repaint(file: Path) -> None:
    """Replace an image by one of the same size."""
    Image.fromarray(read_image(file)[::-1, ::-1]).save(file)


def stored(data: VOCDetectionDataModule, split: str = "train") -> StoredProposals:
    dataset = data.dataset(data.splits[split], training=False)
    assert dataset.proposals is not None
    return dataset.proposals


def many(count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(0)
    corner = rng.integers(0, [85, 55], (count, 2))
    return np.concatenate([corner, corner + rng.integers(1, 6, (count, 2))], axis=1).astype(np.float32)


def test_targets_carry_the_best_of_selective_search_in_its_order(generated: Path, open_data: Open) -> None:
    expected = selective_search(read_image(picture(generated)), "fast")
    assert len(expected) > 20
    for limit in (20, 2000):
        data = open_data(generated, augmentation="none", proposals=Proposals("fast", limit))
        for split in (data.train_dataloader().dataset, data.train_in_order().dataset):
            _, target = split[0, 0]
            assert target["proposals"].dtype == torch.float32
            assert np.array_equal(target["proposals"].numpy(), expected[:limit])
        assert data.counts["train/proposals"] == sum(len(stored(data).best(i)) for i in range(10))
    assert "proposals" not in open_data(generated).train_dataloader().dataset[0, 0][1]


@pytest.mark.parametrize("augmentation", ["none", "flip", "ssd"])
def test_proposals_lie_inside_and_have_an_area(generated: Path, open_data: Open, augmentation: str) -> None:
    data = open_data(generated, augmentation=augmentation, proposals=SINGLE)
    for index in range(10):
        image, target = data.train_dataloader().dataset[1, index]
        boxes = target["proposals"]
        assert len(boxes)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= torch.tensor([image.shape[2], image.shape[1]])).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_flips_are_exact_and_keep_the_order() -> None:
    image, boxes, proposals = np.zeros((60, 90, 3), np.uint8), many(3), many()
    flip = Augmentation([A.HorizontalFlip(p=1)])
    flipped, left, rows, moved = flip.with_proposals(image, boxes, proposals, 0)
    x1, y1, x2, y2 = proposals.T
    np.testing.assert_allclose(moved, np.stack([90 - x2, y1, 90 - x1, y2], axis=1), atol=2e-5)
    assert moved.dtype == np.float32
    assert rows.tolist() == [0, 1, 2]
    _, again, _, back = flip.with_proposals(flipped, left, moved, 0)
    np.testing.assert_allclose(back, proposals, atol=2e-5)
    np.testing.assert_allclose(again, boxes, atol=2e-5)


@pytest.mark.parametrize("preset", ["flip", "ssd"])
def test_proposals_move_with_the_image_and_change_nothing_else(preset: str) -> None:
    augment = make_augmentation(preset)
    assert augment
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    boxes = np.array([[10, 10, 40, 50], [50, 5, 80, 30]], np.float32)
    for seed in range(50):
        alone = augment(image, boxes, seed)
        *together, proposals = augment.with_proposals(image, boxes, np.concatenate([many(), boxes]), seed)
        for mine, theirs in zip(alone, together, strict=True):
            assert np.array_equal(mine, theirs)
        assert np.array_equal(proposals[len(proposals) - len(alone[1]) :], alone[1])  # as the same boxes move


def test_two_thousand_boxes_cost_little() -> None:
    flip, image, boxes = Augmentation([A.HorizontalFlip(p=1)]), np.zeros((375, 500, 3), np.uint8), many(3)
    seconds = []
    for _ in range(20):
        begin = time.perf_counter()
        flip.with_proposals(image, boxes, many(), 0)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.005  # about 0.1 ms; one by one they would take 20 ms and more


def test_workers_bring_the_same_and_share_the_file(generated: Path, open_data: Open) -> None:
    batches = [
        list(open_data(generated, batch_size=2, num_workers=workers, proposals=SINGLE).train_dataloader())
        for workers in (0, 2)
    ]
    for (_, mine), (_, theirs) in zip(*batches, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)
            assert len(one["proposals"])
    opened = stored(open_data(generated, proposals=SINGLE))
    assert isinstance(opened.boxes.base, np.memmap)
    content = pickle.dumps(opened)
    assert len(content) < 500
    assert np.array_equal(pickle.loads(content).best(3), opened.best(3))


def test_shuffled_targets_leave_an_image_its_proposals(generated: Path, open_data: Open) -> None:
    options = {"augmentation": "none", "proposals": SINGLE}
    plain = open_data(generated, **options).train_dataloader().dataset
    shuffled = open_data(generated, shuffle_targets=True, **options).train_dataloader().dataset
    pairs = [(plain[0, i][1], shuffled[0, i][1]) for i in range(10)]
    assert all(torch.equal(one["proposals"], other["proposals"]) for one, other in pairs)
    assert sum(torch.equal(one["boxes"], other["boxes"]) for one, other in pairs) < 5


def test_an_image_without_proposals_is_trained_on(
    generated: Path, open_data: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposal_search, "selective_search", lambda *_, **__: np.zeros((0, 4), np.float32))
    for augmentation in ("none", "flip", "ssd"):
        data = open_data(generated, augmentation=augmentation, proposals=SINGLE, batch_size=10)
        (batch,) = data.train_dataloader()
        assert {target["proposals"].shape for target in batch[1]} == {(0, 4)}
        assert {target["proposals"].dtype for target in batch[1]} == {torch.float32}


@pytest.mark.parametrize("size", [(1, 64), (64, 1), (1, 1), (40, 40)])
def test_thin_and_plain_images_have_valid_proposals(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (9, 9, 9)).save(tmp_path / "plain.png")
    found = proposal_search.find_proposals(tmp_path, ["plain.png"], SINGLE)
    assert found.stored.best(0).tolist() == [[0, 0, *size]]


def test_the_run_s_fingerprint_covers_mode_limit_and_content(voc_root: Path, open_data: Open) -> None:
    def fingerprint(proposals: Proposals | None) -> str:
        return open_data(voc_root, proposals=proposals).fingerprint

    prints = [fingerprint(p) for p in (None, SINGLE, Proposals("single", 7), Proposals("fast"))]
    assert len(set(prints)) == 4
    assert fingerprint(SINGLE) == prints[1]
    repaint(picture(voc_root, "val"))
    data = VOCDetectionDataModule(str(voc_root), proposals=SINGLE)
    data.prepare_proposals(replace=True)
    data.setup()
    assert data.fingerprint != prints[1]


def test_proposals_of_another_image_are_refused_until_replaced(voc_root: Path, open_data: Open) -> None:
    before = stored(open_data(voc_root, proposals=SINGLE))
    unchanged, old = before.best(1), before.best(0)
    file = picture(voc_root)
    repaint(file)
    with pytest.raises(UserError, match=r"litcv proposals CONFIG") as raised:
        open_data(voc_root, proposals=SINGLE)
    assert str(file) in str(raised.value)
    assert str(before.folder) in str(raised.value)
    assert "\n" not in str(raised.value)

    data = VOCDetectionDataModule(str(voc_root), proposals=SINGLE)
    found = data.prepare_proposals(replace=True)
    assert {split: result.computed for split, result in found.items()} == {"train": 1, "val": 0}
    data = open_data(voc_root, proposals=SINGLE)
    assert np.array_equal(stored(data).best(0), selective_search(read_image(file), "single"))
    assert np.array_equal(stored(data).best(1), unchanged)
    assert np.array_equal(before.best(0), old)  # a reader of the old file keeps its content


def test_proposals_of_other_settings_are_refused(
    voc_root: Path, open_data: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = stored(open_data(voc_root, proposals=SINGLE))
    names = [opened.name(index) for index in range(10)]
    shutil.copytree(opened.folder, proposal_folder(voc_root, names, "fast"))
    with pytest.raises(UserError, match=r"'mode': 'single'.*not with.*'mode': 'fast'.*litcv proposals CONFIG"):
        open_data(voc_root, proposals=Proposals("fast"))
    monkeypatch.setattr("datamodules.boxes.proposals.ALGORITHM", 99)
    with pytest.raises(UserError, match=r"not with.*'algorithm': 99"):
        open_data(voc_root, proposals=SINGLE)
    data = VOCDetectionDataModule(str(voc_root), proposals=SINGLE)
    assert data.prepare_proposals(replace=True)["train"].computed == 10


def test_proposals_of_other_images_under_a_copied_name_are_refused(voc_root: Path, open_data: Open) -> None:
    opened = stored(open_data(voc_root, proposals=SINGLE))
    names = [opened.name(index) for index in reversed(range(10))]
    shutil.copytree(opened.folder, proposal_folder(voc_root, names, "single"))
    with pytest.raises(UserError, match="another list of images"):
        open_proposals(voc_root, names, SINGLE)
    with pytest.raises(UserError, match="are missing"):
        open_proposals(voc_root, names[1:], SINGLE)


def test_a_touched_or_copied_data_set_keeps_its_proposals(voc_root: Path, open_data: Open, tmp_path: Path) -> None:
    first = open_data(voc_root, proposals=SINGLE)
    os.utime(picture(voc_root), (1, 1))
    assert open_data(voc_root, proposals=SINGLE).fingerprint == first.fingerprint
    copy = shutil.copytree(voc_root, tmp_path / "copy", copy_function=shutil.copyfile)
    data = VOCDetectionDataModule(str(copy), proposals=SINGLE)
    assert [found.computed for found in data.prepare_proposals().values()] == [0, 0]
    data.setup()
    assert data.fingerprint == first.fingerprint
    assert np.array_equal(stored(data).boxes, stored(first).boxes)


def test_a_damaged_file_is_named(voc_root: Path, open_data: Open) -> None:
    folder = stored(open_data(voc_root, proposals=SINGLE)).folder
    os.truncate(folder / "boxes.npy", 200)
    with pytest.raises(UserError, match=f"{folder} is damaged"):
        open_data(voc_root, proposals=SINGLE)


def test_a_full_disk_is_one_sentence_and_loses_nothing(generated: Path, open_data: Open) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    data = VOCDetectionDataModule(str(generated), proposals=Proposals("fast"))
    data.setup()
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, old[1]))  # of a single file, in bytes
    try:
        with pytest.raises(UserError, match=r"cannot be written \(File too large\): free space"):
            data.prepare_proposals()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert 0 < data.prepare_proposals()["train"].computed < 10
    for index in range(10):
        expected = selective_search(read_image(picture(generated, index=index)), "fast")
        assert np.array_equal(stored(data).best(index), expected)


CHILD = """
import sys, time
from pathlib import Path
from datamodules import Proposals
from datamodules.boxes import proposal_search

search = proposal_search.selective_search

def slowly(*args, **kwargs):
    boxes = search(*args, **kwargs)
    time.sleep(0.1)
    sys.stdout.write("computed\\n")  # in one piece: the threads share it
    sys.stdout.flush()
    return boxes

proposal_search.selective_search = slowly
names = sorted(path.name for path in Path(sys.argv[1]).glob("*.png"))
proposal_search.find_proposals(Path(sys.argv[1]), names, Proposals("single"))
"""


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """24 images of coarse noise."""
    folder = tmp_path / "noise"
    folder.mkdir()
    for index in range(24):
        values = np.random.default_rng(index).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(values.repeat(8, 0).repeat(8, 1)).save(folder / f"{index:02}.png")
    return folder


TAILS = {  # what a power failure leaves behind: of the rows, of the records
    "clean": (b"", b""),
    "rows": (b"torn" * 5, b""),
    "cut": (b"torn" * 8, b"cut"),
    "huge": (b"torn" * 8, b"x" * proposal_search.RECORD.itemsize),
    "false": (b"torn" * 8, np.array((b"y" * 32, 2, 7), proposal_search.RECORD).tobytes()),
}


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(path.name for path in noise.glob("*.png"))
    killed = tmp_path / "killed"
    monkeypatch.setenv("LITCV_CACHE", str(killed))
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(noise)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for _ in range(8):
        assert process.stdout.readline() == "computed\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    (records,) = killed.glob(".proposals-*.part/records")
    complete = records.stat().st_size // proposal_search.RECORD.itemsize
    assert 0 < complete < 24

    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "calm"))
    calm = proposal_search.find_proposals(noise, names, SINGLE)
    for tail, (rows, record) in TAILS.items():
        cache = shutil.copytree(killed, tmp_path / tail)
        monkeypatch.setenv("LITCV_CACHE", str(cache))
        part = cache / records.relative_to(killed).parent
        for file, content in (("boxes.npy", rows), ("records", record)):
            with (part / file).open("ab") as opened:
                opened.write(content)
        resumed = proposal_search.find_proposals(noise, names, SINGLE)
        assert resumed.computed == 24 - complete
        assert resumed.stored.fingerprint == calm.stored.fingerprint
        assert np.array_equal(resumed.stored.boxes, calm.stored.boxes)
        assert np.array_equal(resumed.stored.spans, calm.stored.spans)
        assert not part.exists()


def test_of_two_at_once_one_searches_and_the_other_waits(
    noise: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slowly(*args: object, **options: object) -> np.ndarray:
        time.sleep(0.02)
        return selective_search(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(proposal_search, "selective_search", slowly)
    names = sorted(path.name for path in noise.glob("*.png"))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: proposal_search.find_proposals(noise, names, SINGLE), range(2)))
    assert sorted(found.computed for found in both) == [0, 24]
    assert both[0].stored.fingerprint == both[1].stored.fingerprint
    assert capsys.readouterr().out.count("Waiting for another process") == 1


def test_an_unreadable_image_keeps_what_was_found(noise: Path) -> None:
    names = sorted(path.name for path in noise.glob("*.png"))
    content = (noise / names[20]).read_bytes()
    (noise / names[20]).write_bytes(content[:200])
    with pytest.raises(UserError, match=r"20\.png is truncated"):
        proposal_search.find_proposals(noise, names, SINGLE)
    (noise / names[20]).write_bytes(content)
    assert proposal_search.find_proposals(noise, names, SINGLE).computed == 4
