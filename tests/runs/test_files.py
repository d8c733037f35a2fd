import errno
import os
from pathlib import Path

import pytest

from lit_cv.runs.files import replaced, write_json


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
