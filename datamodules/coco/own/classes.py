"""The classes of sets whose files may number them in different ways: equal names are the same class."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from datamodules.coco.categories import joints_of
from datamodules.coco.files import COCOSet, Own, annotated_ids, read_categories
from datamodules.coco.tables import Categories, File
from datamodules.defects import Defect
from lit_cv.errors import UserError, nearest

_SHOWN = 8  # names in a sentence


def by_name(file: File, expected: Categories) -> File:
    """Return a file with the categories, and their ids, of the file that all sets follow.

    Args:
        file: A file without errors; categories of other names are left out.
        expected: The categories of the other file.
    """
    ids = {kind["name"]: kind["id"] for kind in expected}
    new = {kind["id"]: ids.get(kind["name"], -1) for kind in file.categories}
    categories = np.array([new.get(number, -1) for number in file.annotations.categories.tolist()], dtype=np.int64)
    return file._replace(categories=expected, annotations=file.annotations._replace(categories=categories))


def expected_categories(source: COCOSet, file: File, own: Own) -> Categories:
    """Return the categories that a set has to follow, those of all splits."""
    first = file.categories if own.reference == source.file else None
    return all_categories(own.files, own.categories, first)


def all_categories(files: Sequence[Path], names: Sequence[str] | None, first: Categories | None = None) -> Categories:
    """Return the classes of several files: those of the first one, then others that have objects in another one.

    A file that cannot be read adds none: it is told when its split is read.

    Args:
        files: The annotation files of all splits.
        names: The names to take, which the first file has; None for all.
        first: The categories of the first file, if they are read already.

    Raises:
        UserError: If the first file is unusable, or has no category of a name.
    """
    found = list(chosen(files[0], read_categories(files[0]), names) if first is None else first)
    for path in files[1:] if names is None else ():
        with suppress(UserError):
            known = {kind["name"] for kind in found}
            more = [kind for kind in read_categories(path) if kind["name"] not in known]
            used = annotated_ids(path) if more else ()
            free = 1 + max(kind["id"] for kind in found)
            found += [{**kind, "id": free + n} for n, kind in enumerate(one for one in more if one["id"] in used)]
    return found


def chosen(path: Path, categories: Categories, names: Sequence[str] | None) -> Categories:
    """Return the categories that the setting names; all of them if it is None.

    Raises:
        UserError: If the file has no category of a name.
    """
    there = [kind["name"] for kind in categories]
    for name in names or ():
        if name not in there:
            raise UserError(
                f"data.categories names {name!r}, but {path} has {', '.join(nearest(name, there))}: fix one of the two."
            )
    return categories if names is None else [kind for kind in categories if kind["name"] in names]


def without_others(source: COCOSet, file: File) -> tuple[File, list[Defect]]:
    """Return a file without the objects of classes that the setting leaves out, and a note about their number."""
    own = source.own
    if own is None or own.categories is None:
        return file, []
    kept = chosen(source.file, file.categories, own.categories) if own.reference == source.file else file.categories
    kept = [kind for kind in kept if kind["name"] in own.categories]
    others = [kind["id"] for kind in file.categories if kind not in kept]
    rows = ~np.isin(file.annotations.categories, others)
    what = f"has {int((~rows).sum())} of {len(rows)} objects of classes that data.categories leaves out"
    note = Defect(source.file, what, "class left out", note=True)
    return file.of_rows(rows)._replace(categories=kept), [] if rows.all() else [note]


def other_joints(source: COCOSet, file: File, expected: Categories, keypoints: bool) -> Iterator[Defect]:
    """Yield a defect if the joints are not the expected ones."""
    assert source.own is not None
    if keypoints and joints_of(file.categories) != joints_of(expected):
        what = f"has other joints than {source.own.reference}: choose files that agree"
        yield Defect(source.file, what, "unusable categories")


def class_notes(source: COCOSet, file: File) -> Iterator[Defect]:
    """Yield a note about the classes that have no object in a split.

    Args:
        source: The set.
        file: Its content, after :func:`by_name`; of a divided file, the part.
    """
    assert source.own is not None
    present = set(file.annotations.categories.tolist())
    absent = [kind["name"] for kind in file.categories if kind["id"] not in present]
    if absent:
        shown = ", ".join(absent[:_SHOWN]) + (f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else "")
        effect = "they are not learned" if source.own.name == "train" else "they are not measured"
        divided = f" (split: {source.own.split})" if source.own.split else ""
        what = f"has no object of {shown} in {source.own.name}{divided}: {effect}"
        yield Defect(source.file, what, "class without objects", note=True)
