"""Downloads from mirrors: resumed when interrupted, verified before use, unpacked inside the target folder only."""

import hashlib
import os
import shutil
import stat
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from datamodules.loading.waiting_lock import waiting_lock
from lit_cv.errors import UserError

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class Archive:
    """A file to download.

    Attributes:
        name: File name, the last part of each URL.
        folders: URLs of the folders that hold it, tried in order.
        md5: Its MD5 sum as published, or "" if only ``sha256`` is known.
        sha256: Its SHA-256 sum, or "".
    """

    name: str
    folders: tuple[str, ...]
    md5: str = ""
    sha256: str = ""


def fetch_archive(archive: Archive, root: Path) -> None:
    """Download an archive, unpack it into ``root`` and leave a marker file, so that later calls do nothing.

    Raises:
        UserError: If no mirror gives a good copy, or it cannot be unpacked safely.
    """
    marker = root / f".{archive.name}.unpacked"
    if marker.exists():
        return
    with waiting_lock(root / f".{archive.name}.lock", f"downloads {archive.name}"):
        if not marker.exists():
            file = download(archive, root)
            unpack(file, root)
            marker.touch()
            file.unlink()


def download(archive: Archive, folder: Path) -> Path:
    """Get a verified copy of a file from the first mirror that has one.

    The file is written as ``<name>.part`` and renamed when its checksum is right. An interrupted download is continued.

    Args:
        archive: The file to download.
        folder: The destination.

    Returns:
        The path of the file.

    Raises:
        UserError: If every mirror failed; the message lists the reasons.
    """
    target, part = folder / archive.name, folder / f"{archive.name}.part"
    if target.exists() and _verified(target, archive):
        return target
    failures = []
    for mirror in os.environ.get("LITCV_MIRRORS", "").split() or archive.folders:
        url = f"{mirror.rstrip('/')}/{archive.name}"
        try:
            if _fetch(url, part, archive):
                os.replace(part, target)
                return target
            failures.append(f"{url}: wrong checksum")
        except (OSError, HTTPException) as error:
            failures.append(f"{url}: {error}")
    raise UserError(
        f"{target} could not be downloaded ({'; '.join(failures)}): put the file there by hand, "
        "or name another mirror in LITCV_MIRRORS."
    )


def _fetch(url: str, part: Path, archive: Archive) -> bool:
    """Complete ``part`` from ``url``; delete a wrong file, and download it once more if it was a continued one."""
    for _ in range(2):
        continued = part.exists()
        _transfer(url, part)
        if _verified(part, archive):
            return True
        part.unlink()
        if not continued:
            break
    return False


def _transfer(url: str, part: Path) -> None:
    """Append the missing bytes of ``url`` to ``part``; start from the beginning if the server cannot continue.

    A broken connection is retried as long as each attempt adds bytes.
    """
    while True:
        done = part.stat().st_size if part.exists() else 0
        try:
            return _request(url, part, done)
        except ConnectionError:
            if not part.exists() or part.stat().st_size <= done:
                raise


def _request(url: str, part: Path, done: int) -> None:
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            sent = response.headers.get("Content-Range", "")  # absent when the server sends the file from its beginning
            _write(response, part, done if sent.startswith(f"bytes {done}-") else 0)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing left to send: the checksum tells whether the part is complete
            raise


def _write(response: HTTPResponse, part: Path, done: int) -> None:
    length = response.headers["Content-Length"]
    total = done + int(length) if length else None
    bar = tqdm(desc=f"Downloading {part.stem}", total=total, initial=done, unit="B", unit_scale=True, delay=2)
    with part.open("r+b" if done else "wb") as file, bar:
        file.seek(done)
        file.truncate()
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"the connection broke after {part.stat().st_size} of {total} bytes")


def _verified(file: Path, archive: Archive) -> bool:
    expected = {"md5": archive.md5, "sha256": archive.sha256}
    with file.open("rb") as stream:
        for algorithm, value in expected.items():
            stream.seek(0)
            if value and hashlib.file_digest(stream, algorithm).hexdigest() != value:
                return False
    return any(expected.values())


def unpack(file: Path, folder: Path) -> None:
    """Unpack a tar or zip file of plain files and folders.

    Nothing is written unless every member stays inside ``folder``: no absolute path, no ``..``, no link, no device.

    Args:
        file: The archive.
        folder: The target.

    Raises:
        UserError: If a member would leave the folder, or the archive is damaged.
    """
    try:
        (_unpack_zip if zipfile.is_zipfile(file) else _unpack_tar)(file, folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{file} cannot be unpacked ({error}): delete it and start again.") from None
    except OSError as error:
        free = shutil.disk_usage(folder).free >> 20
        raise UserError(f"{file} cannot be unpacked into {folder} ({error}; {free} MiB free): make room.") from None


def _unpack_tar(file: Path, folder: Path) -> None:
    with tarfile.open(file) as archive:
        members = archive.getmembers()
        for member in members:
            _refuse_outside(file, folder, member.name, plain=member.isfile() or member.isdir())
        for member in tqdm(members, desc=f"Unpacking {file.name}", unit="file", delay=2):
            archive.extract(member, folder, filter="data")


def _unpack_zip(file: Path, folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive does not say
            _refuse_outside(file, folder, member.filename, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        for member in tqdm(members, desc=f"Unpacking {file.name}", unit="file", delay=2):
            archive.extract(member, folder)


def _refuse_outside(file: Path, folder: Path, name: str, plain: bool) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not plain:
        raise UserError(f"{file} holds {name!r}, which would leave {folder}: get another copy.")
