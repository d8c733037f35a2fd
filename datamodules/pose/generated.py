"""Generated stick figures in the official layouts of MPII and LSPET, for tests and the quick start."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.shapes.figures import Person, draw_figures
from datamodules.shapes.settings import Shapes, write_jpeg, write_once
from lit_cv.errors import UserError

MAT = Path("mpii_human_pose_v1_u12_2") / "mpii_human_pose_v1_u12_1.mat"
_VERSION = 1  # raise it when the same settings give other figures
_LSP_JOINTS = (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 8, 9)  # LSP's joints, as numbers of MPII's
_HEAD_JOINTS = (8, 9)  # MPII gives these no visibility


def write_mpii(root: Path | str, settings: Shapes = Shapes()) -> Path:  # noqa: B008  (frozen)
    """Write ``images`` and the .mat of MPII with one or two figures per image, unless they are there already.

    Every image is a video of its own, validation images come last; all count as training images, because others have no
    labels. Joints outside the image and some others are not labeled, covered joints are hidden. Half of the figures
    show their back, with dark hair instead of a face. Right limbs are red and orange, left limbs blue and cyan (in a
    mirrored crop these swap, so that only the head tells left from right). The folder is written under a temporary name
    and renamed, so an interrupted run leaves no incomplete data set.

    Args:
        root: The folder to write; missing, empty, or written before with the same settings.
        settings: Settings of the scenes; same settings, same bytes.

    Returns:
        ``root``.

    Raises:
        UserError: If something else is there, or a setting is out of range.
    """

    def write(folder: Path) -> None:
        names = [f"{number:09d}.jpg" for number in range(settings.train + settings.val)]
        people = _draw(folder, names, settings, largest_group=2)
        (folder / MAT.parent).mkdir()
        write_mpii_mat(folder / MAT, names, people, videos=range(1, len(names) + 1))

    return write_once(Path(root), {"layout": "MPII", "version": _VERSION}, settings, write)


def write_lsp(root: Path | str, settings: Shapes = Shapes()) -> Path:  # noqa: B008  (frozen)
    """Write ``images`` and ``joints.mat`` of LSPET with one figure per image, unless they are there already.

    Validation images come last. As in LSPET, only visible joints are labeled. See :func:`write_mpii` for the rest.
    """

    def write(folder: Path) -> None:
        names = [f"im{number:05d}.jpg" for number in range(1, settings.train + settings.val + 1)]
        people = [alone for (alone,) in _draw(folder, names, settings, largest_group=1)]
        table = np.zeros((len(_LSP_JOINTS), 3, len(people)))
        for number, person in enumerate(people):
            labeled = person.flags[list(_LSP_JOINTS)] == 2
            table[:, :2, number] = np.where(labeled[:, None], person.joints[list(_LSP_JOINTS)] + 1, -1)
            table[:, 2, number] = labeled
        save_mat(folder / "joints.mat", {"joints": table})

    return write_once(Path(root), {"layout": "LSPET", "version": _VERSION}, settings, write)


def write_mpii_mat(path: Path, names: Sequence[str], people: Sequence[Sequence[Person]], videos: Sequence[int]) -> None:
    """Write a .mat in the layout of ``mpii_human_pose_v1_u12_1.mat``; images without a labeled joint are test images.

    Args:
        path: The file.
        names: File name of each image.
        people: The people of each image.
        videos: The number of each image's video.
    """
    rows = [
        (structs(("name",), [(name,)]), _rectangles(group), 1.0, float(video))
        for name, group, video in zip(names, people, videos, strict=True)
    ]
    single = np.empty((len(names), 1), dtype=object)
    single[:, 0] = [np.arange(1.0, len(group) + 1)[:, None] for group in people]
    release = {
        "annolist": structs(("image", "annorect", "frame_sec", "vididx"), rows),
        "img_train": np.array([[float(any(person.flags.any() for person in group)) for group in people]]),
        "version": "12",
        "single_person": single,
    }
    save_mat(path, {"RELEASE": release})


def _rectangles(people: Sequence[Person]) -> NDArray[np.void]:
    rows = []
    for joints, flags, head in people:
        points = [
            (*(joints[k] + 1), float(k), np.zeros((0, 0)) if k in _HEAD_JOINTS else str(int(flags[k] == 2)))
            for k in np.flatnonzero(flags)
        ]
        point = structs(("x", "y", "id", "is_visible"), points)
        annopoints = structs(("point",), [(point,)]) if points else np.zeros((0, 0))
        lower, upper = joints.min(axis=0), joints.max(axis=0)
        scale = (upper - lower).max() / 200
        middle = (lower + upper) / 2 + 1 - np.array([0, 15]) * scale  # about the height of MPII's centers
        rows.append((*(side + 1 for side in head), annopoints, scale, structs(("x", "y"), [tuple(middle)])))
    return structs(("x1", "y1", "x2", "y2", "annopoints", "scale", "objpos"), rows)


def structs(fields: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> NDArray[np.void]:
    """Return a MATLAB struct array, (1, N)."""
    structs = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for number, row in enumerate(rows):
        structs[0, number] = row
    return structs


def save_mat(path: Path, content: dict[str, Any]) -> None:
    """Write variables as a MATLAB 5 file, the same bytes for the same content."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content, do_compression=True, oned_as="row")
    data = bytearray(buffer.getvalue())
    data[:116] = b"MATLAB 5.0 MAT-file, generated by lit-cv".ljust(116)  # scipy writes the time there
    path.write_bytes(bytes(data))


def _draw(folder: Path, names: Sequence[str], settings: Shapes, largest_group: int) -> list[list[Person]]:
    """Write the images and return the people in each one."""
    if settings.touching:
        raise UserError(f"shapes.touching={settings.touching}: stick figures do not touch; leave it out.")
    (folder / "images").mkdir()
    everyone = []
    for index, name in enumerate(tqdm(names, desc="Drawing stick figures", unit="image", delay=2)):
        scene = draw_figures(np.random.default_rng((settings.seed, index)), settings.size, largest_group)
        write_jpeg(folder / "images" / name, scene.image)
        everyone.append(scene.people)
    return everyone
