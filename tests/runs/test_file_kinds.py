"""Binary files where a text or a folder belongs: the sentence names what they are."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.folder import ImageFolderDataModule
from datamodules.loading.json_stream import read_list, read_records
from lit_cv.cli import main
from lit_cv.errors import UserError
from lit_cv.runs.file_kinds import binary_kind


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/a.txt", "text")


def _tar(mode: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            archive.addfile(tarfile.TarInfo("folder/a.txt"))

    return write


WRITERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a.zip": (_zip, "a ZIP archive: unpack it first"),
    "half.zip": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "a damaged ZIP archive"),
    "a.tar": (_tar("w"), "a tar archive: unpack it first"),
    "a.tgz": (_tar("w:gz"), "a gzip archive: unpack it first"),
    "a.yaml": (_tar("w:xz"), "an xz archive: unpack it first"),
    "a.jpg": (lambda path: Image.new("RGB", (8, 8)).save(path), "a JPEG image"),
    "a.png": (lambda path: Image.new("RGB", (8, 8)).save(path), "a PNG image"),
    "a.ckpt": (lambda path: torch.save({"a": torch.zeros(1)}, path), "a checkpoint or weights of PyTorch"),
    "a.npy": (lambda path: np.save(path, np.zeros(2)), "a NumPy array"),
    "a.npz": (lambda path: np.savez(path, a=np.zeros(2)), "arrays of NumPy"),
    "a.json": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS"),
    "a.bin": (lambda path: path.write_bytes(bytes(range(256))), "a binary file"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_verb_names_the_kind_of_a_binary_file(tmp_path: Path, name: str) -> None:
    write, kind = WRITERS[name]
    write(tmp_path / name)
    for verb in ("doctor", "stats", "browse", "fit", "sweep", "report", "analyze", "validate", "predict", "new"):
        with redirect_stderr(io.StringIO()) as errors:
            code = main([verb, str(tmp_path / name), *(["."] if verb == "predict" else [])])
        text = " ".join(errors.getvalue().split())
        assert (code, text.startswith(f"litcv: error: {tmp_path / name}: this is {kind}")) == (1, True), (verb, text)


@pytest.mark.parametrize("name", ["a.zip", "a.tgz", "a.bin"])
def test_data_names_the_kind_of_a_binary_file(tmp_path: Path, name: str) -> None:
    write, kind = WRITERS[name]
    write(tmp_path / name)
    for read in (read_list, lambda path: read_records(path, ("images",))):
        with pytest.raises(UserError, match=f"{name}: this is {kind}; a JSON file belongs there"):
            list(read(tmp_path / name))
    with pytest.raises(UserError, match=f"{name}: this is {kind}; name an image"):
        ImageFolderDataModule(tmp_path / name).setup()


def test_annotations_that_are_left_in_git_lfs_are_named(tmp_path: Path) -> None:
    write, kind = WRITERS["a.json"]
    write(tmp_path / "a.json")
    with pytest.raises(UserError, match=f"a.json: this is {kind}: fetch the file with `git lfs pull`"):
        list(read_list(tmp_path / "a.json"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig", "latin-1"])
def test_text_of_any_encoding_is_not_binary(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.yaml").write_text("name: é\n", encoding=encoding)
    assert binary_kind(tmp_path / "a.yaml") == ""
    assert binary_kind(tmp_path) == binary_kind(tmp_path / "missing") == ""
