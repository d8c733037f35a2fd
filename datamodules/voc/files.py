"""The images and XML annotations of a VOCdevkit."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, fromstring

import defusedxml.ElementTree as ElementTree
from defusedxml import DefusedXmlException

from datamodules.loading.decode import check_size, image_size
from datamodules.voc.packed_voc import ImageRecord
from lit_cv.errors import UserError, did_you_mean

_LOWER = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")
_SUFFIXES = (*_LOWER, *(suffix.upper() for suffix in _LOWER[-4:]), ".Jpg", ".Png")
_DECLARED = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']""")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


class XMLReading(NamedTuple):
    """The way in which XML files are read.

    Attributes:
        class_names: Names of labels 1..C.
        classes: The words for the list of these names.
        first_pixel: Number of the first pixel in each row and column; if it is 1, boxes include their last pixel.
        own: Whether the files are in folders of any names, so that more is told about them.
        upright: Whether images are read upright.
    """

    class_names: tuple[str, ...]
    classes: str = "VOCdevkit/classes.txt"
    first_pixel: int = 1
    own: bool = False
    upright: bool = False


def read_image_record(
    root: Path, year: str, image: str, class_names: tuple[str, ...], upright: bool = False
) -> ImageRecord:
    """Read the annotation of one image and check that the image is complete and has the annotated size.

    For arguments and result, see :func:`read_annotation`.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    record = read_annotation(root, year, image, class_names, upright)
    path = root / record.name
    size = image_size(path, annotation_file(root, year, image), whole=True, upright=upright)
    check_size(path, size, record.size, upright)
    return record


def annotation_file(root: Path, year: str, image: str) -> Path:
    """Return the path of an image's XML file."""
    return root / "VOCdevkit" / year / "Annotations" / f"{image}.xml"


def image_file(root: Path, year: str, image: str) -> Path:
    """Return the path of an image: ``<id>.jpg``, else the one with another known suffix that exists."""
    folder = root / "VOCdevkit" / year / "JPEGImages"
    files = [folder / f"{image}{suffix}" for suffix in _SUFFIXES]
    return next((file for file in files if file.exists()), files[0])


def read_annotation(
    root: Path, year: str, image: str, class_names: tuple[str, ...], upright: bool = False
) -> ImageRecord:
    """Read the annotation of one image; of the image file, only its size is read if the annotation lacks it.

    Args:
        root: Folder that holds VOCdevkit.
        year: ``VOC<year>``.
        image: Image id.
        class_names: Names of labels 1..C.
        upright: Whether images are read upright.

    Returns:
        The record, its name relative to ``root``.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    picture = image_file(root, year, image)
    return read_xml(
        root, annotation_file(root, year, image), lambda _: picture, XMLReading(class_names, upright=upright)
    )


def read_xml(root: Path, annotation: Path, find: Callable[[str], Path], reading: XMLReading) -> ImageRecord:
    """Read the annotation of one image; see :func:`read_annotation`.

    Args:
        root: Folder that the record's name is relative to.
        annotation: The XML file.
        find: Returns the image, given the ``<filename>`` of the annotation, which may be empty.
        reading: The way in which to read it.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    tree, remarks = parse_xml(annotation), dict[str, None]()
    picture = find((tree.findtext("filename") or "").strip())
    record = ImageRecord(relative_name(picture, root), (0, 0), [], [], [])
    try:
        size = _size(tree)
    except ValueError as error:
        raise UserError(f"{annotation} is no VOC annotation: {error}; fix the file.") from None
    if size is None:
        size = image_size(picture, annotation, upright=reading.upright)
        remarks["no <size>, so that of the image is taken"] = None
    for number, item in enumerate(tree.findall("object"), 1):
        try:
            name = class_of(item)
            box, difficult = _box(item, reading.first_pixel), _difficult(item, remarks)
        except ValueError as error:
            which = f"object {number} ({(item.findtext('name') or 'without a name').strip()})"
            raise UserError(f"{annotation} is no VOC annotation: {which}: {error}; fix it.") from None
        if name not in reading.class_names:
            hint = did_you_mean(name, reading.class_names) or "."
            what = f"{annotation} has the unknown class {name!r}"
            raise UserError(f"{what}: fix it or list it in {reading.classes}{hint}")
        record.boxes.append(box)
        record.labels.append(reading.class_names.index(name) + 1)
        record.difficult.append(difficult)
    if reading.own and reading.first_pixel and any(min(box[:2]) < 0 for box in record.boxes):
        remarks["boxes that start at 0, as if corners counted from 0: if so, set data.first_pixel to 0"] = None
    return record._replace(size=size, remarks=tuple(remarks))


def relative_name(path: Path, root: Path) -> str:
    """Return a path relative to the root."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else os.path.relpath(path, root)


def class_of(item: Element) -> str:
    """Return the name of an object's class.

    Raises:
        ValueError: If it has none.
    """
    return " ".join(_text(item, "name").split())


def parse_xml(path: Path) -> Element:
    """Read the XML of an annotation.

    Raises:
        UserError: If the file cannot be read, is hostile, or is no annotation.
    """
    try:
        data = path.read_bytes().lstrip()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): restore the file.") from None
    try:
        root = _element(_decoded(data))
    except ParseError as error:
        raise UserError(f"{path} is not valid XML ({error}): restore the file.") from None
    except DefusedXmlException as error:
        raise UserError(f"{path} is hostile XML ({type(error).__name__}): do not use this copy of the data.") from None
    except (LookupError, ValueError) as error:
        raise UserError(f"{path} cannot be decoded ({error}): save it as UTF-8.") from None
    assert root is not None  # a parsed document has a root
    if root.tag != "annotation":
        raise UserError(f"{path} is no VOC annotation: it is <{root.tag}>; restore the file.")
    return root


def _element(data: bytes | str) -> Element | None:
    """Parse XML; three times faster if it declares no entities, of which hostile XML is made."""
    if isinstance(data, bytes) and not any(mark in data for mark in (b"<!DOCTYPE", b"<!ENTITY", b"\0")):
        return fromstring(data)
    return ElementTree.fromstring(data)


def _decoded(data: bytes) -> bytes | str:
    """Decode XML in an encoding that the parser does not know, such as GB2312."""
    declared = _DECLARED.match(data)
    encoding = declared[1].decode("ascii", "replace").lower() if declared else "utf-8"
    if encoding in ("utf-8", "us-ascii", "iso-8859-1"):
        return data
    if encoding.startswith("utf-16"):  # the declaration was found as ASCII, so it is wrong
        return data.decode("utf-8-sig")
    return data.decode("gb18030" if encoding in ("gb2312", "gbk") else encoding)  # it contains the other two


def _text(element: Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"<{path}> is missing in <{element.tag}>")
    return text


def _number(element: Element, path: str) -> float:
    text = _text(element, path)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"<{path}> is {text!r}, which is no number") from None


def _size(tree: Element) -> tuple[int, int] | None:
    """Return the annotated width and height; None if they are missing or 0."""
    fields = ("size/width", "size/height")
    sides = [_number(tree, field) if (tree.findtext(field) or "").strip() else 0 for field in fields]
    for field, side in zip(fields, sides, strict=True):
        if not (side >= 0 and float(side).is_integer()):
            raise ValueError(f"<{field}> is {side:g}, which is no number of pixels")
    return (int(sides[0]), int(sides[1])) if all(sides) else None


def _difficult(item: Element, remarks: dict[str, None]) -> bool:
    text = (item.findtext("difficult") or "").strip()
    if text.lower() == "unspecified":
        remarks[f"<difficult> {text}, which is taken as 0"] = None
        return False
    if text.lower() not in _FLAGS:
        raise ValueError(f"<difficult> is {text!r}, not 0 or 1")
    return _FLAGS[text.lower()]


def _box(item: Element, first: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = _corners(item)
    if not all(abs(corner) < 1e9 for corner in (x1, y1, x2, y2)):
        raise ValueError(f"a box ({x1}, {y1}, {x2}, {y2}) is not finite")
    return x1 - first, y1 - first, x2, y2


def _corners(item: Element) -> tuple[float, float, float, float]:
    """Return the numbers of a box; a path of two tags is looked up four times slower than two tags in turn."""
    box = item.find("bndbox")
    if box is not None:
        with suppress(ValueError, TypeError):  # a number that is none or missing is named below
            x1, y1, x2, y2 = (float(box.findtext(corner)) for corner in _CORNERS)  # type: ignore[arg-type]
            return x1, y1, x2, y2
    x1, y1, x2, y2 = (_number(item, f"bndbox/{corner}") for corner in _CORNERS)
    return x1, y1, x2, y2
