"""Names for files of another kind than the text or the folder that belongs there. Imports nothing heavy."""

from pathlib import Path
from zipfile import BadZipFile, ZipFile

UNPACK = "unpack it first"
TEXT_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16, whose letters hold zero bytes
STARTS = {
    b"\x1f\x8b": ("a gzip archive", UNPACK),
    b"BZh": ("a bzip2 archive", UNPACK),
    b"\xfd7zXZ\0": ("an xz archive", UNPACK),
    b"\x28\xb5\x2f\xfd": ("a Zstandard archive", UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", UNPACK),
    b"Rar!\x1a\x07": ("a RAR archive", UNPACK),
    b"\xff\xd8\xff": ("a JPEG image", ""),
    b"\x89PNG\r\n": ("a PNG image", ""),
    b"GIF8": ("a GIF image", ""),
    b"%PDF-": ("a PDF", ""),
    b"\x93NUMPY": ("a NumPy array", ""),
    b"\x89HDF\r\n": ("an HDF5 file", ""),
    b"version https://git-lfs": ("a pointer of Git LFS", "fetch the file with `git lfs pull`"),
}


def binary_kind(path: Path) -> str:
    """Return the kind of a binary file as a sentence, such as "this is a ZIP archive: unpack it first".

    Empty for a text, in any encoding, but for pointers of Git LFS; and for what is no readable file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8192)
    except OSError:
        return ""
    if head.startswith(b"PK\x03\x04"):
        kind, advice = _zipped(path)
    else:
        unknown = ("a binary file", "") if b"\0" in head and not head.startswith(TEXT_MARKS) else ("", "")
        kind, advice = next((known for start, known in STARTS.items() if head.startswith(start)), unknown)
        if head[257:262] == b"ustar":
            kind, advice = "a tar archive", UNPACK
    return f"this is {kind}{advice and f': {advice}'}" if kind else ""


def _zipped(path: Path) -> tuple[str, str]:
    """Return the kind of a ZIP archive, as which PyTorch and NumPy save too, and the advice."""
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except (BadZipFile, OSError):
        return "a damaged ZIP archive", "fetch it again and unpack it"
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return "a checkpoint or weights of PyTorch", ""
    return (
        ("arrays of NumPy", "") if names and all(name.endswith(".npy") for name in names) else ("a ZIP archive", UNPACK)
    )
