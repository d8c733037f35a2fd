import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datamodules import VOCDetectionDataModule
from datamodules.loading.packed import Content, cache_folder, open_packed, source_key
from datamodules.voc.packed_voc import ImageRecord, PackedAnnotations, open_annotations
from lit_cv.errors import UserError

RECORDS = [
    ImageRecord("a/ä.jpg", (10, 20), [(0, 0, 5, 5), (-1, 2, 30, 8)], [1, 2], [False, True]),
    ImageRecord("a/empty.jpg", (7, 7), [], [], []),
    ImageRecord("b.jpg", (30, 10), [(40, 0, 50, 5), (1, 1, 2, 3)], [2, 1], [True, False]),
]
NAMES = ("cat", "dog")


def test_arrays_equal_the_records(tmp_path: Path) -> None:
    packed = open_annotations(tmp_path, "key", lambda: RECORDS, NAMES)
    assert len(packed) == 3
    assert [packed.name(i) for i in range(3)] == ["a/ä.jpg", "a/empty.jpg", "b.jpg"]
    assert packed.sizes.tolist() == [[10, 20], [7, 7], [30, 10]]
    assert packed.boxes[packed.rows(0)].tolist() == [[0, 0, 5, 5], [0, 2, 10, 8]]
    assert packed.boxes[packed.rows(1)].shape == (0, 4)
    assert packed.boxes[packed.rows(2)].tolist() == [[1, 1, 2, 3]]
    assert packed.labels.tolist() == [1, 2, 1]
    assert packed.difficult.tolist() == [False, True, False]
    assert packed.counts == {"images": 3, "boxes": 3, "difficult": 1, "clipped": 1, "dropped": 1}
    assert isinstance(packed.boxes.base, np.memmap)
    assert packed.boxes.dtype == np.float32


@pytest.mark.parametrize("label", [0, 3])
def test_a_label_without_a_class_is_refused(tmp_path: Path, label: int) -> None:
    record = RECORDS[0]._replace(labels=[1, label])
    with pytest.raises(UserError, match=rf"^a/ä.jpg: a box has label {label}, but the classes are 1..2"):
        open_annotations(tmp_path, "key", lambda: [record], NAMES)


def test_a_corner_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    record = RECORDS[2]._replace(boxes=[(40, 0, 50, 5), (1, 1, float("nan"), 3)])
    with pytest.raises(UserError, match=r"^b.jpg: the corners \(1, 1, nan, 3\) are not finite"):
        open_annotations(tmp_path, "key", lambda: [record], NAMES)


def test_cache_is_used_and_the_pickle_is_only_a_path(tmp_path: Path) -> None:
    first = open_annotations(tmp_path, "key", lambda: RECORDS, NAMES)

    def unused() -> Iterator[ImageRecord]:
        raise AssertionError("parsed again")

    again = open_annotations(tmp_path, "key", unused, NAMES)
    assert again.fingerprint == first.fingerprint
    content = pickle.dumps(again)
    assert len(content) < 500
    assert pickle.loads(content).labels.tolist() == [1, 2, 1]


def test_fingerprint_sees_every_part(tmp_path: Path) -> None:
    def fingerprint(key: str, record: ImageRecord, names: tuple[str, ...] = NAMES) -> str:
        return open_annotations(tmp_path, key, lambda: [record], names).fingerprint

    base = RECORDS[0]
    prints = [
        fingerprint("0", base),
        fingerprint("1", base._replace(name="x")),
        fingerprint("2", base._replace(size=(11, 20))),
        fingerprint("3", base._replace(boxes=[(0, 0, 5, 6), (-1, 2, 30, 8)])),
        fingerprint("4", base._replace(labels=[1, 1])),
        fingerprint("5", base._replace(difficult=[True, True])),
        fingerprint("6", base, ("cat", "cow")),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint("7", base) == prints[0]


def _pack(folder: Path, barrier: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue[str]") -> None:
    def records() -> list[ImageRecord]:
        barrier.wait()  # both are writing
        return RECORDS

    results.put(open_annotations(folder, "key", records, NAMES).fingerprint)


def test_two_processes_may_pack_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_pack, args=(tmp_path, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    prints = {results.get(timeout=20) for _ in processes}
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(prints) == 1
    assert [folder.name for folder in tmp_path.iterdir()] == ["annotations-2-key"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def failing() -> Iterator[ImageRecord]:
        yield RECORDS[0]
        raise UserError("bad")

    with pytest.raises(UserError, match="bad"):
        open_annotations(tmp_path, "key", failing, NAMES)
    assert list(tmp_path.iterdir()) == []


def test_damaged_cache_is_named(tmp_path: Path) -> None:
    folder = open_annotations(tmp_path, "key", lambda: RECORDS, NAMES).folder
    (folder / "boxes.npy").write_bytes(b"broken")
    with pytest.raises(UserError, match=f"{folder} is damaged"):
        open_annotations(tmp_path, "key", lambda: RECORDS, NAMES)


def test_source_key_changes_with_files_and_facts(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text("one")
    key = source_key(tmp_path, [file], "names")
    assert key == source_key(tmp_path, [file], "names")
    assert key != source_key(tmp_path, [file], "others")
    file.write_text("three")
    assert key != source_key(tmp_path, [file], "names")
    with pytest.raises(UserError, match=r"b\.xml is missing"):
        source_key(tmp_path, [tmp_path / "b.xml"])


def test_cache_folder_prefers_the_variable_then_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder(tmp_path) == tmp_path / "cache"
    monkeypatch.delenv("LITCV_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder(tmp_path) == tmp_path / "user" / "litcv"


def test_notes_are_kept_and_each_datamodule_tells_them_once(
    tmp_path: Path, voc_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = [ImageRecord("a.jpg", (10, 20), [(0, 0, 5, 5)], [1], [False])]
    quiet = open_annotations(tmp_path, "quiet", lambda: inside, NAMES)
    assert quiet.notes == []
    content = Content({name: getattr(quiet, name) for name in quiet.ARRAYS}, {}, ("3 boxes are left out",))
    for _ in range(2):
        packed = open_packed(PackedAnnotations, tmp_path, "told", lambda: content)
        assert packed.notes == ["3 boxes are left out"]

    class Noted(VOCDetectionDataModule):
        def open_split(self, split: str) -> PackedAnnotations | None:
            return packed if split == "train" else None

    data = Noted(str(voc_root))
    data.setup()
    data.setup()
    assert capsys.readouterr().err == "note: 3 boxes are left out\n"
