import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datamodules import COCOInstanceDataModule, Shapes, VOCDetectionDataModule
from datamodules.coco.archives import COCO_ARCHIVES
from datamodules.coco.generated import write_coco
from datamodules.loading.download import Archive, download, fetch_archive, unpack
from datamodules.voc.archives import VOC_ARCHIVES
from lit_cv.errors import UserError

CONTENT = bytes(range(256)) * 12_000  # 3 MB


class Server(ThreadingHTTPServer):
    """Serves ``files`` by path, with faults by folder: /plain ignores ranges, /breaks stops half-way once, ..."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.broken = 0

    def url(self, folder: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{folder}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        folder, name = self.path.strip("/").split("/")
        asked = self.headers["Range"]
        self.server.requests.append((folder, asked))
        content = self.server.files.get(name)
        if content is None or folder == "missing":
            self.send_error(404)
            return
        if folder == "wrong":
            content = b"\xff" + content[1:]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and folder != "plain" else 0
        if asked and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked and folder != "plain" else 200)
        if asked and folder != "plain":
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        breaks = folder == "dead" or (folder == "breaks" and not asked)
        self.wfile.write(content[start : len(content) // 2 if breaks else None])

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def archive(server: Server, *folders: str, content: bytes = CONTENT) -> Archive:
    server.files["data.tar"] = content
    urls = tuple(server.url(folder) for folder in folders)
    return Archive("data.tar", urls, hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def member(name: str, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize("folder", ["good", "plain", "breaks"])
def test_download_is_whole_and_verified(server: Server, tmp_path: Path, folder: str) -> None:
    file = download(archive(server, folder), tmp_path)
    assert file.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [file]
    download(archive(server, folder), tmp_path)
    expected = [("breaks", None), ("breaks", f"bytes={len(CONTENT) // 2}-")] if folder == "breaks" else [(folder, None)]
    assert server.requests == expected  # the second call requests nothing


@pytest.mark.parametrize("folder", ["good", "plain"])
def test_a_broken_download_is_continued(server: Server, tmp_path: Path, folder: str) -> None:
    (tmp_path / "data.tar.part").write_bytes(CONTENT[:1000])
    assert download(archive(server, folder), tmp_path).read_bytes() == CONTENT
    assert server.requests == [(folder, "bytes=1000-")]


@pytest.mark.parametrize(
    "part", [b"another file", CONTENT + b"more", b"x" * len(CONTENT)], ids=["other", "longer", "same-length"]
)
def test_a_wrong_part_is_replaced(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "data.tar.part").write_bytes(part)
    assert download(archive(server, "good"), tmp_path).read_bytes() == CONTENT


def test_a_complete_part_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.tar.part").write_bytes(CONTENT)
    assert download(archive(server, "good"), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("good", f"bytes={len(CONTENT)}-")]  # answered by 416


def test_bad_mirrors_are_skipped(server: Server, tmp_path: Path) -> None:
    wanted = archive(server, "missing", "wrong", "dead", "good")
    assert download(wanted, tmp_path).read_bytes() == CONTENT
    half = f"bytes={len(CONTENT) // 2}-"
    assert server.requests == [("missing", None), ("wrong", None), ("dead", None), ("dead", half), ("good", half)]


def test_without_a_good_mirror_every_reason_is_listed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"missing/data\.tar: HTTP Error 404.*wrong/data\.tar: wrong checksum"
    ) as raised:
        download(archive(server, "missing", "wrong"), tmp_path)
    assert str(tmp_path / "data.tar") in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_mirrors_of_the_environment_replace_the_official_ones(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITCV_MIRRORS", f"{server.url('missing')} {server.url('good')}")
    assert download(archive(server, "never"), tmp_path).read_bytes() == CONTENT
    assert {folder for folder, _ in server.requests} == {"missing", "good"}


def test_an_archive_is_fetched_and_unpacked_once(server: Server, tmp_path: Path) -> None:
    content = tar((member("VOCdevkit/", type=tarfile.DIRTYPE), b""), (member("VOCdevkit/a.txt"), b"text"))
    fetch_archive(archive(server, "good", content=content), tmp_path)
    assert (tmp_path / "VOCdevkit" / "a.txt").read_text() == "text"
    assert not (tmp_path / "data.tar").exists()
    fetch_archive(archive(server, "good", content=content), tmp_path)
    assert len(server.requests) == 1


def test_only_verified_archives_are_unpacked(server: Server, tmp_path: Path) -> None:
    content = tar((member("a.txt"), b"text"))
    with pytest.raises(UserError, match="wrong checksum"):
        fetch_archive(archive(server, "wrong", content=content), tmp_path)
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize(
    "hostile",
    [
        member("../out.txt"),
        member("/tmp/litcv-out.txt"),
        member("a/../../out.txt"),
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("link", type=tarfile.SYMTYPE, linkname="ok.txt"),
        member("link", type=tarfile.LNKTYPE, linkname="../../out.txt"),
        member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("pipe", type=tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.type.decode()}-{info.name}",
)
def test_no_member_leaves_the_folder(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    file = tmp_path / "hostile.tar"
    file.write_bytes(tar((member("ok.txt"), b"fine"), (hostile, b"")))
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(UserError, match=r"hostile\.tar holds"):
        unpack(file, target)
    assert list(target.iterdir()) == []
    assert not (tmp_path / "out.txt").exists()


def zipped(*members: tuple[str, bytes], mode: int = 0) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("../out.txt", 0),
        ("/tmp/litcv-out.txt", 0),
        ("a/../../out.txt", 0),
        ("link", stat.S_IFLNK),
        ("pipe", stat.S_IFIFO),
    ],
)
def test_no_member_of_a_zip_leaves_the_folder(tmp_path: Path, name: str, mode: int) -> None:
    file = tmp_path / "hostile.zip"
    file.write_bytes(zipped(("ok.txt", b"fine"), (name, b"/etc/passwd"), mode=mode))
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(UserError, match=r"hostile\.zip holds"):
        unpack(file, target)
    assert list(target.iterdir()) == []
    assert not (tmp_path / "out.txt").exists()


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    whole = zipped(("a.txt", b"text" * 100))
    file = tmp_path / "damaged.zip"
    file.write_bytes(whole.replace(b"texttext", b"texttexT", 1))
    with pytest.raises(UserError, match=r"damaged\.zip cannot be unpacked"):
        unpack(file, tmp_path)


def test_damaged_archive_is_named(tmp_path: Path) -> None:
    file = tmp_path / "damaged.tar"
    file.write_bytes(b"no archive" * 100)
    with pytest.raises(UserError, match=r"damaged\.tar cannot be unpacked"):
        unpack(file, tmp_path / "target")


def test_voc_is_downloaded_checked_and_opened(
    server: Server, generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.add(generated / "VOCdevkit", "VOCdevkit")
    official = VOC_ARCHIVES["2012_train"]
    server.files[official.name] = stream.getvalue()
    monkeypatch.setenv("LITCV_MIRRORS", server.url("breaks"))
    data = VOCDetectionDataModule(str(tmp_path / "new"), source="download")
    with pytest.raises(UserError, match="wrong checksum"):
        data.prepare_data()
    known = Archive(official.name, official.folders, hashlib.md5(stream.getvalue()).hexdigest())
    monkeypatch.setitem(VOC_ARCHIVES, "2012_train", known)
    monkeypatch.setitem(VOC_ARCHIVES, "2012_val", known)
    data.prepare_data()
    data.setup()
    assert data.counts["train/images"] == 10


def test_coco_is_downloaded_checked_and_opened(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_coco(tmp_path / "made", Shapes(train=3, val=2, size=32))
    for name in COCO_ARCHIVES:
        files = [(f"{name}/{file.name}", file.read_bytes()) for file in sorted((made / name).iterdir())]
        official = COCO_ARCHIVES[name]
        server.files[official.name] = zipped((f"{name}/", b""), *files)
        known = Archive(official.name, official.folders, hashlib.md5(server.files[official.name]).hexdigest())
        monkeypatch.setitem(COCO_ARCHIVES, name, known)
    monkeypatch.setenv("LITCV_MIRRORS", server.url("good"))
    data = COCOInstanceDataModule(str(tmp_path / "new"), source="download")
    assert len(data.class_names) == 80  # known before any file exists
    data.prepare_data()
    data.setup()
    assert (data.counts["train/images"], data.counts["val/images"]) == (3, 2)
    assert len(data.class_names) == 4
    assert len(server.requests) == 3
    data.prepare_data()
    assert len(server.requests) == 3
    with pytest.raises(UserError, match="No public archive holds annotations of the set 'test2017'"):
        COCOInstanceDataModule(str(tmp_path / "new"), source="download", test_sets=["test2017"]).prepare_data()
