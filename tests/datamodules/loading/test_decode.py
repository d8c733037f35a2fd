import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datamodules.loading.decode import image_size, is_truncated, read_image
from lit_cv.errors import UserError


def picture() -> np.ndarray:
    y, x = np.mgrid[:40, :60]
    return np.stack([x * 4, y * 6, (x + y) * 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_any_jpeg_becomes_rgb(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "image.jpg"
    Image.fromarray(picture()).convert(mode).save(file, quality=95)
    image = read_image(file)
    assert image.shape == (40, 60, 3)
    assert image.dtype == np.uint8
    with Image.open(file) as opened:
        expected = np.asarray(opened.convert("RGB"), dtype=int)
    assert np.abs(image - expected).mean() < 4
    assert np.corrcoef(image.reshape(-1), expected.reshape(-1))[0, 1] > 0.99


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_any_png_becomes_rgb(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "image.png"
    Image.fromarray(picture()).convert(mode).save(file)
    assert read_image(file).shape == (40, 60, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("keep", [0.99, 0.6, 0.05])
def test_truncated_image_is_named(tmp_path: Path, suffix: str, keep: float) -> None:
    whole = cv2.imencode(suffix, picture())[1].tobytes()
    file = tmp_path / f"half{suffix}"
    file.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(UserError, match=f"half{suffix} is truncated"):
        read_image(file)


def test_truncation_is_seen_behind_a_thumbnail(tmp_path: Path) -> None:
    thumbnail = cv2.imencode(".jpg", picture()[::4, ::4])[1].tobytes()
    whole = cv2.imencode(".jpg", picture())[1].tobytes()
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    file = tmp_path / "thumbnail.jpg"
    file.write_bytes(whole[:2] + segment + whole[2:])
    assert read_image(file).shape == (40, 60, 3)
    file.write_bytes((whole[:2] + segment + whole[2:])[:-200])
    with pytest.raises(UserError, match="truncated"):
        read_image(file)


def test_trailing_bytes_are_no_truncation(tmp_path: Path) -> None:
    file = tmp_path / "trailing.jpg"
    file.write_bytes(cv2.imencode(".jpg", picture())[1].tobytes() + b"\0" * 50)
    assert read_image(file).shape == (40, 60, 3)


def test_orientation_rotates_only_on_request(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    file = tmp_path / "turned.jpg"
    Image.fromarray(picture()).save(file, exif=exif)
    assert read_image(file).shape == (40, 60, 3)
    assert read_image(file, upright=True).shape == (60, 40, 3)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\xff\xd8\xff\xd9"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.jpg"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.jpg"):
        read_image(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>404</html>", "it holds text, such as a web page"),
    ],
)
def test_the_content_of_a_file_that_is_no_image_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "other.jpg"
    file.write_bytes(content)
    for read in (read_image, lambda path: image_size(path, "a.xml")):
        with pytest.raises(UserError, match=rf"other\.jpg is not an? .*image.*\({words}"):
            read(file)


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.jpg cannot be read"):
        read_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("trailer", [b"\0" * 9000, b"\xff\xda\xff\xd8 text " * 700, b"\n"])
def test_any_number_of_trailing_bytes_is_no_truncation(tmp_path: Path, suffix: str, trailer: bytes) -> None:
    file = tmp_path / f"trailing{suffix}"
    whole = cv2.imencode(suffix, picture())[1].tobytes()
    file.write_bytes(whole + trailer)
    assert read_image(file).shape == (40, 60, 3)
    file.write_bytes(whole[: len(whole) // 2] + trailer)
    with pytest.raises(UserError, match="truncated"):
        read_image(file)


def test_a_progressive_jpeg_ends_after_its_last_scan(tmp_path: Path) -> None:
    file = tmp_path / "progressive.jpg"
    Image.fromarray(picture()).save(file, progressive=True, quality=95)
    whole = file.read_bytes()
    assert whole.count(b"\xff\xda") > 5
    assert not is_truncated(whole + b"text")
    assert is_truncated(whole[: whole.rfind(b"\xff\xda")])
    assert is_truncated(whole[:-100] + b"text")


def test_an_image_of_many_pixels_is_no_attack(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    Image.new("1", (20_000, 10_000)).save(file)  # Pillow's limit is 179 megapixels
    assert image_size(file, tmp_path / "list.txt") == (20_000, 10_000)
    assert image_size(file, tmp_path / "list.txt", whole=True) == (20_000, 10_000)


def test_an_image_beyond_the_limit_of_opencv_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "huge.png"
    Image.new("1", (40, 10)).save(file)
    header = struct.pack(">4sII", b"IHDR", 40_000, 40_000) + file.read_bytes()[24:29]
    file.write_bytes(file.read_bytes()[:12] + header + struct.pack(">I", zlib.crc32(header)) + file.read_bytes()[33:])
    with pytest.raises(UserError, match=r"huge\.png is not a readable image \(Image size \(1600000000 pixels\)"):
        image_size(file, tmp_path / "list.txt")


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize(("largest", "bits"), [(255, 8), (4095, 12), (5000, 13), (65535, 16)])
def test_16_bits_are_scaled_by_their_range(tmp_path: Path, suffix: str, largest: int, bits: int) -> None:
    file, values = tmp_path / f"a.{suffix}", np.arange(largest + 1, dtype=np.uint16)[None]
    cv2.imwrite(str(file), values)
    expected = np.round(values * (255 / (2**bits - 1)))[..., None].repeat(3, axis=2)
    assert np.abs(read_image(file) - expected).max() <= 1  # half a step is rounded in either direction
    assert np.array_equal(read_image(file), read_image(file, bits=bits))
    assert read_image(file, bits=16).max() == round(largest * 255 / 65535)
    if bits > 8:
        with pytest.raises(
            UserError, match=rf"has values of {bits} bits, but data\.bits is {bits - 1}: set it to {bits}"
        ):
            read_image(file, bits=bits - 1)


def test_an_upright_size_is_that_of_the_upright_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png", "webp", "tif"):
        file = tmp_path / f"a.{suffix}"
        Image.new("RGB", (40, 30)).save(file, exif=exif)
        for upright in (False, True):
            turned = upright or suffix == "tif"  # OpenCV always reads these upright
            height, width, _ = read_image(file, upright).shape
            assert image_size(file, file, upright=upright) == (width, height) == ((30, 40) if turned else (40, 30))
