"""The files of a VOCdevkit: image lists and XML annotations."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree as ElementTree
from defusedxml import DefusedXmlException

from datamodules.loading.decode import check_size, image_size
from datamodules.voc.packed_voc import ImageRecord
from lit_cv.errors import UserError, nearest

CLASS_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def read_list(devkit: Path, name: str, task: str = "Main") -> list[tuple[str, str]]:
    """Read an official image list.

    Args:
        devkit: The VOCdevkit folder.
        name: ``<year>_<list>``, for instance ``2007_trainval``.
        task: Folder of the list in ``ImageSets``.

    Returns:
        (``VOC<year>``, image id) in the list's order.

    Raises:
        UserError: If the name is malformed, or the list missing or empty.
    """
    file = list_file(devkit, name, task)
    if not file.is_file():
        files = devkit.glob(f"VOC*/ImageSets/{task}/*.txt")
        there = ", ".join(nearest(name, sorted(f"{f.parts[-4][3:]}_{f.stem}" for f in files)))
        raise UserError(f"The image list {file} is missing: choose another set ({there or 'none there'}).")
    year = file.parts[-4]
    images = [(year, line.split()[0]) for line in file.read_text().splitlines() if line.strip()]
    if not images:
        raise UserError(f"The image list {file} is empty: restore it or choose another set.")
    return images


def list_file(devkit: Path, name: str, task: str) -> Path:
    """Return the path of an official image list, see :func:`read_list`.

    Raises:
        UserError: If the name is malformed.
    """
    year, _, split = name.partition("_")
    if not (year.isdigit() and split):
        raise UserError(f"The set {name!r} is not of the form <year>_<list>: write, for instance, 2007_trainval.")
    return devkit / f"VOC{year}" / "ImageSets" / task / f"{split}.txt"


def read_image_record(root: Path, year: str, image: str, class_names: tuple[str, ...]) -> ImageRecord:
    """Read the annotation of one image and check that the image is complete and has the annotated size.

    For arguments and result, see :func:`read_annotation`.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    record = read_annotation(root, year, image, class_names)
    path = root / record.name
    check_size(path, image_size(path, annotation_file(root, year, image), whole=True), record.size)
    return record


def annotation_file(root: Path, year: str, image: str) -> Path:
    """Return the path of an image's XML file."""
    return root / "VOCdevkit" / year / "Annotations" / f"{image}.xml"


def image_file(root: Path, year: str, image: str) -> Path:
    """Return the path of an image's JPEG file."""
    return root / "VOCdevkit" / year / "JPEGImages" / f"{image}.jpg"


def read_annotation(root: Path, year: str, image: str, class_names: tuple[str, ...]) -> ImageRecord:
    """Read the annotation of one image; the image file is not needed.

    Args:
        root: Folder that holds VOCdevkit.
        year: ``VOC<year>``.
        image: Image id.
        class_names: Names of labels 1..C.

    Returns:
        The record, its name relative to ``root``.

    Raises:
        UserError: If a file is unusable; the message names the file and the problem.
    """
    annotation = annotation_file(root, year, image)
    tree = _parse(annotation)
    objects = tree.findall("object")
    try:
        size = (int(_text(tree, "size/width")), int(_text(tree, "size/height")))
        boxes = [_box(item) for item in objects]
        names = [_text(item, "name") for item in objects]
        difficult = [bool(int(item.findtext("difficult") or 0)) for item in objects]
    except ValueError as error:
        raise UserError(f"{annotation} is no VOC annotation: {error}; restore the file.") from None
    for name in names:
        if name not in class_names:
            raise UserError(f"{annotation} has the unknown class {name!r}: fix it or list it in VOCdevkit/classes.txt.")
    labels = [class_names.index(name) + 1 for name in names]
    name = image_file(root, year, image).relative_to(root).as_posix()
    return ImageRecord(name, size, boxes, labels, difficult)


def _parse(path: Path) -> Element:
    try:
        root = ElementTree.parse(path).getroot()
    except ParseError as error:
        raise UserError(f"{path} is not valid XML ({error}): restore the file.") from None
    except DefusedXmlException as error:
        raise UserError(f"{path} is hostile XML ({type(error).__name__}): do not use this copy of the data.") from None
    except (OSError, UnicodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore the file.") from None
    assert root is not None  # a parsed document has a root
    return root


def _text(element: Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"<{path}> is missing in <{element.tag}>")
    return text


def _box(item: Element) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(_text(item, f"bndbox/{corner}")) for corner in ("xmin", "ymin", "xmax", "ymax"))
    if not abs(x1 + y1 + x2 + y2) < 1e9:
        raise ValueError(f"a box ({x1}, {y1}, {x2}, {y2}) is not finite")
    return x1 - 1, y1 - 1, x2, y2
