import errno
import fcntl
import os
from pathlib import Path
from typing import TextIO

import pytest

from lit_cv.errors import UserError
from lit_cv.runs.files import lock, replaced, write_json


def test_an_error_of_the_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sweep.json"

    def write_half() -> None:
        with replaced(file) as part:
            part.write_text("half a f")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left on device") as full:
        write_half()
    assert full.value.filename == str(file)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named_by_the_file_itself(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        write_json(tmp_path / "gone" / "run.json", {})
    assert missing.value.filename == str(tmp_path / "gone" / "run.json")


def hold(folder: Path, *written: str) -> None:
    with lock(folder / ".lock", "busy"):
        assert (folder / ".lock").exists()
        for name in written:
            (folder / name).touch()


def test_a_lock_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    hold(tmp_path / "runs" / "group" / "run")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs" / "group").mkdir(parents=True)
    hold(tmp_path / "runs" / "group" / "run")
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs", tmp_path / "runs" / "group"]
    hold(tmp_path / "runs" / "group")  # was there before
    hold(tmp_path / "runs" / "other", "run.json")
    assert sorted(path.name for path in (tmp_path / "runs" / "other").iterdir()) == [".lock", "run.json"]


def test_a_lock_whose_file_is_deleted_meanwhile_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that held it has deleted it: a lock on the deleted file would exclude nobody."""
    path, locked = tmp_path / "run" / ".lock", fcntl.flock
    deleted = []

    def slow(handle: TextIO, operation: int) -> None:
        if not deleted:
            deleted.append(path.unlink())
        locked(handle, operation)

    monkeypatch.setattr(fcntl, "flock", slow)
    with lock(path, "busy", patience=30.0):
        assert path.exists()
        assert deleted
        with pytest.raises(UserError, match="busy"):
            hold(path.parent)
