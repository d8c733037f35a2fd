"""The files of MPII Human Pose: the official .mat and the common JSON form."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.joints import HIDDEN, VISIBLE, is_origin
from datamodules.loading.json_stream import read_json as read_json_file
from datamodules.loading.matlab import read_variable
from lit_cv.errors import UserError

JOINTS = 16
SC_BIAS = 0.6  # of the official evaluation: size of the head over the diagonal of its box
_MAT = "mpii_human_pose_v1_u12_1.mat"
_ARCHIVE = "mpii_human_pose_v1_u12_2"  # the folder in which the official archive holds it
_FORMS: tuple[tuple[str, tuple[int, ...] | None, str], ...] = (
    ("image", None, "the name of a file"),
    ("center", (2,), "[x, y]"),
    ("scale", (), "a number"),
    ("joints", (JOINTS, 2), f"{JOINTS} pairs [x, y]"),
    ("joints_vis", (JOINTS,), f"{JOINTS} flags"),
)
_RECORD = [key for key, _, _ in _FORMS]

Structs = NDArray[np.void]
Cells = NDArray[np.object_]


class Annotations(NamedTuple):
    """The N people of an annotation file.

    Attributes:
        names: File name of each person's image.
        videos: int64 (N,), number of the video that the image is from, -1 if unknown.
        joints: float64 (N, 16, 3): x and y in pixels, (0, 0) the center of the first one, and the flag: 0 not labeled,
            1 labeled but hidden, 2 labeled and visible.
        positions: float64 (N, 2), the rough center in the same pixels, NaN if unknown.
        scales: float64 (N,), height over 200 pixels, NaN if unknown.
        head_sizes: float64 (N,), in pixels, NaN if the head box is missing or has no area; None: no boxes at all.
    """

    names: list[str]
    videos: NDArray[np.int64]
    joints: NDArray[np.float64]
    positions: NDArray[np.float64]
    scales: NDArray[np.float64]
    head_sizes: NDArray[np.float64] | None


def find_mat(root: Path) -> Path:
    """Return the official .mat, in ``root`` or in the folder of the official archive below it.

    Raises:
        UserError: If it is in neither.
    """
    for path in (root / _MAT, root / _ARCHIVE / _MAT):
        if path.is_file():
            return path
    raise UserError(f"{root / _MAT} is missing: put it there, or set annotations to json.")


def read_mat(path: Path) -> Annotations:
    """Read the people of the training images, including those without labels; test images have no labels.

    ``is_visible`` may be a number, text or empty; a joint is hidden only if it is 0, because neck and head top lack it,
    and not labeled if it is 0 and the point is (0, 0). ``x`` and ``y`` count pixels from 1.

    Raises:
        UserError: If the file cannot be read or does not have the official layout.
    """
    try:
        # Text stays single characters: joining them would double the time.
        release = read_variable(path.read_bytes(), "RELEASE", chars_as_strings=False)
    except KeyError as error:
        raise _other_layout(path, error) from None
    except Exception as error:  # scipy raises what zlib, struct and its own parser raise
        raise UserError(f"{path} is no MATLAB 5 file that can be read ({error}): fetch it again.") from None
    try:
        return _people(release["annolist"].item(), release["img_train"].item())
    except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise _other_layout(path, error) from None


def _other_layout(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} does not have the layout of {_MAT} ({error}): fetch that release.")


def _people(images: Structs, is_training: NDArray[Any]) -> Annotations:
    rows = np.flatnonzero(is_training.ravel() == 1)
    images = images.ravel()[rows]
    if not len(images):
        raise ValueError("no training image")
    names = ["".join(cell["name"].item().ravel()) for cell in images["image"]]
    videos = np.nan_to_num(_numbers(images["vididx"]), nan=-1).astype(np.int64)
    owners, rectangles = _joined(images["annorect"])
    order = np.argsort(owners, kind="stable")
    owners = owners[order]
    box = np.stack([_numbers(column) for column in _columns(rectangles, ("x1", "y1", "x2", "y2"))], axis=1)[order]
    place, scales, points = _columns(rectangles, ("objpos", "scale", "annopoints"))
    positions = np.full((len(owners), 2), np.nan)
    people, found = _joined(place)
    positions[people] = np.stack([_numbers(column) for column in _columns(found, ("x", "y"))], axis=1) - 1
    width, height = (box[:, 2:] - box[:, :2]).T
    with np.errstate(invalid="ignore"):
        head_sizes = np.where((width > 0) & (height > 0), SC_BIAS * np.hypot(width, height), np.nan)
    return Annotations(
        [names[owner] for owner in owners],
        videos[owners],
        _joints(points)[order],
        positions[order],
        _numbers(scales)[order],
        head_sizes,
    )


def _joints(annopoints: Cells) -> NDArray[np.float64]:
    """Return the joints of each person, (N, 16, 3), from structs that each have an array of structs ``point``."""
    holders, structs = _joined(annopoints)
    owners, points = _joined(_columns(structs, ("point",))[0])
    x, y, number, visible = (_numbers(column) for column in _columns(points, ("x", "y", "id", "is_visible")))
    if not np.isin(number, np.arange(JOINTS)).all():
        raise ValueError("a point's id is not one of 0 to 15")
    joint = number.astype(np.int64)
    joints = np.zeros((len(annopoints), JOINTS, 3))
    flags = np.where(visible == 0, HIDDEN, VISIBLE)
    flags[(visible == 0) & is_origin(np.stack([x, y], axis=1))] = 0
    joints[holders[owners], joint] = np.stack([x - 1, y - 1, flags], axis=1)
    return joints


def _joined(cells: Iterable[NDArray[Any]]) -> tuple[NDArray[np.int64], list[Structs]]:
    """Join struct arrays with the same fields; also return the cell that each row comes from.

    MATLAB writes an empty array of numbers for a missing struct; it has no rows. The fields of MPII's structs differ
    from image to image.
    """
    kinds: dict[np.dtype[Any], tuple[list[int], list[Structs]]] = defaultdict(lambda: ([], []))
    for number, cell in enumerate(cells):
        if cell.dtype.names is not None:
            owners, structs = kinds[cell.dtype]
            owners.append(number)
            structs.append(cell.ravel())
        elif cell.size:
            raise ValueError("a struct is missing")
    rows, joined = [np.zeros(0, dtype=np.int64)], []
    for kind, (owners, parts) in kinds.items():
        ends = np.cumsum([len(part) for part in parts])
        rows.append(np.repeat(owners, np.diff(ends, prepend=0)))
        # np.concatenate would compare the fields of every struct again, which takes longer than everything else.
        joined.append(np.empty(ends[-1], dtype=kind))
        for part, end in zip(parts, ends.tolist(), strict=True):
            joined[-1][end - len(part) : end] = part
    return np.concatenate(rows), joined


def _columns(structs: list[Structs], fields: tuple[str, ...]) -> list[Cells]:
    """Return the cells of each field over all rows; empty arrays for structs without the field."""
    empty, columns = np.zeros((0, 0)), []
    for field in fields:
        parts = [np.zeros(0, dtype=object)]
        for part in structs:
            if field in (part.dtype.names or ()):
                parts.append(part[field])
            else:
                missing = np.empty(len(part), dtype=object)
                missing[:] = [empty] * len(part)
                parts.append(missing)
        columns.append(np.concatenate(parts))
    return columns


def _numbers(cells: Cells) -> NDArray[np.float64]:
    """Return the number in each array of one element, a number or text; NaN for an empty array."""
    return np.array([float(cell.item(0)) if cell.size else np.nan for cell in cells], dtype=np.float64)


def read_json(path: Path) -> Annotations:
    """Read a list of records with ``image``, ``center``, ``scale``, 16 ``joints`` and ``joints_vis``.

    This is the format that the code of most papers since 2016 uses: one record for each person. A joint at (-1, -1) is
    not labeled, nor is one at (0, 0) with ``joints_vis`` 0; a joint elsewhere with ``joints_vis`` 0 is hidden.
    Coordinates count pixels from 1. There are no head boxes and no videos.

    Raises:
        UserError: If the file is missing, cannot be parsed, or has a record in another format.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: put it there, or set annotations to mat.")
    records = read_json_file(path)
    if not isinstance(records, list) or not records:
        raise UserError(f"{path} holds no list of people: choose a file in MPII's JSON format, or fix it.")
    try:
        names, centers, scales, points, visible = ([record[key] for record in records] for key in _RECORD)
        xy = np.array(points, dtype=np.float64).reshape(len(names), JOINTS, 2)
        hidden = np.array(visible, dtype=np.float64).reshape(len(names), JOINTS) == 0
        positions = np.array(centers, dtype=np.float64).reshape(len(names), 2)
        heights = np.array(scales, dtype=np.float64).reshape(len(names))
        if not all(isinstance(name, str) for name in names):
            raise ValueError("an image's name is no text")
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is not in MPII's JSON format: {_faults(records) or error}; fix it.") from None
    flags = np.where(hidden, HIDDEN, VISIBLE)
    flags[(xy == -1).all(axis=2) | (hidden & is_origin(xy))] = 0
    positions[(positions == -1).any(axis=1)] = np.nan
    joints = np.concatenate([xy - 1, flags[..., None]], axis=2)
    return Annotations(names, np.full(len(names), -1), joints, positions - 1, heights, None)


def _faults(records: list[Any]) -> str:
    """Return the first record with a fault, the fault, and the number of others; empty if there is none."""
    found = [f"record {place} {fault}" for place, record in enumerate(records, 1) if (fault := _fault(record))]
    others = f" ({len(found) - 1} more records have a fault)" if len(found) > 1 else ""
    return f"{found[0]}{others}" if found else ""


def _fault(record: Any) -> str | None:
    if not isinstance(record, dict):
        return f"is {_shown(record)}, not an object"
    name = record.get("image")
    for key, shape, form in _FORMS:
        if key not in record:
            return f"({_shown(name)}) lacks {key!r}"
        try:
            fits = isinstance(name, str) if shape is None else np.array(record[key], dtype=np.float64).shape == shape
        except (ValueError, TypeError, OverflowError):
            fits = False
        if not fits:
            return f"({_shown(name)}) has the {key} {_shown(record[key])}, not {form}"
    return None


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 50 else f"{text[:47]}..."
